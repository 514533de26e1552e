"""Mistakes 1 to 4 and 9: what happens to a message."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tenant_runner.assistants.base import Question, Rejected, TenantProblem, Unavailable
from tenant_runner.assistants.openai import OpenAIReplies
from tenant_runner.channels.base import SendRefused, SendUnknown
from tenant_runner.contract import MessageAcknowledged, OpenAIAssistant, Pacing, RunnerConfig
from tenant_runner.journal import Journal, Line
from tests.conftest import wait_for
from tests.tenant_runner.fake_channel import incoming
from tests.tenant_runner.house import CHAT, House
from tests.tenant_runner.openai_stand_in import OpenAIStandIn

FORBIDDEN = ("SECRETO", "sk-", "error", "Error", "429", "500")


@pytest.fixture
async def house(journal: Journal, config: RunnerConfig) -> AsyncIterator[House]:
    house = House(journal, config.model_copy(update={"pacing": Pacing(gap_s=0)}))
    yield house
    await house.conversation.stop()


async def acks(house: House) -> list[str]:
    return [event.ack for event in await house.events() if isinstance(event, MessageAcknowledged)]


async def test_1_a_message_is_not_marked_seen_before_it_is_stored(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = incoming("hola")
    known_when_seen: list[bool] = []

    async def mark_read(chat_id: str) -> None:
        known_when_seen.append(await house.journal.messages.has(question.message_id))

    async def full_disk(*_: Any, **__: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(house.channel, "mark_read", mark_read)
    with monkeypatch.context() as broken:
        broken.setattr(house.journal.messages, "record", full_disk)
        with pytest.raises(OSError, match="no space"):
            await house.receive(question)
    await house.settled()
    assert known_when_seen == []
    # It is unread on the phone, so the channel brings it again.
    await house.receive(question)
    await house.settled()
    assert known_when_seen[:1] == [True]
    assert house.channel.texts == ["re: hola"]


async def test_2_one_customer_of_two_clients_gets_an_answer_from_each_and_no_merged_one(
    tmp_path: Path, config: RunnerConfig
) -> None:
    journals = [await Journal.open(tmp_path / f"{name}.sqlite3") for name in ("one", "two")]
    one, two = (
        House(journal, config.model_copy(update={"client_id": f"c{number}", "pacing": Pacing(gap_s=0)}))
        for number, journal in enumerate(journals)
    )
    try:
        # The same number, within one debounce.
        await asyncio.gather(
            one.receive(incoming("¿tienen pan?", chat=CHAT)), two.receive(incoming("¿tienen lentes?", chat=CHAT))
        )
        await asyncio.gather(one.settled(), two.settled())
        assert one.channel.texts == ["re: ¿tienen pan?"]
        assert two.channel.texts == ["re: ¿tienen lentes?"]
    finally:
        for house in (one, two):
            await house.conversation.stop()
            await house.journal.close()


async def test_3_two_clients_at_once_each_use_their_own_key(
    make_replies: Callable[[OpenAIAssistant], OpenAIReplies], openai_api: OpenAIStandIn
) -> None:
    keys = [f"sk-client-{number}-000000000{number}" for number in range(2)]
    clients = [
        make_replies(
            OpenAIAssistant(
                api_key=SecretStr(key),
                base_url=openai_api.base_url,
                model="gpt-6-luna",
                instructions=f"La clave de la casa es CASA{number}.",
            )
        )
        for number, key in enumerate(keys)
    ]
    answers = await asyncio.gather(
        *(
            clients[number % 2].answer(Question(f"chat{number}", (), (Line(number + 1, "user", "¿la clave?"),)))
            for number in range(10)
        )
    )
    assert [f"CASA{number % 2}" in answer for number, answer in enumerate(answers)] == [True] * 10
    owners = {conversation["key_hint"] for conversation in await openai_api.conversations()}
    assert len(owners) == 2
    for conversation in await openai_api.conversations():
        said = str(conversation["items"])
        assert f"CASA{keys.index(next(k for k in keys if k[-4:] == conversation['key_hint'][-4:]))}" in said


@pytest.mark.parametrize(
    "failure",
    [
        Rejected("SECRETO: Error 400 for key sk-1234"),
        TenantProblem("no_quota", "SECRETO: Error 429, see your plan and billing"),
        Unavailable("SECRETO: Error 500, req_123"),
        RuntimeError("SECRETO: Error of our own"),
    ],
    ids=["rejected", "no quota", "unavailable", "our own"],
)
async def test_4_a_providers_error_never_reaches_a_customer(house: House, failure: Exception) -> None:
    house.assistant.failures = [failure] * (1 if isinstance(failure, Rejected) else 2)
    await house.receive(incoming("hola"))
    await wait_for(lambda: house.channel.texts)
    await house.settled()
    assert house.channel.texts == [house.config.fallback_text if isinstance(failure, Rejected) else "re: hola"]
    assert not [word for word in FORBIDDEN for text in house.channel.texts if word in text]


async def test_9_a_send_that_was_refused_or_lost_is_not_called_sent(house: House) -> None:
    house.channel.trouble = [SendRefused]
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.texts == []
    assert await acks(house) == ["failed"]
    assert (CHAT, "waiting_for_human") in [status[:2] for status in await house.statuses()]

    # Whoever does not know whether it left looks it up, and sends it when it is not there.
    house.channel.trouble = [SendUnknown]
    await house.receive(incoming("¿hola?"))
    await house.settled()
    assert house.channel.texts == ["re: ¿hola?"]
    house.channel.trouble, house.channel.delivers_in_trouble = [SendUnknown], True
    await house.receive(incoming("chau"))
    await house.settled()
    assert house.channel.texts == ["re: ¿hola?", "re: chau"]
    assert await acks(house) == ["failed", "server", "server"]
