"""Records of cleanups."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict


class RunState(StrEnum):
    """Where a cleanup is."""

    REQUESTED = "requested"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Counts(BaseModel):
    """What was deleted.

    Attributes:
        messages, threads, qr_codes: documents of the platform's database.
        journal_messages, journal_threads: rows of the runners' journals.
        remote_conversations: conversations at the AI provider.
        audit_events: entries of the audit log.
    """

    model_config = ConfigDict(frozen=True)

    messages: int = 0
    threads: int = 0
    qr_codes: int = 0
    journal_messages: int = 0
    journal_threads: int = 0
    remote_conversations: int = 0
    audit_events: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        mine, theirs = self.model_dump(), other.model_dump()
        return Counts(**{name: mine[name] + theirs[name] for name in mine})


class Failure(BaseModel):
    """A client whose data could not all be deleted; the next run tries again."""

    model_config = ConfigDict(frozen=True)

    client_id: str
    client_name: str
    detail: str


class CleanupRun(BaseModel):
    """One cleanup, from the request to its figures."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    trigger: Literal["scheduled", "forced"]
    state: RunState
    requested_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    clients: int = 0
    counts: Counts = Counts()
    failures: tuple[Failure, ...] = ()
