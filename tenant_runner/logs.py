"""One JSON object per line, and of people no more than the last four digits of their address."""

import logging
import re
from typing import TextIO

from pythonjsonlogger.json import JsonFormatter

# They log addresses and request details at INFO; what matters of them is logged here under our own words.
_TALKATIVE = ("httpx2", "httpx", "httpcore2", "httpcore", "openai", "uvicorn.access", "asyncio")

# Addresses of people and groups; a message's id has its chat's address in it.
_ADDRESS = re.compile(r"\d+(?=\d{4}(?:-\d+)?@(?:c\.us|lid|g\.us|s\.whatsapp\.net))")
# What libraries might put into an error's text: keys of AI providers.
_SECRETS = re.compile(r"\bsk-[A-Za-z0-9_-]{6,}")


class DiscreetFormatter(JsonFormatter):
    """JSON lines without keys, in which addresses of people are cut at the last moment: logs are kept without limit."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, with `…1234@c.us` for an address and `[secret]` for a key."""
        return _ADDRESS.sub("…", _SECRETS.sub("[secret]", super().format(record)))


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
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
