"""Chromium's DevTools protocol over the one socket that only its parent holds: calls with deadlines, sessions, events.

Messages are JSON, each ended by a zero byte. Why not a library: docs/decisions/0005.
"""

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

logger = logging.getLogger(__name__)

CALL_S = 30.0
THE_BROWSER = ""
"""Name of the session that is the browser's own."""

Handler = Callable[[dict[str, Any]], object]


class BrowserError(Exception):
    """The browser ended, or did not do what was asked; its first line says why."""


class BrowserTimeout(BrowserError):
    """No answer in time; what was asked may still happen."""


class Connection(asyncio.Protocol):
    """The socket, and who waits for what comes through it.

    Handlers are called in the order of the events, each before what came after it is looked at.
    """

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._open = True
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        self._numbers = count(1)
        self._waiting: dict[int, tuple[str, asyncio.Future[dict[str, Any]]]] = {}
        self._handlers: dict[tuple[str, str], Handler] = {}

    @classmethod
    async def over(cls, end: socket.socket, on_end: Callable[[], None]) -> "Connection":
        """Speak through our end of the socket; `on_end` is called once, when the other end is gone."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_unix_connection(lambda: cls(on_end), sock=end)
        return connection

    def session(self, name: str = THE_BROWSER) -> "Session":
        """A target's session, by the name that attaching to it gave."""
        return Session(self, name)

    def on(self, session: str, event: str, handler: Handler) -> None:
        """Have a session's events of that name handled; one handler each."""
        self._handlers[session, event] = handler

    @contextmanager
    def expect(self, session: str) -> Iterator[tuple[int, asyncio.Future[dict[str, Any]]]]:
        """What a session will answer to the question of that number; `BrowserError` when it does not any more."""
        number, answer = next(self._numbers), asyncio.get_running_loop().create_future()
        self._waiting[number] = session, answer
        try:
            yield number, answer
        finally:
            del self._waiting[number]
            if not answer.cancel() and not answer.cancelled():
                # Whoever waited may have left for another reason: asyncio complains of errors that nobody looked at.
                answer.exception()

    def post(self, session: str, method: str, parameters: dict[str, Any], number: int | None = None) -> None:
        """Ask for something without waiting for it.

        Raises:
            BrowserError: the browser ended.
        """
        if not self._open or self._transport is None:
            raise BrowserError("the browser ended")
        message = {"id": number or next(self._numbers), "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self._transport.write(json.dumps(message).encode() + b"\0")

    async def call(self, session: str, method: str, parameters: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Ask for something and wait for the answer; one that comes later than `timeout_s` is dropped.

        Raises:
            BrowserTimeout: no answer in time.
            BrowserError: the browser refused, or ended before it answered.
        """
        with self.expect(session) as (number, answer):
            self.post(session, method, parameters, number)
            try:
                async with asyncio.timeout(timeout_s):
                    return await answer
            except TimeoutError as error:
                raise BrowserTimeout(f"no answer in {timeout_s:.0f} s") from error

    def forsake(self, session: str | None, cause: str) -> None:
        """Fail everybody who waits for a session that will not answer any more; None for all sessions."""
        for waiting, answer in self._waiting.values():
            if session in (None, waiting) and not answer.done():
                answer.set_exception(BrowserError(cause))

    def close(self) -> None:
        """Let go of the socket; a browser that runs yet ends by that."""
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a socket of streams has no other
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        first, *others = data.split(b"\0")
        self._parts.append(first)
        for part in others:
            message, self._parts = b"".join(self._parts), [part]
            try:
                self._take(json.loads(message))
            except Exception:
                # One that cannot be handled must not end all others.
                logger.exception("browser's message not handled")

    def connection_lost(self, exc: Exception | None) -> None:
        self._open = False
        self.forsake(None, "the browser ended")
        self._on_end()

    def _take(self, message: dict[str, Any]) -> None:
        if "id" not in message:
            handler = self._handlers.get((message.get("sessionId", THE_BROWSER), message["method"]))
            if handler is not None:
                handler(message["params"])
            return
        _, answer = self._waiting.get(message["id"], (None, None))
        if answer is None or answer.done():
            return
        if "error" in message:
            answer.set_exception(BrowserError(message["error"]["message"]))
        else:
            answer.set_result(message["result"])


@dataclass(frozen=True)
class Session:
    """One target's part of a connection: the browser itself, or a page."""

    connection: Connection
    name: str

    async def call(self, method: str, *, timeout_s: float = CALL_S, **parameters: Any) -> dict[str, Any]:
        """See `Connection.call`."""
        return await self.connection.call(self.name, method, parameters, timeout_s)

    def post(self, method: str, **parameters: Any) -> None:
        """See `Connection.post`."""
        self.connection.post(self.name, method, parameters)

    def on(self, event: str, handler: Handler) -> None:
        """See `Connection.on`."""
        self.connection.on(self.name, event, handler)
