"""How fast and in which pieces the assistant writes."""

import asyncio
import itertools
import time
from typing import Any

import pytest

from tenant_runner.channels.base import SendRefused, SendUnknown
from tenant_runner.contract import MessageAcknowledged, MessageRecorded, Pacing
from tenant_runner.splitting import split
from tests.conftest import wait_for
from tests.tenant_runner.fake_channel import incoming, own
from tests.tenant_runner.house import CHAT, OTHER_CHAT, TYPING_S, House

THIRD_CHAT = "5491100000003@c.us"


@pytest.fixture
def times(house: House, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each message left, in seconds since the epoch."""
    times: list[float] = []
    send = house.channel.send

    async def timed(*arguments: str) -> None:
        times.append(time.time())
        await send(*arguments)

    monkeypatch.setattr(house.channel, "send", timed)
    return times


async def earlier(house: House, seconds: float) -> None:
    """As if everything had been sent earlier."""
    await house.journal.database.run("UPDATE sends SET at = at - ?", seconds)


async def test_replies_keep_their_distance_with_jitter(house: House, times: list[float]) -> None:
    house.configure(pacing=Pacing(gap_s=0.5, typing_s=TYPING_S), debounce_s=0.0)
    for chat in (CHAT, OTHER_CHAT, THIRD_CHAT):
        await house.receive(incoming("hola", chat=chat))
    await house.settled()
    slots = [row["at"] for row in await house.journal.database.rows("SELECT at FROM sends ORDER BY at")]
    gaps = [later - before for before, later in itertools.pairwise(slots)]
    assert len(gaps) == 2
    assert all(gap > 0.499 for gap in gaps)
    assert gaps[0] != gaps[1]
    # How much later than its slot one leaves is the machine's business; none leaves earlier.
    assert all(left >= slot for left, slot in zip(times, slots, strict=True))


async def test_a_reply_over_the_minutes_limit_waits_and_is_not_lost(house: House) -> None:
    house.configure(pacing=Pacing(per_minute=1, gap_s=0, typing_s=TYPING_S), debounce_s=0.0)
    await house.receive(incoming("uno"))
    await house.settled()
    await house.receive(incoming("dos", chat=OTHER_CHAT))
    await wait_for(lambda: len(house.assistant.asked) == 2)
    await wait_for(lambda: given(house))
    assert house.channel.texts == ["re: uno"]
    await earlier(house, 59.5)
    await house.journal.database.run("UPDATE outbound SET slot_at = slot_at - 59.5 WHERE state = 'prepared'")
    await house.restart()
    await house.settled()
    assert house.channel.texts == ["re: uno", "re: dos"]
    assert house.assistant.asked == [["uno"], ["dos"]], "the answer was kept"


async def given(house: House) -> Any:
    return len(await house.journal.database.rows("SELECT 1 FROM sends")) == 2


async def test_limits_hold_across_a_restart(house: House) -> None:
    house.configure(pacing=Pacing(per_hour=1, gap_s=0, typing_s=TYPING_S), debounce_s=0.0)
    await house.receive(incoming("uno"))
    await house.settled()
    await house.restart()
    await house.receive(incoming("dos", chat=OTHER_CHAT))

    async def told() -> Any:
        return await house.statuses() == [(OTHER_CHAT, "waiting_for_human", "paced")]

    await wait_for(told, what="somebody is told of a long wait")
    assert house.channel.texts == ["re: uno"]


async def test_over_the_days_limit_a_person_is_told(house: House) -> None:
    house.configure(pacing=Pacing(per_day=2, gap_s=0, typing_s=TYPING_S), debounce_s=0.0)
    for chat in (CHAT, OTHER_CHAT, THIRD_CHAT):
        await house.receive(incoming("hola", chat=chat))
        await house.settled()
    assert len(house.channel.sent) == 2
    assert len(house.assistant.asked) == 2
    assert await house.statuses() == [(THIRD_CHAT, "waiting_for_human", "daily_limit")]
    assert [outcome for _, outcome in await house.outcomes()] == [None, None, "daily_limit"]
    await earlier(house, 86_400)
    await house.receive(incoming("¿hola?", chat=THIRD_CHAT))
    await house.settled()
    assert house.channel.sent[-1][:2] == (THIRD_CHAT, "re: ¿hola?")


async def test_a_persons_own_messages_are_never_held_up(house: House) -> None:
    house.configure(pacing=Pacing(per_minute=1, per_hour=1, per_day=1, gap_s=30, typing_s=TYPING_S))
    await house.receive(incoming("hola"))
    await house.settled()
    for number in range(3):
        await house.conversation.send(OTHER_CHAT, f"{number}", request_key=f"k{number}")
    await wait_for(lambda: len(house.channel.sent) == 4)


async def test_a_reply_that_is_not_wanted_any_more_leaves_its_time_to_others(house: House) -> None:
    house.configure(pacing=Pacing(per_minute=1, gap_s=0, typing_s=TYPING_S), debounce_s=0.0)
    await house.receive(incoming("uno"))
    await house.settled()
    await house.receive(incoming("dos", chat=OTHER_CHAT))
    await wait_for(lambda: given(house))
    await house.receive(own("yo sigo", chat=OTHER_CHAT))
    await house.journal.database.run("UPDATE outbound SET slot_at = slot_at - 59.5 WHERE state = 'prepared'")
    await house.restart()
    await house.settled()
    assert house.channel.texts == ["re: uno"]


# ------------------------------------------------------------------------------------------------ splitting


def paragraphs(count: int) -> str:
    return "\n\n".join(f"Párrafo {number}. " + "Palabras y más palabras. " * 20 for number in range(count)).strip()


async def test_a_long_reply_leaves_as_several_messages_in_order(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    long = paragraphs(3)

    async def answer(_: object) -> str:
        return long

    monkeypatch.setattr(house.assistant, "answer", answer)
    await house.receive(incoming("contame todo"))
    await house.settled()
    assert [text.split(".")[0] for text in house.channel.texts] == ["Párrafo 0", "Párrafo 1", "Párrafo 2"]
    assert len({message_id for _, _, message_id in house.channel.sent}) == 3
    recorded = [e for e in await house.events() if isinstance(e, MessageRecorded) and e.author == "assistant"]
    assert len({e.in_reply_to for e in recorded}) == 1


async def test_a_crash_between_two_parts_sends_each_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    long = paragraphs(3)

    async def answer(_: object) -> str:
        return long

    monkeypatch.setattr(house.assistant, "answer", answer)
    send, reached = house.channel.send, asyncio.Event()

    async def hang_at_the_second(*arguments: str) -> None:
        if len(house.channel.sent) == 1:
            # It left, and the runner dies before it learns so.
            await send(*arguments)
            reached.set()
            await asyncio.Event().wait()
        await send(*arguments)

    monkeypatch.setattr(house.channel, "send", hang_at_the_second)
    await house.receive(incoming("contame todo"))
    await asyncio.wait_for(reached.wait(), 20)
    monkeypatch.setattr(house.channel, "send", send)
    await house.restart()
    await house.settled()
    assert [text.split(".")[0] for text in house.channel.texts] == ["Párrafo 0", "Párrafo 1", "Párrafo 2"]


@pytest.mark.parametrize("trouble", [SendRefused, SendUnknown])
async def test_what_follows_a_part_that_did_not_arrive_is_not_sent(
    house: House, monkeypatch: pytest.MonkeyPatch, trouble: type[SendRefused | SendUnknown]
) -> None:
    async def answer(_: object) -> str:
        return paragraphs(3)

    async def hidden(chat_id: str, message_id: str) -> str:
        return "pending"

    monkeypatch.setattr("tenant_runner.outgoing.PENDING_PATIENCE_S", 0.2)
    monkeypatch.setattr(house.channel, "find", hidden)
    monkeypatch.setattr(house.assistant, "answer", answer)
    house.channel.trouble = [trouble]
    await house.receive(incoming("contame todo"))
    await house.settled()
    assert house.channel.sent == []
    fate = "failed" if trouble is SendRefused else "unknown"
    acks = [event.ack for event in await house.events() if isinstance(event, MessageAcknowledged)]
    assert acks[-1] == fate
    assert await house.statuses() == [(CHAT, "waiting_for_human", f"send_{fate}")]
    assert await house.outcomes() == [("chat", f"send_{fate}")]


async def test_the_owner_who_types_between_two_parts_stops_the_rest(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(_: object) -> str:
        return paragraphs(3)

    send = house.channel.send

    async def then_the_owner_types(*arguments: str) -> None:
        await send(*arguments)
        await house.receive(own("sigo yo"))

    monkeypatch.setattr(house.assistant, "answer", answer)
    monkeypatch.setattr(house.channel, "send", then_the_owner_types)
    await house.receive(incoming("contame todo"))
    await house.settled()
    assert len(house.channel.sent) == 1


def test_a_short_text_stays_whole() -> None:
    assert split("Hola.\n\n¿Cómo va?") == ["Hola.\n\n¿Cómo va?"]


@pytest.mark.parametrize(
    "text",
    [
        paragraphs(5),
        "Una frase. " * 300,
        "palabra " * 500,
        "x" * 5_000,
        "línea\n" * 800,
        ("á" * 899 + ". ") * 3,
    ],
    ids=["paragraphs", "sentences", "words", "no blanks", "lines", "long sentences"],
)
def test_nothing_is_lost_at_the_cuts_and_no_part_is_long(text: str) -> None:
    parts = split(text)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert 1 < len(parts) <= 6
    assert all(part.strip() == part and part for part in parts)


def test_sentences_stay_whole_where_that_is_possible() -> None:
    assert all(part.endswith(".") for part in split("Esta es una frase bastante normal. " * 60))


def test_a_very_long_text_gets_longer_parts_instead_of_many() -> None:
    assert len(split("Una frase. " * 5_000)) <= 6
