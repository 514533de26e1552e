"""What the conversation asks of a connected page, in the channel's words."""

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any

from tenant_runner.channels.base import Ack, ChannelNotReady, SendRefused, SendUnknown
from tenant_runner.channels.whatsapp_web.page import PageBroken, PageTimeout, WhatsAppPage
from tenant_runner.channels.whatsapp_web.pulse import Pulse

logger = logging.getLogger(__name__)

# WhatsApp's words for "nobody knows whether it left".
_UNKNOWN = ("ERROR_NETWORK", "ERROR_EXPIRED", "None")
# Ids that came with messages and were not needed yet; without one the page is asked.
MOST_REPLY_IDS = 500


class PageRequests:
    """See `Channel`. Nothing is asked of a page that is not connected, restricted accounts' pages among them."""

    def __init__(self) -> None:
        self._page: WhatsAppPage | None = None
        self._pulse = Pulse(0.0)
        self._reply_ids: dict[str, str] = {}
        self._to_read: set[str] = set()
        self._working = asyncio.Event()
        self._nudge = asyncio.Event()

    async def wait_until_working(self) -> None:
        """Return once the session is WORKING and proven."""
        await self._working.wait()

    def _working_page(self) -> WhatsAppPage:
        if self._page is None or not self._working.is_set():
            raise ChannelNotReady("the session is not connected")
        return self._page

    def _keep_reply_id(self, message: dict[str, Any]) -> None:
        """A message, as `bridge.js` tells of it, brings an id for its answer along; a chat's newest is kept."""
        if message["replyId"] is not None:
            self._reply_ids.pop(message["chat"], None)
            self._reply_ids[message["chat"]] = message["replyId"]
            if len(self._reply_ids) > MOST_REPLY_IDS:
                del self._reply_ids[next(iter(self._reply_ids))]

    async def new_message_id(self, chat_id: str) -> str:
        """An id that WhatsApp accepts."""
        page = self._working_page()
        if (kept := self._reply_ids.pop(chat_id, None)) is not None:
            return kept
        try:
            return await page.new_message_id(chat_id)
        except PageBroken as error:
            raise ChannelNotReady(str(error)) from error

    async def send(self, chat_id: str, text: str, message_id: str) -> None:
        """Send; raises as `Channel.send` says."""
        page = self._working_page()
        try:
            result = await page.send(chat_id, text, message_id, read=chat_id in self._to_read)
        except PageTimeout as error:
            self._pulse.suspect(time.monotonic())
            self._nudge.set()
            raise SendUnknown(str(error)) from error
        except PageBroken as error:
            # The call may have broken before or after the message left.
            raise SendUnknown(str(error)) from error
        self._to_read.discard(chat_id)
        if result in _UNKNOWN:
            raise SendUnknown(result)
        if result != "OK":
            raise SendRefused(result)

    async def find(self, chat_id: str, message_id: str) -> Ack | None:
        """How far a message got."""
        try:
            return await self._working_page().find(chat_id, message_id)
        except PageBroken as error:
            raise ChannelNotReady(str(error)) from error

    async def show_typing(self, chat_id: str, duration_s: float) -> None:
        """Show "typing…"."""
        with suppress(PageBroken, ChannelNotReady):
            await self._working_page().show_typing(chat_id, duration_s, read=chat_id in self._to_read)
            self._to_read.discard(chat_id)

    async def mark_read(self, chat_id: str) -> None:
        """Send read receipts ahead of what is shown or sent next in the chat, in the same call."""
        self._to_read.add(chat_id)

    async def download(self, chat_id: str, message_id: str, max_bytes: int) -> bytes:
        """The file of a message."""
        try:
            return await self._working_page().download(message_id, max_bytes)
        except PageBroken as error:
            raise ChannelNotReady(str(error)) from error
