"""One JSON object per line, and of people no more than the last four digits of their address."""

import asyncio
import logging
import re
from logging.handlers import MemoryHandler
from typing import TextIO

from pythonjsonlogger.json import JsonFormatter

# They log addresses and request details at INFO; what matters of them is logged here under our own words.
_TALKATIVE = ("httpx2", "httpx", "httpcore2", "httpcore", "openai", "uvicorn.access", "asyncio")

# Addresses of people and groups; a message's id has its chat's address in it.
_ADDRESS = re.compile(r"\d+(?=\d{4}(?:-\d+)?@(?:c\.us|lid|g\.us|s\.whatsapp\.net))")
# What libraries might put into an error's text: keys of AI providers.
_SECRETS = re.compile(r"\bsk-[A-Za-z0-9_-]{6,}")

GATHER_S = 0.1
MOST_GATHERED = 100


class DiscreetFormatter(JsonFormatter):
    """JSON lines without keys, in which addresses of people are cut at the last moment: logs are kept without limit."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, with `…1234@c.us` for an address and `[secret]` for a key."""
        return _ADDRESS.sub("…", _SECRETS.sub("[secret]", super().format(record)))


class GatheringHandler(MemoryHandler):
    """Hands lines on a moment later and together, warnings and what came before them at once.

    One supervisord reads the lines of all runners: it wakes once for a reply instead of for each line, and not while
    the reply is made.
    """

    def __init__(self, target: logging.Handler) -> None:
        super().__init__(MOST_GATHERED, logging.WARNING, target)
        self._due: asyncio.TimerHandle | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line until it is time; outside of an event loop it always is."""
        super().emit(record)
        if self._due is not None or not self.buffer:
            return
        try:
            self._due = asyncio.get_running_loop().call_later(GATHER_S, self.flush)
        except RuntimeError:
            self.flush()

    def flush(self) -> None:
        """Hand on what was gathered."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        super().flush()


def configure_logs(level: str, client_id: str, stream: TextIO) -> None:
    """Send all logs of this process to a stream; every line carries the client's id."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        DiscreetFormatter(
            "{asctime}{levelname}{name}{message}",
            style="{",
            rename_fields={"asctime": "timestamp", "levelname": "level", "name": "logger"},
            static_fields={"client_id": client_id},
            datefmt="%Y-%m-%dT%H:%M:%S%z",
        )
    )
    logging.basicConfig(level=level, handlers=[GatheringHandler(handler)], force=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
