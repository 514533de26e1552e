"""What the reconciler knows of a client's runner, for itself and for the portal."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class RunnerState(StrEnum):
    """A runner as the portal shows it."""

    STOPPED = "stopped"
    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    CRASH_LOOP = "crash_loop"
    FAILED = "failed"
    REMOVING = "removing"


class Runner(BaseModel):
    """One document of `runners`.

    Attributes:
        message: what is wrong, in plain words, with what happens next; None when nothing is.
        applied_restarts: how many of the restarts that people asked for were done.
        run: the process that was seen last; another one that nobody asked for means a crash.
        crashes: moments of the last crashes.
        not_before: the crash brake: no start earlier than this.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    client_id: str
    state: RunnerState = RunnerState.STOPPED
    message: str | None = None
    since: datetime | None = None
    applied_restarts: int = 0
    run: str | None = None
    crashes: tuple[datetime, ...] = ()
    not_before: datetime | None = None
