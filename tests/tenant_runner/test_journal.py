"""The journal: durable, private, in order, each thing once."""

import asyncio
import sqlite3
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tenant_runner.contract import MessageRecorded
from tenant_runner.journal import Journal, NewMessage
from tenant_runner.journal.database import JournalTooNew


def message(number: int) -> NewMessage:
    return NewMessage(f"m{number}", "1@c.us", "contact", "chat", f"texto {number}", datetime.now(UTC))


async def test_only_the_owner_may_read_the_files(journal: Journal, tmp_path: Path) -> None:
    await journal.messages.record(message(1))
    names = ("journal.sqlite3", "journal.sqlite3-wal", "journal.sqlite3-shm")
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names} == {0o600}


async def test_everything_survives_reopening_under_the_same_name(journal: Journal, tmp_path: Path) -> None:
    await journal.messages.record(message(1), pending=True)
    other = await Journal.open(tmp_path / "journal.sqlite3")
    assert other.id == journal.id
    assert await other.turns.unfinished_chats() == ["1@c.us"]
    assert [event.sequence for event in await other.outbox.next(10)] == [1]
    await other.close()


async def test_a_message_is_stored_once_with_one_event(journal: Journal) -> None:
    assert await journal.messages.record(message(1)) is not None
    assert await journal.messages.record(message(1)) is None
    assert await journal.outbox.count() == 1


async def test_a_change_and_its_event_are_written_together_or_not_at_all(journal: Journal) -> None:
    async def break_in_the_middle() -> None:
        async with journal.transaction():
            await journal.messages.record(message(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await break_in_the_middle()
    assert await journal.outbox.count() == 0
    assert not await journal.messages.has("m1")


async def test_a_cancelled_writer_leaves_nothing_half_done_and_blocks_nobody(journal: Journal) -> None:
    inside = asyncio.Event()

    async def write() -> None:
        async with journal.transaction():
            await journal.messages.record(message(1))
            inside.set()
            await asyncio.Event().wait()

    writer = asyncio.create_task(write())
    await inside.wait()
    other = asyncio.create_task(journal.messages.record(message(2)))
    writer.cancel()
    assert await asyncio.wait_for(other, 5) is not None
    assert not await journal.messages.has("m1")


async def test_concurrent_writers_do_not_share_a_transaction(journal: Journal) -> None:
    await asyncio.gather(*(journal.messages.record(message(number)) for number in range(50)))
    events = await journal.outbox.next(100)
    assert [event.sequence for event in events] == list(range(1, 51))


async def test_accepted_events_go_and_numbers_are_never_used_again(journal: Journal) -> None:
    for number in range(3):
        await journal.messages.record(message(number))
    first, second, third = await journal.outbox.next(10)
    assert await journal.outbox.accepted(second.sequence) == 2
    assert [event.id for event in await journal.outbox.next(10)] == [third.id]
    await journal.outbox.accepted(third.sequence)
    await journal.messages.record(message(9))
    assert [event.sequence for event in await journal.outbox.next(10)] == [4]
    assert first.id != third.id


async def test_acknowledgements_only_go_forward(journal: Journal) -> None:
    outbound = await journal.outbound.prepare(message_id="o1", chat_id="1@c.us", author="assistant", text="hola")
    assert not await journal.outbound.acknowledge("o1", "server"), "nothing was sent yet"
    await journal.outbound.sending(outbound, ())
    assert await journal.outbound.acknowledge("o1", "delivered")
    assert not await journal.outbound.acknowledge("o1", "server")
    assert not await journal.outbound.acknowledge("o1", "delivered")
    assert await journal.outbound.acknowledge("o1", "read")
    assert not await journal.outbound.acknowledge("of somebody else", "read")


async def test_a_text_longer_than_the_contract_allows_is_cut(journal: Journal) -> None:
    long = NewMessage("m1", "1@c.us", "contact", "chat", "x" * 70_000, datetime.now(UTC))
    await journal.messages.record(long)
    [event] = await journal.outbox.next(1)
    assert isinstance(event.payload, MessageRecorded)
    assert len(event.payload.text) == 65_536


async def test_a_journal_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "newer.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(JournalTooNew):
        await Journal.open(path)
