"""What a loss of the machine's power cannot take back, and how seldom the disk is waited for to see to that."""

from collections.abc import Iterator

import pytest

from tenant_runner.contract import Pacing
from tenant_runner.journal import Journal
from tests.tenant_runner.fake_channel import incoming
from tests.tenant_runner.house import CHAT, House


class Disk:
    """Follows what SQLite is told: which commits waited for the disk, and whether a later one did not.

    Attributes:
        waits: commits of changes that waited.
        is_behind: something was committed that a loss of power could take back.
    """

    def __init__(self) -> None:
        self.waits = 0
        self.is_behind = False
        self._is_lazy = False
        self._writes = False

    def follow(self, statement: str) -> None:
        word = statement.split()[0]
        if word == "PRAGMA" and "synchronous" in statement:
            self._is_lazy = "NORMAL" in statement
        elif word == "BEGIN":
            self._writes = False
        elif word in ("INSERT", "UPDATE", "DELETE"):
            self._writes = True
        elif word == "COMMIT" and self._writes:
            self.waits += not self._is_lazy
            self.is_behind = self._is_lazy


@pytest.fixture
def disk(journal: Journal) -> Iterator[Disk]:
    disk = Disk()
    journal.database._connection.set_trace_callback(disk.follow)
    yield disk
    journal.database._connection.set_trace_callback(None)


async def test_a_journal_waits_for_the_disk_from_the_start(journal: Journal) -> None:
    assert (await journal.database.row("PRAGMA synchronous"))["synchronous"] == 2  # FULL


async def test_a_reply_waits_for_the_disk_once_and_before_it_leaves(house: House, disk: Disk) -> None:
    house.configure(debounce_s=0, pacing=Pacing(gap_s=0, typing_s=0))
    seen: list[tuple[bool, int]] = []
    send = house.channel.send

    async def watched_send(chat_id: str, text: str, message_id: str) -> None:
        seen.append((disk.is_behind, disk.waits))
        await send(chat_id, text, message_id)

    await house.receive(incoming("primero"))
    await house.settled()
    waits = disk.waits
    house.channel.send = watched_send  # type: ignore[method-assign]
    await house.receive(incoming("segundo"))
    await house.settled()
    assert house.channel.texts == ["re: primero", "re: segundo"]
    assert seen == [(False, waits + 1)]
    assert disk.waits == waits + 1, "nor after it left"


async def test_what_the_control_plane_is_told_is_durable_before(house: House, disk: Disk) -> None:
    house.configure(debounce_s=0, pacing=Pacing(gap_s=0, typing_s=0))
    await house.receive(incoming("hola"))
    await house.settled()
    assert disk.is_behind
    events = await house.journal.outbox.next(200)
    assert events
    assert not disk.is_behind
    waits = disk.waits
    assert await house.journal.outbox.next(200) == events
    assert disk.waits == waits, "the same events again are durable already"


async def test_what_the_portal_was_promised_is_durable(house: House, disk: Disk) -> None:
    await house.receive(incoming("hola"))
    await house.settled()
    assert disk.is_behind
    await house.conversation.send(CHAT, "De una persona", request_key="k1")
    assert not disk.is_behind
    await house.settled()
    assert house.channel.texts == ["re: hola", "De una persona"]
