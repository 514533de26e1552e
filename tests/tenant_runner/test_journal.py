"""The journal: durable, private, in order, each thing once."""

import asyncio
import shutil
import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tenant_runner.contract import MessageAcknowledged, MessageRecorded
from tenant_runner.journal import Journal, NewMessage
from tenant_runner.journal.database import FOLD_COMMITS, JournalTooNew, fold_beside
from tenant_runner.journal.schema import MIGRATIONS
from tests.conftest import wait_for


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


async def test_what_is_written_gets_from_the_log_into_the_file_meanwhile(journal: Journal, tmp_path: Path) -> None:
    for number in range(2 * FOLD_COMMITS):
        await journal.messages.record(message(number))

    def count_without_log() -> int:
        """In the file alone, as if the log had never been."""
        copy = tmp_path / "copy.sqlite3"
        shutil.copyfile(tmp_path / "journal.sqlite3", copy)
        with closing(sqlite3.connect(copy)) as connection:
            return int(connection.execute("SELECT count(*) FROM messages").fetchone()[0])

    await wait_for(lambda: count_without_log() >= FOLD_COMMITS)
    await journal.messages.record(message(-1))
    assert await journal.outbox.count() == 2 * FOLD_COMMITS + 1


async def test_a_log_that_cannot_be_folded_in_is_told_and_nothing_is_made(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fold_beside(tmp_path / "gone.sqlite3")
    assert [record.message for record in caplog.records] == ["journal's log not folded in"]
    assert not list(tmp_path.iterdir())


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


async def test_an_event_of_a_change_that_is_not_written_yet_is_not_told(journal: Journal) -> None:
    inside = asyncio.Event()

    async def write() -> None:
        async with journal.transaction():
            await journal.messages.record(message(1))
            inside.set()
            await asyncio.Event().wait()

    writer = asyncio.create_task(write())
    await inside.wait()
    telling = asyncio.create_task(journal.outbox.next(10))
    await asyncio.sleep(0)
    writer.cancel()
    assert await asyncio.wait_for(telling, 60) == ()


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
    assert await asyncio.wait_for(other, 60) is not None
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


async def test_a_message_given_up_as_unknown_may_still_turn_out_to_have_arrived(journal: Journal) -> None:
    outbound = await journal.outbound.prepare(message_id="o1", chat_id="1@c.us", author="assistant", text="hola")
    await journal.outbound.sending(outbound, ())
    await journal.outbound.finish("o1", "unknown")
    assert await journal.outbound.acknowledge("o1", "delivered")
    told = [event.payload for event in await journal.outbox.next(10)]
    assert [each.ack for each in told if isinstance(each, MessageAcknowledged)] == ["unknown", "delivered"]
    known = await journal.outbound.get("o1")
    assert known is not None
    assert known.state == "sent"


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


async def test_a_journal_of_version_1_is_taken_over_with_all_that_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            f"""{MIGRATIONS[0]}PRAGMA user_version=1;
            INSERT INTO facts VALUES ('journal_id', 'j1');
            INSERT INTO messages (message_id, chat_id, author, kind, text, sent_at, recorded_at, turn_id)
                VALUES ('m1', '1@c.us', 'contact', 'chat', 'hola', 1000, 1000, 1);
            INSERT INTO turns (chat_id, opened_at, reply, replied_at, fallback) VALUES ('1@c.us', 1000, 'uf', 1001, 1);
            INSERT INTO outbound VALUES ('o1', '1@c.us', 'assistant', 'uf', 1, NULL, 'sending', NULL, 1001);
            INSERT INTO outbound VALUES ('o2', '2@c.us', 'agent', 'listo', NULL, 'k1', 'prepared', NULL, 1002);
            INSERT INTO chats VALUES ('3@c.us', 1, 1000, NULL, 1000), ('1@c.us', NULL, NULL, 'rejected', 1000);"""
        )
    connection.close()
    journal = await Journal.open(path)
    assert journal.id == "j1"
    turn = await journal.turns.open_of("1@c.us")
    assert turn is not None
    assert (turn.reply, turn.notice) == ("uf", "fallback")
    [part] = await journal.outbound.of_turn(turn.turn_id)
    assert (part.message_id, part.part, part.state) == ("o1", 0, "sending")
    assert [each.message_id for each in await journal.outbound.unfinished_requests()] == ["o2"]
    assert await journal.chats.silence("3@c.us") == "suspended"
    assert await journal.chats.silence("1@c.us") is None
    assert await journal.turns.message_ids(turn.turn_id) == ("m1",)
    await journal.close()
    again = await Journal.open(path)
    assert again.id == "j1"
    await again.close()


async def test_parts_of_one_answer_are_promised_once_each(journal: Journal) -> None:
    for attempt in ("a", "b"):
        for part in range(2):
            await journal.outbound.prepare(
                message_id=f"{attempt}{part}",
                chat_id="1@c.us",
                author="assistant",
                text=f"{part}",
                turn_id=7,
                part=part,
            )
    assert [each.message_id for each in await journal.outbound.of_turn(7)] == ["a0", "a1"]
