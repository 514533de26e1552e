"""Long work goes on in steps as large as the database is quick, and rests in between."""

from datetime import UTC, datetime, timedelta

import pytest

from control_plane.conversations import pace as pace_module
from control_plane.conversations.pace import FIRST, LARGEST, REST, SMALLEST, STEP_S, Pace
from control_plane.conversations.repository import Conversations
from control_plane.database import Database
from tenant_runner.contract import MessageRecorded


class Clock:
    """Time that passes only when told; what was slept is kept."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace_module, "time", clock)
    monkeypatch.setattr(pace_module, "asyncio", clock)
    return clock


async def work(pace: Pace, clock: Clock, *, seconds_each: float) -> None:
    """One step of the size that is asked for."""
    count = pace.size
    async with pace.step(count):
        clock.now += count * seconds_each


@pytest.mark.parametrize("seconds_each", [0.00002, 0.0004, 0.002])
async def test_steps_come_to_fit_the_database(clock: Clock, seconds_each: float) -> None:
    pace = Pace()
    for _ in range(20):
        await work(pace, clock, seconds_each=seconds_each)
    assert STEP_S / 4 <= pace.size * seconds_each <= STEP_S * 2


async def test_steps_have_bounds_and_a_small_one_says_nothing_of_large_ones(clock: Clock) -> None:
    pace = Pace()
    async with pace.step(5):
        clock.now += STEP_S / 10
    assert pace.size == FIRST
    for _ in range(20):
        await work(pace, clock, seconds_each=0)
    assert pace.size == LARGEST
    for _ in range(20):
        await work(pace, clock, seconds_each=1)
    assert pace.size == SMALLEST


async def test_each_step_is_followed_by_a_rest_that_it_earned(clock: Clock) -> None:
    pace = Pace()
    async with pace.turn():
        clock.now += 2
    async with pace.step(1):
        clock.now += 3
    assert clock.slept == [2 * REST, 3 * REST]


async def test_a_long_chat_goes_in_several_steps_to_its_last_message_and_no_further(database: Database) -> None:
    conversations, now = Conversations(database, "ana"), datetime.now(UTC)
    old, count = now - timedelta(hours=30), 3 * FIRST
    # Many have the same moment, as after a phone was offline.
    messages = [
        MessageRecorded(message_id=f"old {n}", chat_id="1@c.us", author="contact", text="a", sent_at=moment)
        for n in range(count)
        for moment in [old + timedelta(seconds=n if n < FIRST else FIRST)]
    ]
    young = MessageRecorded(message_id="young", chat_id="1@c.us", author="contact", text="a", sent_at=now)
    await conversations.record([(message, n) for n, message in enumerate([*messages, young], start=1)])
    assert await conversations.delete_before(now - timedelta(hours=24)) == count
    assert [document["message_id"] async for document in database["client_messages"].find()] == ["young"]
    assert await conversations.delete_before(now - timedelta(hours=24)) == 0


async def test_a_client_goes_in_steps_and_whoever_was_interrupted_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients, now = [Conversations(database, name) for name in ("ana", "bea")], datetime.now(UTC)
    for conversations in clients:
        messages = [
            MessageRecorded(message_id=f"{n}", chat_id=f"{n % 4}@c.us", author="contact", text="a", sent_at=now)
            for n in range(100)
        ]
        await conversations.record([(message, n) for n, message in enumerate(messages, start=1)])

    async def left(client_id: str) -> list[int]:
        names = ("client_messages", "client_chats")
        return [await database[name].count_documents({"client_id": client_id}) for name in names]

    class Ending:
        async def sleep(self, _seconds: float) -> None:
            if (await left("ana"))[0] <= 50:
                raise InterruptedError

    with monkeypatch.context() as patched:
        patched.setattr(pace_module, "asyncio", Ending())
        with pytest.raises(InterruptedError):
            await clients[0].delete_all()
    assert await left("ana") == [50, 3]
    await clients[0].delete_all()
    assert [await left("ana"), await left("bea")] == [[0, 0], [100, 4]]
