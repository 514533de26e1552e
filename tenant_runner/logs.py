"""One JSON object per line."""

import logging
from typing import TextIO

from pythonjsonlogger.json import JsonFormatter

# They log addresses and request details at INFO; what matters of them is logged here under our own words.
_TALKATIVE = ("httpx2", "httpx", "httpcore2", "httpcore", "openai", "uvicorn.access", "asyncio", "aiosqlite")


def configure_logs(level: str, client_id: str, stream: TextIO) -> None:
    """Send all logs of this process to a stream; every line carries the client's id."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        JsonFormatter(
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
