"""Deleting what is past its time, here and at the provider."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr

from tenant_runner.assistants.automatic import AutomaticReplies
from tenant_runner.assistants.base import Question
from tenant_runner.assistants.openai import OpenAIReplies
from tenant_runner.contract import OpenAIAssistant, ThreadChanged
from tenant_runner.journal import Journal, Line, NewMessage
from tenant_runner.journal.media import MediaJob
from tenant_runner.purge import purge, retire
from tests.tenant_runner.conftest import AUTOMATIC
from tests.tenant_runner.openai_stand_in import OpenAIStandIn

MakeReplies = Callable[[OpenAIAssistant], OpenAIReplies]
KEY = "sk-test-0000000000000000001a"
EMPTY = {"conversations": [], "orphaned_items": 0, "stored_responses": 0}


def later() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def message(number: int, chat_id: str = "1@c.us") -> NewMessage:
    return NewMessage(f"m{number}", chat_id, "contact", "chat", f"texto {number}", datetime.now(UTC))


async def chatting(make_replies: MakeReplies, openai_api: OpenAIStandIn, *chats: str, key: str = KEY) -> OpenAIReplies:
    assistant = make_replies(
        OpenAIAssistant(
            api_key=SecretStr(key), base_url=openai_api.base_url, model="gpt-6-luna", instructions="Decí hola."
        )
    )
    for chat in chats:
        await assistant.answer(Question(chat, (), (Line(1, "user", "Hola"),)))
    return assistant


async def empty_outbox(journal: Journal) -> None:
    events = await journal.outbox.next(1000)
    await journal.outbox.accepted(events[-1].sequence)


async def test_what_is_past_its_time_goes_everywhere_and_the_rest_stays(
    journal: Journal, make_replies: MakeReplies, openai_api: OpenAIStandIn
) -> None:
    assistant = await chatting(make_replies, openai_api, "1@c.us", "2@c.us")
    await journal.messages.record(message(1))
    await empty_outbox(journal)
    boundary = datetime.now(UTC)
    await journal.messages.record(message(2))
    await assistant.answer(Question("2@c.us", (), (Line(2, "user", "Hola"),)))
    report = await purge(journal, assistant, boundary, budget_s=60)
    assert report.model_dump() == {
        "messages": 1,
        "threads": 1,
        "remote_conversations": 1,
        "failed": 0,
        "detail": None,
    }
    assert len(await openai_api.conversations()) == 1
    assert [line.text for line in await journal.messages.history("1@c.us", but_turn=None, limit=9)] == ["texto 2"]
    forgotten = [event.payload for event in await journal.outbox.next(100)][-1]
    assert isinstance(forgotten, ThreadChanged)
    assert (forgotten.chat_id, forgotten.conversation_id) == ("1@c.us", None)


async def test_messages_that_the_control_plane_does_not_have_yet_stay(journal: Journal) -> None:
    await journal.messages.record(message(1))
    report = await purge(journal, AutomaticReplies(AUTOMATIC), later(), budget_s=60)
    assert report.messages == 0
    await empty_outbox(journal)
    assert (await purge(journal, AutomaticReplies(AUTOMATIC), later(), budget_s=60)).messages == 1


async def test_messages_that_somebody_waits_for_stay(journal: Journal) -> None:
    await journal.messages.record(message(1), pending=True)
    await journal.messages.record(message(2, "2@c.us"), pending=True)
    turn = await journal.turns.begin("1@c.us")
    await empty_outbox(journal)
    assert (await purge(journal, None, later(), budget_s=60)).messages == 0
    assert turn is not None
    await journal.turns.close(turn, "sent")
    assert (await purge(journal, None, later(), budget_s=60)).messages == 1


async def test_a_failure_at_the_provider_is_counted_and_done_by_the_next_run(
    journal: Journal, make_replies: MakeReplies, openai_api: OpenAIStandIn
) -> None:
    assistant = await chatting(make_replies, openai_api, "1@c.us", "2@c.us")
    await openai_api.fail("/conversations", method="DELETE", status=500, times=None)
    report = await purge(journal, assistant, later(), budget_s=60)
    assert (report.remote_conversations, report.failed, report.threads) == (0, 2, 0)
    await openai_api.recover()
    report = await purge(journal, assistant, later(), budget_s=60)
    assert (report.remote_conversations, report.failed, report.threads) == (2, 0, 2)
    assert await openai_api.state() == EMPTY


async def test_a_conversation_that_is_gone_already_counts_as_deleted(
    journal: Journal, make_replies: MakeReplies, openai_api: OpenAIStandIn
) -> None:
    assistant = await chatting(make_replies, openai_api, "1@c.us")
    [conversation] = await openai_api.conversations()
    await openai_api.delete(conversation["id"], KEY)
    report = await purge(journal, assistant, later(), budget_s=60)
    assert (report.remote_conversations, report.failed) == (1, 0)
    assert (await openai_api.state())["stored_responses"] == 0


async def test_without_the_key_remote_conversations_stay_listed(
    journal: Journal, make_replies: MakeReplies, openai_api: OpenAIStandIn
) -> None:
    await chatting(make_replies, openai_api, "1@c.us")
    report = await purge(journal, None, None, budget_s=60)
    assert (report.remote_conversations, report.failed) == (0, 1)
    assert len(await journal.threads.remote(None)) == 1


async def test_everything_means_undelivered_things_too(
    journal: Journal, make_replies: MakeReplies, openai_api: OpenAIStandIn
) -> None:
    assistant = await chatting(make_replies, openai_api, "1@c.us")
    await journal.messages.record(message(1), pending=True)
    await journal.chats.suspend("1@c.us", suspended=True, reason="owner", said_at=1.0)
    numbered = (await journal.outbox.next(100))[-1].sequence
    report = await purge(journal, assistant, None, budget_s=60)
    assert (report.messages, report.threads, report.remote_conversations, report.failed) == (1, 1, 1, 0)
    assert await openai_api.state() == EMPTY
    assert await journal.outbox.count() == 0
    await journal.pace.give("m1", 1.0)
    await journal.media.add(MediaJob("m1", "1@c.us", "voice", "audio/ogg"))
    assert (await purge(journal, assistant, None, budget_s=60)).failed == 0
    tables = await journal.database.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
    for table in {row["name"] for row in tables} - {"facts", "sqlite_sequence"}:
        assert await journal.database.rows(f"SELECT * FROM {table}") == []
    await journal.messages.record(message(2))
    # Numbers go on, or the control plane would take the next event for one that it has.
    assert (await journal.outbox.next(1))[0].sequence > numbered


async def test_a_replaced_key_deletes_its_conversations_while_it_is_known(
    journal: Journal, make_replies: MakeReplies, openai_api: OpenAIStandIn
) -> None:
    former = await chatting(make_replies, openai_api, "1@c.us")
    await chatting(make_replies, openai_api, "1@c.us", key="sk-test-0000000000000000002b")
    await retire(journal, former, budget_s=60)
    [conversation] = await openai_api.conversations()
    assert [remote.conversation_id for remote in await journal.threads.remote(None)] == [conversation["id"]]
    thread = await journal.threads.get("1@c.us")
    assert thread is not None
    assert thread.conversation_id == conversation["id"]


async def test_what_was_deleted_is_in_no_file_any_more(journal: Journal, tmp_path: Path) -> None:
    await journal.messages.record(message(1))
    await empty_outbox(journal)
    assert any(b"texto 1" in file.read_bytes() for file in tmp_path.rglob("journal.sqlite3*"))
    await purge(journal, AutomaticReplies(AUTOMATIC), later(), budget_s=60)
    assert not any(b"texto 1" in file.read_bytes() for file in tmp_path.rglob("journal.sqlite3*"))


async def test_transcripts_reactions_and_wanted_files_go_with_their_message(journal: Journal, tmp_path: Path) -> None:
    await journal.messages.record(message(1))
    await journal.changes.update("m1", text="lo que se dijo")
    known = await journal.messages.get("m1")
    assert known is not None
    await journal.changes.react(known, "👍", from_me=False, at=datetime.now(UTC))
    await journal.media.add(MediaJob("m1", "1@c.us", "voice", "audio/ogg"))
    await empty_outbox(journal)
    assert (await purge(journal, AutomaticReplies(AUTOMATIC), later(), budget_s=60)).messages == 1
    for table in ("messages", "reactions", "media_jobs"):
        assert await journal.database.rows(f"SELECT * FROM {table}") == []
    assert not any(b"lo que se dijo" in file.read_bytes() for file in tmp_path.rglob("journal.sqlite3*"))
