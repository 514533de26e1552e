"""The web process's server: uvicorn, with a deadline for clients that send nothing, or a byte now and then."""

import asyncio
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from control_plane.settings import Settings


class PromptProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection on which no whole request head arrives in time.

    uvicorn's own deadline for idle connections ends with the first byte that comes. While a request is being answered
    there is none: streams last.
    """

    head_timeout_s: float
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client came."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Something came: a request, or a part of one."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went."""
        self._forget()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if not self._waits():
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.head_timeout_s, self._give_up)

    def _waits(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self._waits() and not self.transport.is_closing():
            self.transport.close()


def server_config(app: ASGIApp, settings: Settings, **options: Any) -> uvicorn.Config:
    """How the application is served.

    Args:
        options: further ones of `uvicorn.Config`.
    """

    class Protocol(PromptProtocol):
        head_timeout_s = settings.receive_timeout_s

    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=Protocol,
        # The application speaks no WebSocket, and applies its own trust in proxies (FLAME_TRUSTED_PROXIES).
        ws="none",
        proxy_headers=False,
        server_header=False,
        log_config=None,
        # The request log is ours: uvicorn's would hold landing links.
        access_log=False,
        **options,
    )
