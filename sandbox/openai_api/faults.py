"""Failures on demand: a queue of faults, each waiting for the requests it fits."""

import re
import secrets
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sandbox.openai_api.keys import SHORT_ID_LENGTH, Key, key_hint, key_id


class Fault(BaseModel):
    """One failure; the first of the queue that fits a request is used on it.

    Attributes:
        path: regular expression, searched in the path below `/v1` (`/responses`).
        method: HTTP method, None for any.
        key: only for this API key; given whole it is kept as the log's `key_id`; its hint or its last four
            characters do too.
        times: how many requests it meets before it is gone; None for ever.
        delay_s: wait before the request is looked at.
        think_s: wait while the answer is made, with the conversation locked as OpenAI locks it.
        status: answer with this status and do nothing; None does the work.
        code: `error.code` of that answer, likewise `kind` for `error.type` and `message`.
        headers: of that answer, such as `Retry-After`.
        cut: break the connection in the middle of the answer: `before` the work is done, or `after` it.
    """

    model_config = ConfigDict(extra="forbid")

    id: str = Field(default_factory=lambda: f"fault_{secrets.token_hex(6)}")
    path: str = "."
    method: str | None = None
    key: str | None = None
    times: int | None = Field(default=1, ge=1)
    delay_s: float = Field(default=0, ge=0, le=600)
    think_s: float = Field(default=0, ge=0, le=600)
    status: int | None = Field(default=None, ge=400, le=599)
    code: str | None = None
    kind: str = "server_error"
    message: str = "The sandbox was told to fail this request."
    headers: dict[str, str] = Field(default_factory=dict)
    cut: Literal["before", "after"] | None = None

    @field_validator("path")
    @classmethod
    def _compiles(cls, path: str) -> str:
        try:
            re.compile(path)
        except re.error as error:
            raise ValueError("not a regular expression") from error
        return path

    @field_validator("key")
    @classmethod
    def _forgets_the_key(cls, key: str | None) -> str | None:
        if key is None or not key.startswith("sk-") or key == key_hint(key):
            return key
        return key_id(key)[:SHORT_ID_LENGTH]

    def fits(self, method: str, path: str, key: Key | None) -> bool:
        """Whether this fault is for such a request."""
        if self.method and self.method.upper() != method:
            return False
        if self.key is not None and (
            key is None or not (self.key in (key.short_id, key.hint) or key.hint.endswith(f"…{self.key}"))
        ):
            return False
        return re.search(self.path, path) is not None


class Faults:
    """The queue, oldest first."""

    def __init__(self) -> None:
        self._queue: list[Fault] = []

    def list(self) -> list[Fault]:
        """Faults that still wait."""
        return list(self._queue)

    def add(self, fault: Fault) -> None:
        """Put a fault last."""
        self._queue.append(fault)

    def remove(self, fault_id: str) -> bool:
        """Take a fault away; False when it is not there (any more)."""
        before = len(self._queue)
        self._queue = [fault for fault in self._queue if fault.id != fault_id]
        return len(self._queue) < before

    def clear(self) -> None:
        """Take all faults away."""
        self._queue.clear()

    def take(self, method: str, path: str, key: Key | None) -> Fault | None:
        """The fault for this request, used up by one."""
        fault = next((fault for fault in self._queue if fault.fits(method, path, key)), None)
        if fault is not None and fault.times is not None:
            fault.times -= 1
            if fault.times == 0:
                self._queue.remove(fault)
        return fault
