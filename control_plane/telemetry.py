"""Logs: one JSON object per line, with the request's id; never a body, a query string or a header."""

import contextvars
import logging
import secrets
import sys
import time

from pythonjsonlogger.json import JsonFormatter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID_HEADER = b"x-request-id"
# Addresses whose next part is a credential: the landing page's link.
_SECRET_PATHS = ("/client/", "/api/client/")

_request_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("request_id", default=None)

logger = logging.getLogger("control_plane.access")


class _RequestId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = _request_id.get()
        return True


def configure_logging(level: str) -> None:
    """Send every log line to standard output as JSON, from now on."""
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(_RequestId())
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger", "message": "event"},
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("httpx2", "httpcore2", "apscheduler", "pymongo", "sse_starlette"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def current_request_id() -> str | None:
    """The id of the request being answered."""
    return _request_id.get()


class RequestLog:
    """ASGI middleware: gives every request an id, answers with it, and logs one line when it is done."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        token = _request_id.set(request_id)
        started, status = time.monotonic(), 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (REQUEST_ID_HEADER, request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            quiet = scope["path"] in {"/health", "/internal/runner/events"} or scope["path"].startswith("/static/")
            logger.log(
                logging.DEBUG if quiet and status < 400 else logging.INFO,
                "request was answered",
                extra={
                    "method": scope["method"],
                    "path": _without_secrets(scope["path"]),
                    "status": status,
                    "milliseconds": round((time.monotonic() - started) * 1000),
                },
            )
            _request_id.reset(token)


def _without_secrets(path: str) -> str:
    for prefix in _SECRET_PATHS:
        if path.startswith(prefix):
            _, _, rest = path.removeprefix(prefix).partition("/")
            return f"{prefix}…" + (f"/{rest}" if rest else "")
    return path
