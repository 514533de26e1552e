"""What counts as caught up: everything was read, and everything that was read was stored."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from tenant_runner.channels.base import ChannelChange, ChannelMessage
from tenant_runner.channels.whatsapp_web.catch_up import CHATS_AT_ONCE, CatchUp
from tenant_runner.channels.whatsapp_web.inbox import Inbox
from tenant_runner.channels.whatsapp_web.page import Missed, PageBroken
from tenant_runner.channels.whatsapp_web.sweeps import Sweeps
from tenant_runner.journal import Journal, NewMessage
from tenant_runner.journal.watched import OVERLAP
from tests.conftest import wait_for
from tests.tenant_runner.linked_session import Listener

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHATS = [f"54911000{number:05d}@c.us" for number in range(CHATS_AT_ONCE + 5)]


def message(chat: str, minutes: int, *, from_me: bool = False) -> ChannelMessage:
    sent_at = NOON + timedelta(minutes=minutes)
    return ChannelMessage(f"{chat}_{minutes}", chat, "chat", "hola", sent_at, from_me=from_me)


class Page:
    """A page whose chats are as the test says."""

    def __init__(self) -> None:
        self.unreadable: set[str] = set()
        self.broken: set[str] = set()

    async def chats_since(self, since: datetime) -> list[str]:
        return CHATS

    async def missed(self, since: datetime, chats: list[str]) -> Missed:
        if self.broken & set(chats):
            raise PageBroken("the page did not answer")
        items: list[ChannelMessage | ChannelChange] = [message(chat, CHATS.index(chat)) for chat in chats]
        # Ours carries this machine's clock, which may be ahead.
        ours = message(chats[0], 600, from_me=True)
        return Missed([item for item in [*items, ours] if item.chat_id not in self.unreadable], len(self.unreadable))


class Forgetful(Listener):
    """Cannot store what it is told of some chats."""

    def __init__(self) -> None:
        super().__init__()
        self.cannot_store: set[str] = set()
        self.refused = 0

    async def message_received(self, message: ChannelMessage) -> None:
        if message.chat_id in self.cannot_store:
            self.refused += 1
            raise OSError("disk full")
        await super().message_received(message)


class Round:
    """One channel's catching up, and what hands it over."""

    def __init__(self) -> None:
        self.listener, self.page, self.sweeps = Forgetful(), Page(), Sweeps()
        self.inbox = Inbox(self.listener, self.sweeps.want)
        self.catch_up = CatchUp(self.listener, self.inbox, self.sweeps)

    async def run(self) -> None:
        await self.catch_up.run(self.page, "5491155550000")  # type: ignore[arg-type]  # only what it asks of a page
        self.inbox.take("ack", {"id": "the last item", "ack": "read"})
        self.listener.acks.clear()
        await wait_for(lambda: self.listener.acks)


@pytest.fixture
async def looked() -> AsyncIterator[Round]:
    made = Round()
    handing_over = asyncio.create_task(made.inbox.hand_over())
    yield made
    handing_over.cancel()


async def test_it_is_caught_up_through_the_newest_message_of_a_contact(looked: Round) -> None:
    await looked.run()
    assert {told.chat_id for told in looked.listener.messages} == set(CHATS)
    assert looked.listener.caught_up_through == NOON + timedelta(minutes=len(CHATS) - 1)
    assert not looked.sweeps.is_near(sealed=False)


async def test_a_chat_that_could_not_be_read_counts_as_missed_until_it_was(looked: Round) -> None:
    looked.page.unreadable = {CHATS[3]}
    await looked.run()
    assert len({told.chat_id for told in looked.listener.messages}) == len(CHATS) - 1
    assert looked.listener.caught_up_through is None
    assert looked.sweeps.is_near(sealed=False)
    looked.page.unreadable = set()
    await looked.run()
    assert {told.chat_id for told in looked.listener.messages} == set(CHATS)
    assert looked.listener.caught_up_through is not None


async def test_what_was_read_before_the_page_broke_is_told_and_the_rest_counts_as_missed(looked: Round) -> None:
    looked.page.broken = {CHATS[-1]}
    await looked.run()
    assert {told.chat_id for told in looked.listener.messages} == set(CHATS[:CHATS_AT_ONCE])
    assert looked.listener.caught_up_through is None
    assert looked.sweeps.is_near(sealed=False)


async def test_what_could_not_be_stored_counts_as_missed_until_it_was(looked: Round) -> None:
    looked.listener.cannot_store = {CHATS[7]}
    await looked.run()
    assert looked.listener.refused == 1
    assert looked.listener.caught_up_through is None
    assert looked.sweeps.is_near(sealed=False)
    looked.listener.cannot_store = set()
    await looked.run()
    assert looked.listener.caught_up_through == NOON + timedelta(minutes=len(CHATS) - 1)


async def test_a_message_that_was_told_by_an_event_does_not_hide_older_ones(journal: Journal) -> None:
    phone, later = "5491155550000", datetime.now(UTC) + timedelta(hours=2)
    first = await journal.watched.catch_up_from(phone)
    await journal.messages.record(NewMessage("m1", "1@c.us", "contact", "chat", "hola", later))
    assert await journal.watched.catch_up_from(phone) == first
    await journal.watched.caught_up(phone, later)
    await journal.watched.caught_up(phone, later - timedelta(hours=1))
    assert await journal.watched.catch_up_from(phone) == later - OVERLAP
    # Of another number nothing is known, and its past is none of our business.
    await journal.watched.caught_up("5491155551111", later + timedelta(hours=1))
    assert await journal.watched.catch_up_from(phone) == later - OVERLAP
    before = datetime.now(UTC)
    assert await journal.watched.catch_up_from("5491155551111") >= before
