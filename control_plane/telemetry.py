"""Logs: JSON lines with the request's id, and nothing in them that is secret."""

import logging
import re
import secrets
import sys
import time
from contextvars import ContextVar

from pythonjsonlogger.json import JsonFormatter
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_plane.addresses import client_address

logger = logging.getLogger(__name__)

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

REQUEST_ID_HEADER = "X-Request-Id"
_ACCEPTED_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
# What libraries might put into an error's text: keys of AI providers, our API keys, passwords in addresses.
_SECRETS = re.compile(r"\b(?:sk-[A-Za-z0-9_-]{6,}|flame_[A-Za-z0-9_-]{40,})|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")


class RedactingFormatter(JsonFormatter):
    """JSON lines whose text is searched for secrets at the last moment."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, with what looks like a secret replaced."""
        return _SECRETS.sub("[secret]", super().format(record))


class _RequestIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if (current := request_id.get()) is not None:
            record.request_id = current
        return True


def configure_logging(level: str) -> None:
    """Send the process's logs to standard output as JSON lines; replaces what was configured before."""
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(_RequestIdFilter())
    handler.setFormatter(
        RedactingFormatter(
            "{asctime}{levelname}{name}{message}",
            style="{",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("httpx2", "httpcore2", "httpx", "httpcore", "pymongo", "apscheduler", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(level)))


class RequestLog:
    """ASGI middleware: gives each request an id and logs how it went.

    The line names the route, never the address: a landing page's address is a credential.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        current = given if _ACCEPTED_REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        request_id.set(current)
        started = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = current
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            # The answer is made further out.
            status = status or 500
            raise
        finally:
            route = getattr(scope.get("route"), "path", None)
            level = logging.DEBUG if route in ("/health", None) and status < 500 else logging.INFO
            logger.log(
                level,
                "request was answered",
                extra={
                    "method": scope["method"],
                    "address": client_address(scope),
                    "route": route,
                    "status": status,
                    "duration_ms": round((time.perf_counter() - started) * 1000, 1),
                },
            )
