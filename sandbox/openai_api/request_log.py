"""What was asked of the stand-in, by which key; never what was said, and never a whole key."""

import itertools
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

_KEPT = 1_000


@dataclass
class Entry:
    """One request.

    Attributes:
        key_id: start of the key's SHA-256; two keys with the same `key_hint` differ here.
        status: HTTP status of the answer, None while it is being made.
        error: `error.code` of an answer that refuses, else its `error.type`.
        fault: id of the fault that was used on it.
    """

    id: int
    at: str
    method: str
    path: str
    key_hint: str | None
    key_id: str | None
    status: int | None = None
    error: str | None = None
    fault: str | None = None
    duration_ms: int | None = None


class RequestLog:
    """The last requests, newest last; gone with the process."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=_KEPT)
        self._ids = itertools.count(1)

    def open(self, *, at: str, method: str, path: str, key_hint: str | None, key_id: str | None) -> Entry:
        """Note a request that has just come in."""
        entry = Entry(id=next(self._ids), at=at, method=method, path=path, key_hint=key_hint, key_id=key_id)
        self._entries.append(entry)
        return entry

    def list(self, *, key: str | None = None) -> list[dict[str, Any]]:
        """Requests, oldest first; those of one key (its id, its hint or its last four characters)."""
        return [
            asdict(entry)
            for entry in self._entries
            if key is None or key in (entry.key_id, entry.key_hint) or (entry.key_hint or "").endswith(f"…{key}")
        ]

    def clear(self) -> None:
        """Forget all requests."""
        self._entries.clear()
