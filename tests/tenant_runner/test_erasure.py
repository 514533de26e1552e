"""Erasing one person's chats: nothing stays, nothing comes back, and nobody else loses anything."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from tenant_runner import conversation
from tenant_runner.assistants.base import Question
from tenant_runner.assistants.openai import OpenAIReplies
from tenant_runner.contract import OpenAIAssistant
from tenant_runner.conversation import ChatBusy
from tenant_runner.journal import Journal, Line
from tenant_runner.logs import DiscreetFormatter
from tenant_runner.purge import erase
from tests.conftest import wait_for
from tests.tenant_runner.fake_channel import incoming, own
from tests.tenant_runner.house import CHAT, OTHER_CHAT, House
from tests.tenant_runner.openai_stand_in import OpenAIStandIn

MakeReplies = Callable[[OpenAIAssistant], OpenAIReplies]
TABLES = ("messages", "turns", "outbound", "chats", "threads", "remote_conversations", "media_jobs")


async def traces(journal: Journal, chat_id: str) -> dict[str, int]:
    """How many rows each table has of a chat, the outbox among them."""
    found = {
        table: len(await journal.database.rows(f"SELECT 1 FROM {table} WHERE chat_id = ?", chat_id)) for table in TABLES
    }
    events = await journal.outbox.next(1000)
    return found | {"outbox": sum(getattr(event.payload, "chat_id", None) == chat_id for event in events)}


async def erase_in(house: House, *chat_ids: str) -> int:
    async with house.conversation.standing_still(chat_ids):
        return (await erase(house.journal, house.assistant, chat_ids, None, budget_s=60)).messages


async def test_everything_of_a_chat_goes_told_or_not_and_the_other_chat_stays(house: House, tmp_path: Path) -> None:
    for chat in (CHAT, OTHER_CHAT):
        await house.receive(incoming(f"soy {chat}", chat=chat))
        await house.settled()
        await house.conversation.set_automatic(chat, automatic=False)
    kept = await traces(house.journal, OTHER_CHAT)
    assert (await traces(house.journal, CHAT))["outbox"] >= 2
    assert await erase_in(house, CHAT) == 2
    assert await erase_in(house, CHAT) == 0
    assert set((await traces(house.journal, CHAT)).values()) == {0}
    assert await traces(house.journal, OTHER_CHAT) == kept
    files = [file.read_bytes() for file in tmp_path.rglob("journal.sqlite3*")]
    assert not any(CHAT.encode() in content for content in files)
    assert any(OTHER_CHAT.encode() in content for content in files)


async def test_what_the_page_shows_again_does_not_come_back(house: House) -> None:
    asked, typed = incoming("mi secreto"), own("te contesto yo")
    await house.receive(asked)
    await house.receive(typed)
    await house.settled()
    await erase_in(house, CHAT)
    await house.restart()
    await house.receive(asked)
    await house.receive(typed)
    await house.settled()
    assert set((await traces(house.journal, CHAT)).values()) == {0}


async def test_who_writes_again_later_is_a_new_contact(house: House) -> None:
    await house.receive(incoming("mi secreto"))
    await house.settled()
    await erase_in(house, CHAT)
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    await house.receive(incoming("hola de nuevo", sent_at=later))
    await house.settled()
    assert house.channel.texts[-1] == "re: hola de nuevo"
    assert house.assistant.histories[-1] == []


async def test_a_turn_that_waits_for_its_answer_ends_with_the_erasure(house: House) -> None:
    house.channel.working.clear()
    await house.receive(incoming("mi secreto"))
    await wait_for(lambda: house.assistant.asked)
    await erase_in(house, CHAT)
    house.channel.working.set()
    await house.receive(incoming("hola", chat=OTHER_CHAT))
    await house.settled()
    assert [chat for chat, _, _ in house.channel.sent] == [OTHER_CHAT]
    assert set((await traces(house.journal, CHAT)).values()) == {0}


async def test_while_the_assistant_is_being_asked_the_erasure_waits(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.assistant.gate.clear()
    await house.receive(incoming("mi secreto"))
    await wait_for(lambda: house.assistant.asked)
    with monkeypatch.context() as patched:
        patched.setattr(conversation, "STILL_WAIT_S", 0.1)
        with pytest.raises(ChatBusy):
            await erase_in(house, CHAT)
    erasing = asyncio.create_task(erase_in(house, CHAT))
    house.assistant.gate.set()
    assert await erasing >= 1
    await house.settled()
    assert set((await traces(house.journal, CHAT)).values()) == {0}


async def test_the_providers_side_goes_too_and_is_tried_again_when_it_fails(
    journal: Journal, make_replies: MakeReplies, openai_api: OpenAIStandIn
) -> None:
    assistant = make_replies(
        OpenAIAssistant(
            api_key=SecretStr("sk-test-0000000000000000001a"),
            base_url=openai_api.base_url,
            model="gpt-6-luna",
            instructions="Decí hola.",
        )
    )
    for chat in ("1@c.us", "1@lid", "2@c.us"):
        await assistant.answer(Question(chat, (), (Line(1, "user", "Hola"),)))
    await openai_api.fail("/conversations", method="DELETE", status=500, times=None)
    report = await erase(journal, assistant, ("1@c.us", "1@lid"), None, budget_s=60)
    assert (report.remote_conversations, report.failed) == (0, 2)
    assert report.detail
    await openai_api.recover()
    report = await erase(journal, assistant, ("1@c.us", "1@lid"), None, budget_s=60)
    assert (report.remote_conversations, report.failed) == (2, 0)
    [left] = await journal.threads.remote(None)
    assert left.chat_id == "2@c.us"
    assert [conversation["id"] for conversation in await openai_api.conversations()] == [left.conversation_id]


async def test_the_cleanup_forgets_when_a_chat_was_erased_once_nothing_older_is_taken_in_anyway(house: House) -> None:
    await house.receive(incoming("mi secreto"))
    await house.settled()
    await erase_in(house, CHAT)
    assert await house.journal.retention.erased_before(CHAT) > 0
    await house.journal.retention.delete_messages((datetime.now(UTC) + timedelta(minutes=1)).timestamp())
    assert await house.journal.database.rows("SELECT * FROM erased") == []


def test_logs_name_people_by_four_digits() -> None:
    record = logging.LogRecord("x", logging.INFO, "x", 1, "turn broke", None, None)
    record.chat_id, record.message_id = CHAT, f"false_{CHAT}_3EB0ABCDEF1234567890"
    line = DiscreetFormatter("{message}", style="{").format(record)
    assert CHAT.split("@")[0] not in line
    assert f"{CHAT.split('@')[0][-4:]}@c.us" in line
    assert "3EB0ABCDEF1234567890" in line


async def test_what_came_after_the_request_stays_and_is_answered(house: House) -> None:
    house.configure(debounce_s=0.8)
    await house.receive(incoming("mi secreto"))
    asked_at = datetime.now(UTC)
    await house.receive(incoming("hola de nuevo", sent_at=asked_at.replace(microsecond=0) + timedelta(seconds=2)))
    async with house.conversation.standing_still((CHAT,)):
        assert (await erase(house.journal, house.assistant, (CHAT,), asked_at, budget_s=60)).messages == 1
    await house.settled()
    assert house.channel.texts == ["re: hola de nuevo"]
