"""Bodies of requests: of a bounded size, received within a bounded time, before anything else is done with them."""

import asyncio
from http import HTTPStatus

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_plane.errors import Problem
from control_plane.http.answers import answer
from tenant_runner.contract import MAX_EVENTS_PER_DELIVERY, MAX_TEXT_CHARS

# A runner's delivery is refused for nothing that the contract allows: it would be stuck with it for ever.
_INTERNAL = "/internal/"
_LARGEST_DELIVERY = MAX_EVENTS_PER_DELIVERY * (4 * MAX_TEXT_CHARS + 16_384)


class BodyTooLarge(Problem):
    """What was sent is too large; make it shorter, or ask the operator for a higher limit (FLAME_MAX_BODY_KB)."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    type = "/problems/body-too-large"
    title = "Too large"


class BodyTooSlow(Problem):
    """What was sent did not arrive in time; check the connection and try again."""

    status = HTTPStatus.REQUEST_TIMEOUT
    type = "/problems/body-too-slow"
    title = "It took too long to arrive"


class _Gone(Exception):
    """The client went away before its request was whole."""


class BodyLimits:
    """ASGI middleware: hands a request on once its body is here.

    Args:
        largest: bytes, whether the length was declared or not.
        timeout_s: time for the whole body; what is answered afterwards may last as long as it likes.
    """

    def __init__(self, app: ASGIApp, *, largest: int, timeout_s: float) -> None:
        self._app = app
        self._largest = largest
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        largest = max(self._largest, _LARGEST_DELIVERY) if scope["path"].startswith(_INTERNAL) else self._largest
        try:
            async with asyncio.timeout(self._timeout_s):
                body: bytes | None = await _receive_body(scope, receive, largest)
        except TimeoutError:
            await answer(Request(scope), BodyTooSlow())(scope, receive, send)
            return
        except BodyTooLarge as problem:
            await answer(Request(scope), problem)(scope, receive, send)
            return
        except _Gone:
            return

        async def receive_again() -> Message:
            nonlocal body
            if body is None:
                return await receive()
            whole, body = body, None
            return {"type": "http.request", "body": whole, "more_body": False}

        await self._app(scope, receive_again, send)


async def _receive_body(scope: Scope, receive: Receive, largest: int) -> bytes:
    declared = Headers(scope=scope).get("content-length", "0")
    if not declared.isdecimal() or int(declared) > largest:
        raise BodyTooLarge
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise _Gone
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > largest:
            raise BodyTooLarge
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)
