"""A launcher whose processes are entries of a dictionary."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

from control_plane.runners.launchers.base import (
    Launcher,
    LauncherError,
    LauncherUnavailable,
    ObservedRunner,
    ProcessState,
    RunnerSpec,
)
from tenant_runner.contract import PurgeReport, PurgeRequest


class MemoryLauncher(Launcher):
    """Starts and stops at once.

    Attributes:
        looked_at: how many processes it was asked for since somebody set it to 0.
        defined: of whom a definition was asked for since somebody cleared it.
        looks_until_up: so many looks see a process as starting.
        is_down: nobody answers.
    """

    def __init__(self) -> None:
        self.processes: dict[str, ObservedRunner] = {}
        self.looked_at = 0
        self.defined: list[str] = []
        self.started: list[str] = []
        self.looks_until_up = 0
        self.is_down = False
        self._looks: dict[str, int] = {}

    def run(self, client_id: str, *, ago: timedelta = timedelta()) -> None:
        """A process that runs, since then."""
        at = datetime.now(UTC) - ago
        self.processes[client_id] = ObservedRunner(client_id, ProcessState.RUNNING, run=f"run-{at}", started_at=at)

    async def ensure(self, specs: Collection[RunnerSpec]) -> Mapping[str, LauncherError]:
        self.defined += [spec.client_id for spec in specs]
        return {}

    async def start(self, client_id: str) -> None:
        self.run(client_id)
        self.started.append(client_id)
        self._looks[client_id] = self.looks_until_up

    async def stop(self, client_id: str) -> None:
        if client_id in self.processes:
            self.processes[client_id] = ObservedRunner(client_id, ProcessState.STOPPED)

    async def get(self, client_id: str) -> ObservedRunner:
        seen = self.processes.get(client_id, ObservedRunner(client_id, ProcessState.ABSENT))
        left = self._looks.get(client_id, 0)
        if seen.state is not ProcessState.RUNNING or not left:
            return seen
        self._looks[client_id] = left - 1
        return ObservedRunner(client_id, ProcessState.STARTING, run=seen.run, started_at=seen.started_at)

    async def list(self, client_ids: Collection[str] | None = None) -> dict[str, ObservedRunner]:
        if self.is_down:
            raise LauncherUnavailable("it does not answer")
        asked = self.processes if client_ids is None else client_ids
        self.looked_at += len(asked)
        return {client_id: await self.get(client_id) for client_id in asked}

    async def remove(self, client_id: str) -> None:
        self.processes.pop(client_id, None)

    async def purge(self, client_id: str, request: PurgeRequest) -> PurgeReport:
        return PurgeReport()

    async def logs(self, client_id: str, max_bytes: int = 16_384) -> str:
        return ""

    async def aclose(self) -> None:
        pass
