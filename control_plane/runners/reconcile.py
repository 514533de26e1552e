"""One pass from what is wanted to what runs. Start, stop, restart, crash repair and deletion are this one path."""

import json
import logging
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from control_plane.clients.models import Client, Wanted
from control_plane.errors import Problem
from control_plane.runners.files import make_private_directory, write_private
from control_plane.runners.gateway import RunnerGateway
from control_plane.runners.launchers.base import (
    UP,
    Launcher,
    LauncherError,
    LauncherRefused,
    ObservedRunner,
    ProcessState,
    RunnerSpec,
)
from control_plane.runners.models import Runner, RunnerState
from control_plane.runners.ports import is_free
from control_plane.runners.purge import purge_client
from control_plane.runners.repository import Runners
from control_plane.settings import Settings

logger = logging.getLogger(__name__)

# How many browsers may start at once on this machine.
PARALLEL_STARTS = 3
# A start that has not been heard of for so long does not hold up the others any more.
START_PATIENCE = timedelta(seconds=60)
# The crash brake: so many crashes within the window, and the next start waits, longer each time.
CRASHES_ALLOWED = 3
CRASH_WINDOW = timedelta(minutes=10)
FIRST_PAUSE_S = 15.0
LONGEST_PAUSE_S = 300.0
# A runner that runs but is not heard of for this many times the heartbeat's bound is restarted.
SILENCE_FACTOR = 4
# What cannot be purged at the provider within this time is given up, and said in the log.
DELETION_PATIENCE = timedelta(hours=24)


@dataclass(frozen=True)
class Reconciler:
    """The collaborators of a pass.

    Attributes:
        token_of: the client's runner token in the clear.
        finish_deletion: deletes the client's documents, its record last.
    """

    launcher: Launcher
    runners: Runners
    settings: Settings
    token_of: Callable[[Client], str]
    finish_deletion: Callable[[str], Awaitable[None]]

    async def reconcile(self, clients: list[Client], heard_at: dict[str, datetime]) -> None:
        """One pass; safe to repeat and to interrupt anywhere.

        Raises:
            LauncherUnavailable: nothing is known of any runner; the next pass tries again.
        """
        observed = await self.launcher.list()
        known = await self.runners.list()
        staying = [client for client in clients if client.deleting_since is None]
        for client in staying:
            self._write_credentials(client)
        problems = await self.launcher.ensure([RunnerSpec(client.id) for client in staying])
        free_places = PARALLEL_STARTS - sum(_is_starting(runner, heard_at) for runner in observed.values())
        # The oldest first: whoever waits longest.
        for client in sorted(staying, key=lambda client: client.updated_at):
            runner = known.get(client.id, Runner(client_id=client.id))
            seen = observed.get(client.id, ObservedRunner(client.id, ProcessState.ABSENT))
            try:
                if error := problems.get(client.id):
                    raise error
                started = await self._reconcile_one(client, runner, seen, heard_at, may_start=free_places > 0)
                free_places -= started
            except LauncherError as error:
                logger.warning("runner could not be reconciled", extra={"client_id": client.id, "error": str(error)})
                await self.runners.show(runner, RunnerState.FAILED, str(error))
        for client in clients:
            if client.deleting_since is not None:
                await self._delete(client, known.get(client.id, Runner(client_id=client.id)))
        for orphan in observed.keys() - {client.id for client in clients}:
            logger.warning("runner of no client was removed", extra={"client_id": orphan})
            await self.launcher.remove(orphan)

    async def _reconcile_one(
        self,
        client: Client,
        runner: Runner,
        seen: ObservedRunner,
        heard_at: dict[str, datetime],
        *,
        may_start: bool,
    ) -> bool:
        """One client; returns whether a process was started."""
        if client.wanted is Wanted.DISCONNECTED:
            if seen.state in UP or seen.state is ProcessState.STOPPING:
                await self.launcher.stop(client.id)
            await self.runners.set(client.id, run=None, crashes=[], not_before=None, applied_restarts=client.restarts)
            await self.runners.show(runner, RunnerState.STOPPED)
            return False
        now = datetime.now(UTC)
        asked = client.restarts > runner.applied_restarts
        if asked:
            # A person may end the brake's pause.
            await self.launcher.stop(client.id)
            await self.runners.set(client.id, applied_restarts=client.restarts, run=None, crashes=[], not_before=None)
            logger.info("runner was restarted on request", extra={"client_id": client.id})
            return await self._start(client, runner, may_start=True)
        runner = await self._count_crash(runner, seen, now)
        if seen.state in (ProcessState.RUNNING, ProcessState.STARTING):
            if self._is_silent(seen, heard_at.get(client.id), now):
                logger.warning("silent runner was stopped", extra={"client_id": client.id})
                await self.launcher.stop(client.id)
                return await self._start(client, runner, may_start=may_start)
            await self.runners.show(
                runner, RunnerState.RUNNING if seen.state is ProcessState.RUNNING else RunnerState.STARTING
            )
            return False
        if seen.state is ProcessState.BACKOFF:
            await self.runners.show(runner, RunnerState.STARTING, "it ended while starting; trying again")
            return False
        if runner.not_before and runner.not_before > now:
            message = f"it ended {len(runner.crashes)} times in a short while; the next try is in a moment. See its log"
            await self.runners.show(runner, RunnerState.CRASH_LOOP, message)
            return False
        return await self._start(client, runner, may_start=may_start)

    async def _start(self, client: Client, runner: Runner, *, may_start: bool) -> bool:
        if not may_start:
            await self.runners.show(runner, RunnerState.WAITING, "others start first; this one follows")
            return False
        if not is_free(client.port):
            message = f"port {client.port} is used by another program; stop that program"
            await self.runners.show(runner, RunnerState.FAILED, message)
            return False
        await self.launcher.start(client.id)
        started = await self.launcher.get(client.id)
        await self.runners.set(client.id, run=started.run)
        await self.runners.show(runner, RunnerState.STARTING)
        return True

    async def _count_crash(self, runner: Runner, seen: ObservedRunner, now: datetime) -> Runner:
        """Notice that the process ended by itself since the last pass, and brake when that happens often."""
        if seen.state in (ProcessState.STOPPED, ProcessState.ABSENT) or seen.run == runner.run:
            return runner
        if runner.run is None:
            await self.runners.set(runner.client_id, run=seen.run)
            return runner.model_copy(update={"run": seen.run})
        recent = (*(moment for moment in runner.crashes if now - moment < CRASH_WINDOW), now)
        over = len(recent) - CRASHES_ALLOWED
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**over) if over >= 0 else 0.0
        values = {"run": seen.run, "crashes": recent, "not_before": now + timedelta(seconds=pause)}
        await self.runners.set(runner.client_id, **{**values, "crashes": list(recent)})
        facts = {"client_id": runner.client_id, "recent_crashes": len(recent), "exit_status": seen.exit_status}
        logger.warning("runner ended by itself", extra=facts)
        if pause and seen.state in UP:
            await self.launcher.stop(runner.client_id)
        return runner.model_copy(update=values)

    def _is_silent(self, seen: ObservedRunner, heard: datetime | None, now: datetime) -> bool:
        if seen.started_at is None:
            return False
        last = max(seen.started_at, heard) if heard else seen.started_at
        return now - last > timedelta(seconds=SILENCE_FACTOR * self.settings.heartbeat_lost_s)

    def _write_credentials(self, client: Client) -> None:
        directory = self.settings.clients_directory / client.id
        make_private_directory(directory)
        # RunnerCredentials, its token in the clear: pydantic would mask it.
        write_private(
            directory / "runner.json",
            json.dumps(
                {
                    "client_id": client.id,
                    "control_plane_url": self.settings.internal_url,
                    "token": self.token_of(client),
                    "port": client.port,
                }
            ),
        )

    async def _delete(self, client: Client, runner: Runner) -> None:
        """Purge, stop, remove, delete the files, then the documents: each step may be repeated."""
        await self.runners.show(runner, RunnerState.REMOVING)
        directory = self.settings.clients_directory / client.id
        since = client.deleting_since or datetime.now(UTC)
        gateway = RunnerGateway(client.port, self.token_of(client), timeout_s=self.settings.runner_timeout_s)
        try:
            report = await purge_client(client.id, None, launcher=self.launcher, gateway=gateway)
            failure = f"{report.failed} conversations at the AI provider remain" if report.failed else None
        except (LauncherRefused, Problem) as error:
            failure = str(error)
        if failure and datetime.now(UTC) - since < DELETION_PATIENCE and (directory / "journal.sqlite3").exists():
            await self.runners.show(runner, RunnerState.REMOVING, f"{failure}; trying again")
            return
        if failure:
            logger.error("client was deleted with a remainder", extra={"client_id": client.id, "remainder": failure})
        await self.launcher.remove(client.id)
        shutil.rmtree(directory, ignore_errors=True)
        await self.runners.delete(client.id)
        await self.finish_deletion(client.id)


def _is_starting(runner: ObservedRunner, heard_at: dict[str, datetime]) -> bool:
    """Whether a process was started and has not been heard of since: its browser is the one that takes the time."""
    if runner.state not in (ProcessState.STARTING, ProcessState.RUNNING) or runner.started_at is None:
        return False
    heard = heard_at.get(runner.client_id)
    if heard is not None and heard > runner.started_at:
        return False
    return datetime.now(UTC) - runner.started_at < START_PATIENCE
