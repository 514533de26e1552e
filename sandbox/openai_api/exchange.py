"""What surrounds every request below `/v1`: the log, the faults, and the label that says who answers."""

import asyncio
import json
import secrets
import time
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.openai_api.errors import ApiError
from sandbox.openai_api.faults import Fault, Faults
from sandbox.openai_api.keys import Key, read_key, require_key
from sandbox.openai_api.request_log import Entry, RequestLog

LABEL_HEADER = "x-flame-sandbox"
LABEL = "stand-in for OpenAI, not OpenAI"
_KEY = "sandbox.key"
_FAULT = "sandbox.fault"


def caller(request: Request) -> Key:
    """The key of a request.

    Raises:
        ApiError: 401.
    """
    key: Key | None = request.scope[_KEY]
    return require_key(key)


async def pretend_to_think(request: Request) -> None:
    """Take as long as the request's fault says."""
    fault: Fault | None = request.scope[_FAULT]
    await asyncio.sleep(fault.think_s if fault else 0)


async def refuse(_: Request, error: Exception) -> Response:
    """Answer with an error in OpenAI's shape."""
    if not isinstance(error, ApiError):  # pragma: no cover - registered for ApiError only
        raise error
    return JSONResponse(error.body, error.status, error.headers)


class Exchange:
    """ASGI middleware; an application behind it sees only requests that no fault has answered."""

    def __init__(self, app: ASGIApp, *, faults: Faults, log: RequestLog) -> None:
        self._app = app
        self._faults = faults
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Log the request, apply its fault, let it through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        key = read_key(request.headers.get("authorization"))
        fault = self._faults.take(request.method, path, key)
        entry = self._log.open(
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            method=request.method,
            path=path,
            key_hint=key.hint if key else None,
            key_id=key.short_id if key else None,
        )
        entry.fault = fault.id if fault else None
        scope[_KEY] = key
        scope[_FAULT] = fault
        answer = _Answer(send, entry, cut=fault is not None and fault.cut is not None)
        if fault is not None:
            await asyncio.sleep(fault.delay_s)
            if fault.status is not None or fault.cut == "before":
                await _planned_answer(fault)(scope, receive, answer)
                return
        await self._app(scope, receive, answer)


def _planned_answer(fault: Fault) -> Response:
    error = ApiError(fault.status or 200, fault.message, code=fault.code, kind=fault.kind, headers=fault.headers)
    return JSONResponse(error.body, error.status, error.headers)


class _Answer:
    """Passes an answer on, labelled and logged; a cut one breaks off in the middle of its body."""

    def __init__(self, send: Send, entry: Entry, *, cut: bool) -> None:
        self._send = send
        self._entry = entry
        self._cut = cut
        self._broken = False
        self._started = time.monotonic()

    async def __call__(self, message: Message) -> None:
        if self._broken:
            return
        duration_ms = round((time.monotonic() - self._started) * 1_000)
        if message["type"] == "http.response.start":
            self._entry.status = message["status"]
            headers = [
                (LABEL_HEADER.encode(), LABEL.encode()),
                (b"x-request-id", f"req_{secrets.token_hex(16)}".encode()),
                (b"openai-processing-ms", str(duration_ms).encode()),
            ]
            message = {**message, "headers": [*message["headers"], *headers]}
        elif message["type"] == "http.response.body":
            self._entry.duration_ms = duration_ms
            body = message.get("body", b"")
            if (self._entry.status or 0) >= 400:
                self._entry.error = _error_of(body)
            if self._cut:
                # Fewer bytes than were announced, and no end: the server can only close the connection.
                self._broken = True
                self._entry.error = "cut"
                message = {**message, "body": body[: len(body) // 2], "more_body": True}
        await self._send(message)


def _error_of(body: bytes) -> str | None:
    try:
        error = json.loads(body)["error"]
        return str(error["code"] or error["type"])
    except (ValueError, KeyError, TypeError):
        return None
