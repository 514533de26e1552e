"""What the reconciler knows of a client's runner, for itself and for the portal."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from control_plane.runners.brake import Brake
from control_plane.runners.launchers.isolation import Level


class RunnerState(StrEnum):
    """A runner's process as the portal shows it; `lost`: its launcher does not answer, so that nothing is known."""

    STOPPED = "stopped"
    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    CRASH_LOOP = "crash_loop"
    FAILED = "failed"
    REMOVING = "removing"
    LOST = "lost"


@dataclass(frozen=True)
class Heard:
    """What a runner said last.

    Attributes:
        at: when that was.
        is_starting: its session was still in its first phases: its browser is the one that takes the machine's time.
    """

    at: datetime
    is_starting: bool = False


class Isolation(BaseModel):
    """How runners are walled off on the machine that runs them, as it was probed last.

    Attributes:
        is_enough: False when the settings allow no runner behind these walls.
        reason: why they are not the strongest, for operators; empty when they are.
        unlimited_reason: why their memory has no hard limit though the settings want one; empty when it has.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    level: Level
    is_enough: bool = True
    reason: str = ""
    unlimited_reason: str = ""


class Runner(BaseModel):
    """One document of `runners`.

    Attributes:
        message: what is wrong, in plain words, with what happens next; None when nothing is.
        since: when it got into this state.
        waiting_since: when it began to wait for its start, None when it does not wait.
        ahead: how many wait before it, None when it does not wait.
        applied_restarts: how many of the restarts that people asked for were done.
        run: the process that was seen last; another one that nobody asked for means a crash.
        brake: counts crashes, and holds what crashes again and again.
        silent_restarts: restarts in a row because the process did not answer.
        memory_kills: how many of its processes the kernel had ended for want of memory at the last look.
        memory_killed_at: when that was seen last.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    client_id: str
    state: RunnerState = RunnerState.STOPPED
    message: str | None = None
    since: datetime | None = None
    waiting_since: datetime | None = None
    ahead: int | None = None
    applied_restarts: int = 0
    run: str | None = None
    brake: Brake = Brake()
    silent_restarts: int = 0
    memory_kills: int = 0
    memory_killed_at: datetime | None = None
