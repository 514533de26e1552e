"""An open page of the stand-in: its WebSocket and what it is doing."""

import asyncio
import secrets
import time
from typing import Any

from pydantic import BaseModel
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from sandbox.whatsapp_web.accounts import Account, Device

SEND_DEADLINE_S = 10


class Hello(BaseModel):
    """How a page introduces itself: its keys, and the device that it was linked as, if any."""

    version: str
    noise: str
    identity: str
    adv: str
    platform: str = "1"
    device_id: str | None = None
    client: dict[str, Any] = {}


class Page:
    """One open page.

    Attributes:
        refs: QR references that still work, oldest first.
        account, device: set once it is linked.
        ready: synced, so that messages may be pushed.
        held: ids of messages of the time offline that are pushed some time after the login.
        rotation: the task that changes its QR code.
    """

    def __init__(self, websocket: WebSocket) -> None:
        self.id = secrets.token_hex(6)
        self.opened_at = time.time()
        self.hello: Hello | None = None
        self.refs: list[str] = []
        self.ref_expires_at = 0.0
        self.account: Account | None = None
        self.device: Device | None = None
        self.ready = False
        self.held: list[str] = []
        self.rotation: asyncio.Task[None] | None = None
        self._websocket = websocket

    @property
    def qr(self) -> str | None:
        """What the QR code on the page says now; None if it shows none."""
        if not self.refs or self.hello is None:
            return None
        hello = self.hello
        return ",".join((self.refs[-1], hello.noise, hello.identity, hello.adv, hello.platform))

    async def send(self, op: str, **fields: Any) -> None:
        """Send a frame; a page that is gone or takes nothing any more is left alone."""
        if self._websocket.application_state is not WebSocketState.CONNECTED:
            return
        try:
            async with asyncio.timeout(SEND_DEADLINE_S):
                await self._websocket.send_json({"op": op, **fields})
        except (RuntimeError, WebSocketDisconnect, TimeoutError):
            await self.close()

    async def close(self, code: int = 1012) -> None:
        """Close the connection; the page connects again by itself."""
        if self._websocket.application_state is not WebSocketState.CONNECTED:
            return
        try:
            async with asyncio.timeout(SEND_DEADLINE_S):
                await self._websocket.close(code)
        except (RuntimeError, WebSocketDisconnect, TimeoutError):
            return

    def stop_rotation(self) -> None:
        """Show no further QR codes."""
        if self.rotation is not None:
            self.rotation.cancel()
            self.rotation = None
        self.refs = []
