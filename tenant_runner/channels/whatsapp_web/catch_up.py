"""Reading from the page what no event told: all of it, however many chats wrote meanwhile."""

import logging
import time
from datetime import datetime

from tenant_runner.channels.base import ChannelChange, ChannelListener, ChannelMessage
from tenant_runner.channels.whatsapp_web.inbox import Inbox
from tenant_runner.channels.whatsapp_web.page import PageBroken, WhatsAppPage
from tenant_runner.channels.whatsapp_web.sweeps import Sweeps

logger = logging.getLogger(__name__)

CHATS_AT_ONCE = 20


class CatchUp:
    """Goes through the chats and puts what it finds into the inbox."""

    def __init__(self, listener: ChannelListener, inbox: Inbox, sweeps: Sweeps) -> None:
        self._listener = listener
        self._inbox = inbox
        self._sweeps = sweeps

    async def run(self, page: WhatsAppPage, phone: str) -> None:
        """Look once. What could not be read is looked for again soon, and counts as missed until then."""
        began, failures = time.monotonic(), self._inbox.failures
        since = await self._listener.catch_up_from(phone)
        is_whole, newest = True, None
        try:
            chats = await page.chats_since(since)
            for start in range(0, len(chats), CHATS_AT_ONCE):
                missed = await page.missed(since, chats[start : start + CHATS_AT_ONCE])
                self._inbox.put(*missed.items)
                is_whole = is_whole and not missed.unread
                newest = max(filter(None, (newest, _newest(missed.items))), default=None)
        except PageBroken as error:
            logger.warning("catching up failed", extra={"cause": str(error)})
            is_whole = False
        if not is_whole:
            self._sweeps.failed(began)
            return
        self._sweeps.done(began)
        if newest is not None:
            self._inbox.put_caught_up(phone, newest, failures)


def _newest(items: list[ChannelMessage | ChannelChange]) -> datetime | None:
    """By the contacts' messages alone: our own carry this machine's clock."""
    times = [item.sent_at for item in items if isinstance(item, ChannelMessage) and not item.from_me]
    return max(times, default=None)
