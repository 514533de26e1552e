"""What the page tells, handed to the listener one at a time and in order."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tenant_runner.channels.base import Ack, ChannelChange, ChannelListener, ChannelMessage
from tenant_runner.channels.whatsapp_web.page import parse_change, parse_message

logger = logging.getLogger(__name__)

# As long as the conversation waits for the real form of a message.
SEALED_PATIENCE_S = 180.0


@dataclass(frozen=True)
class _CaughtUp:
    phone: str
    through: datetime
    failures: int


class Inbox:
    """A queue between the page, which does not wait, and the listener, which stores.

    Attributes:
        failures: how many things could not be stored so far.
    """

    def __init__(self, listener: ChannelListener, on_failure: Callable[[], None]) -> None:
        self._listener = listener
        self._on_failure = on_failure
        self._queue: asyncio.Queue[ChannelMessage | ChannelChange | _CaughtUp | tuple[str, Ack]] = asyncio.Queue()
        self._sealed: dict[str, float] = {}
        self.failures = 0

    @property
    def has_sealed(self) -> bool:
        """Whether a message that could not be decrypted still waits for its real form."""
        given_up = time.monotonic() - SEALED_PATIENCE_S
        self._sealed = {message_id: since for message_id, since in self._sealed.items() if since > given_up}
        return bool(self._sealed)

    def put(self, *items: ChannelMessage | ChannelChange) -> None:
        """What was read from the page."""
        for item in items:
            self._queue.put_nowait(item)

    def put_caught_up(self, phone: str, through: datetime, failures: int) -> None:
        """Say that everything until then was put, which holds if nothing failed since there were so many failures."""
        self._queue.put_nowait(_CaughtUp(phone, through, failures))

    def take(self, name: str, payload: Any) -> bool:
        """An event of the page; False when it is none of a message."""
        if name == "message":
            self._queue.put_nowait(parse_message(payload))
        elif name == "change":
            self._queue.put_nowait(parse_change(payload))
        elif name == "ack":
            self._queue.put_nowait((payload["id"], payload["ack"]))
        else:
            return False
        return True

    async def hand_over(self) -> None:
        """For ever."""
        while True:
            item = await self._queue.get()
            try:
                if isinstance(item, ChannelMessage):
                    await self._listener.message_received(item)
                    self._note(item)
                elif isinstance(item, ChannelChange):
                    await self._listener.message_changed(item)
                elif isinstance(item, _CaughtUp):
                    if item.failures == self.failures:
                        await self._listener.caught_up(item.phone, item.through)
                else:
                    await self._listener.message_acknowledged(*item)
            except Exception:
                # It was not stored, so it was not marked read either: ask the page for it again.
                logger.exception("channel event was not taken in")
                self.failures += 1
                self._on_failure()

    def _note(self, message: ChannelMessage) -> None:
        if message.undecrypted:
            self._sealed.setdefault(message.message_id, time.monotonic())
        else:
            self._sealed.pop(message.message_id, None)
