"""The seam behind which runners run: what the reconciler asks of a launcher, and what a launcher tells it."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tenant_runner.contract import PurgeReport, PurgeRequest


class ProcessState(StrEnum):
    """What a launcher knows of one runner's process.

    `backoff`: it died while starting and the launcher tries again by itself; `failed`: the launcher gave up or the
    process ended where it should run; `absent`: there is no program of that name.
    """

    ABSENT = "absent"
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    FAILED = "failed"


UP = frozenset({ProcessState.STARTING, ProcessState.RUNNING, ProcessState.BACKOFF})
"""States in which a launcher runs the process or is about to."""


@dataclass(frozen=True)
class RunnerSpec:
    """What a launcher must know of a runner: whose it is. The rest is in the client's directory.

    Attributes:
        client_id: lower-case letters and digits only; no other word of a client ever reaches a launcher.
        number: the client's alone on this machine, 0 to 65,535 (its port): launchers count accounts by it.
        memory_mb: the most that all its processes may take together, where it can be limited; 0 is no limit.
    """

    client_id: str
    number: int = 0
    memory_mb: int = 0


@dataclass(frozen=True)
class ObservedRunner:
    """One look at a runner's process.

    Attributes:
        run: names this run of the process: another value means that it was started anew; None if it does not run.
        started_at: when this run started, None if it does not run.
        exit_status: of the last run that ended by itself, None if unknown.
        detail: the launcher's own words for operators.
        memory_kills: how many of its processes the kernel ended for want of memory; it begins at 0 now and then.
    """

    client_id: str
    state: ProcessState
    run: str | None = None
    started_at: datetime | None = None
    exit_status: int | None = None
    detail: str = ""
    memory_kills: int = 0


class LauncherError(Exception):
    """A launcher could not do what it was asked; the message is fit for operators and holds no secret."""


class LauncherUnavailable(LauncherError):
    """The launcher itself does not answer: nothing is known of any runner."""


class LauncherRefused(LauncherError):
    """The launcher answered and refuses; asking again the same way does not help."""


class Launcher(ABC):
    """Runs one process per client. Every operation may be repeated and is safe to interrupt.

    Each raises `LauncherUnavailable` when the launcher does not answer in time, `LauncherRefused` when it refuses.
    """

    @abstractmethod
    async def ensure(self, specs: Collection[RunnerSpec]) -> Mapping[str, LauncherError]:
        """Define the programs of all `specs`, stopped ones included; nothing is started.

        A program whose definition changed is stopped. Takes many at once because announcing them may be dear.

        Returns:
            What went wrong, by client; the others are defined.
        """

    @abstractmethod
    async def start(self, client_id: str) -> None:
        """Start the process unless it runs, also one that failed; returns when it was spawned, not when it is ready."""

    @abstractmethod
    async def stop(self, client_id: str) -> None:
        """Stop the process and return when it is gone; an unknown client is stopped already."""

    async def restart(self, client_id: str) -> None:
        """Stop the process, then start it."""
        await self.stop(client_id)
        await self.start(client_id)

    @abstractmethod
    async def get(self, client_id: str) -> ObservedRunner:
        """One look at one runner; `absent` for an unknown client."""

    @abstractmethod
    async def list(self, client_ids: Collection[str] | None = None) -> dict[str, ObservedRunner]:
        """One look at every runner that is defined in any way, by client; or at those of `client_ids`, all of them."""

    @abstractmethod
    async def remove(self, client_id: str) -> None:
        """Stop the process, forget its program and delete its logs."""

    @abstractmethod
    async def purge(self, client_id: str, request: PurgeRequest) -> PurgeReport:
        """Run the runner's own purge where its files are, beside the process or without it."""

    @abstractmethod
    async def logs(self, client_id: str, max_bytes: int = 16_384) -> str:
        """The end of the process's log, oldest line first; empty when there is none."""

    @abstractmethod
    async def aclose(self) -> None:
        """Release what the launcher holds in this process; the runners go on."""
