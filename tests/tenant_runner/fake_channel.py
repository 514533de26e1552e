"""A channel without a browser: what the conversation needs, and ways to make it misbehave."""

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tenant_runner.channels.base import Ack, ChannelMessage, ChannelNotReady, MediaGone, SendRefused, SendUnknown
from tenant_runner.contract import ChannelConfig, LinkCode, SessionChanged, SessionReason, SessionState

_numbers = itertools.count(1)


class FakeChannel:
    """Keeps what was sent by id. `trouble` is raised by the next sends; `delivers_in_trouble` sends all the same."""

    def __init__(self) -> None:
        self.session = SessionChanged(
            state=SessionState.WORKING, reason=SessionReason.CONNECTED, since=datetime.now(UTC)
        )
        self.working = asyncio.Event()
        self.working.set()
        self.sent: list[tuple[str, str, str]] = []
        self.acks: dict[str, Ack] = {}
        self.trouble: list[type[ChannelNotReady | SendRefused | SendUnknown]] = []
        self.delivers_in_trouble = False
        self.read: list[str] = []
        self.typed: list[str] = []
        self.files: dict[str, bytes] = {}

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def reconfigure(self, config: ChannelConfig) -> bool:
        return True

    async def wait_until_working(self) -> None:
        await self.working.wait()

    async def get(self) -> "FakeChannel":
        await self.working.wait()
        return self

    async def new_message_id(self, chat_id: str) -> str:
        return f"true_{chat_id}_{next(_numbers):08d}"

    async def send(self, chat_id: str, text: str, message_id: str) -> None:
        if not self.working.is_set():
            raise ChannelNotReady
        trouble = self.trouble.pop(0) if self.trouble else None
        if trouble is None or self.delivers_in_trouble:
            self.sent.append((chat_id, text, message_id))
            self.acks[message_id] = "server"
        if trouble is not None:
            raise trouble("trouble")

    async def find(self, chat_id: str, message_id: str) -> Ack | None:
        return self.acks.get(message_id)

    async def show_typing(self, chat_id: str, duration_s: float) -> None:
        self.typed.append(chat_id)

    async def mark_read(self, chat_id: str) -> None:
        self.read.append(chat_id)

    async def refresh_code(self) -> None: ...

    async def logout(self) -> None: ...

    async def link_code(self, phone: str) -> LinkCode:
        raise ChannelNotReady

    async def download(self, chat_id: str, message_id: str, max_bytes: int) -> bytes:
        data = self.files.get(message_id)
        if data is None or len(data) > max_bytes:
            raise MediaGone
        return data

    async def recycle(self) -> None: ...

    @property
    def texts(self) -> list[str]:
        return [text for _, text, _ in self.sent]


def incoming(text: str, *, chat: str = "5491100000001@c.us", kind: str = "chat", **facts: Any) -> ChannelMessage:
    message = ChannelMessage(
        message_id=f"false_{chat}_{next(_numbers):08d}",
        chat_id=chat,
        kind=kind,
        text=text,
        sent_at=datetime.now(UTC),
        contact_name="Ana",
        contact_phone="5491100000001",
    )
    return replace(message, **facts)


def own(text: str, *, chat: str = "5491100000001@c.us", **facts: Any) -> ChannelMessage:
    return incoming(text, chat=chat, **{"from_me": True, "message_id": f"true_{chat}_P{next(_numbers):08d}", **facts})
