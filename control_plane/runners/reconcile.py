"""One pass from what is wanted to what runs. Start, stop, restart, crash repair and deletion are this one path."""

import asyncio
import json
import logging
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from control_plane.clients.models import Client, Wanted
from control_plane.errors import Problem
from control_plane.files import make_private_directory, write_private
from control_plane.ports import is_free
from control_plane.runners.brake import Brake
from control_plane.runners.gateway import RunnerGateway
from control_plane.runners.launchers.base import (
    UP,
    Launcher,
    LauncherError,
    LauncherRefused,
    LauncherUnavailable,
    ObservedRunner,
    ProcessState,
    RunnerSpec,
)
from control_plane.runners.models import Heard, Runner, RunnerState
from control_plane.runners.repository import Runners
from control_plane.runners.starts import StartQueue, find_starting
from control_plane.security import CannotDecrypt
from control_plane.settings import Settings
from tenant_runner.contract import PurgeRequest

logger = logging.getLogger(__name__)

# A runner that runs but is not heard of for this many times the heartbeat's bound is asked itself, and restarted when
# it does not answer; after each such restart it has twice as long.
SILENCE_FACTOR = 4
LONGEST_SILENCE = timedelta(hours=1)
HEALTH_TIMEOUT_S = 10.0
# What cannot be purged at the provider within this time is given up, and said in the log.
DELETION_PATIENCE = timedelta(hours=24)
DELETION_RETRY = timedelta(seconds=30)
# A pass waits so long for what it began; what takes longer goes on beside the next passes.
PASS_S = 1.0

# So long it is shown that the kernel ended a process for want of memory.
MEMORY_KILL_SHOWN = timedelta(hours=1)

PRESENT = UP | {ProcessState.STOPPING}
# Nothing of the past counts after a person's word.
AFRESH: dict[str, Any] = {"run": None, "brake": Brake(), "silent_restarts": 0, "memory_killed_at": None}


@dataclass
class Reconciler:
    """Calls the launcher, and nobody else does.

    Each client is brought to what is wanted by a task of its own, at most one at a time: a slow stop or a deletion
    holds up no other client, and a failure stays with its client.

    Attributes:
        token_of: the client's runner token in the clear.
        finish_deletion: deletes the client's documents, its record last.
        unsettled: clients of whom another pass soon will find something new: what was begun goes on, or they wait.
        starting: clients whose start takes one of the places: their session does not show anything yet.
    """

    launcher: Launcher
    runners: Runners
    settings: Settings
    token_of: Callable[[Client], str]
    finish_deletion: Callable[[str], Awaitable[None]]
    unsettled: set[str] = field(default_factory=set, init=False)
    starting: set[str] = field(default_factory=set, init=False)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict, init=False)
    _queue: StartQueue = field(default_factory=lambda: StartQueue(0, (), datetime.now(UTC)), init=False)
    _starts: set[str] = field(default_factory=set, init=False)
    _not_before: dict[str, datetime] = field(default_factory=dict, init=False)

    @property
    def is_unsettled(self) -> bool:
        """Another pass soon will find something new."""
        return bool(self.unsettled)

    async def reconcile(self, clients: list[Client], heard: Mapping[str, Heard], *, are_all: bool = True) -> None:
        """One pass; safe to repeat and to interrupt anywhere. Changes nothing when all is as wanted.

        Args:
            clients: with what is wanted of them.
            heard: what each of their runners said last, by client.
            are_all: these are everybody, and the program of anybody else is removed. If not, all that are `unsettled`
                or `starting` must be among them, or places and turns are given away twice.

        Raises:
            LauncherUnavailable: nothing is known of any runner; the next pass tries again.
        """
        busy = set(self._tasks)
        # What goes on is looked at once more when it has ended.
        self.unsettled = set(busy)
        ids = None if are_all else [client.id for client in clients]
        known = await self.runners.list(ids)
        idle = [client for client in clients if client.id not in busy]
        try:
            observed = await self.launcher.list(ids)
            problems = await self._define(idle)
        except LauncherUnavailable as error:
            for client in idle:
                await self.runners.show(known.get(client.id, Runner(client_id=client.id)), RunnerState.LOST, str(error))
            raise
        self._line_up([client for client in idle if client.id not in problems], known, observed, heard)
        for client in idle:
            runner = known.get(client.id, Runner(client_id=client.id))
            seen = observed.get(client.id, ObservedRunner(client.id, ProcessState.ABSENT))
            if client.deleting_since is not None:
                self._begin(runner, self._delete(client, runner))
            elif problem := problems.get(client.id):
                await self.runners.show(runner, RunnerState.FAILED, problem)
            else:
                self._begin(runner, self._reconcile_one(client, runner, seen, heard.get(client.id)))
        for orphan in observed.keys() - {client.id for client in clients} - busy:
            self._begin(Runner(client_id=orphan), self._remove_orphan(orphan))
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=PASS_S)
        self.unsettled |= self._tasks.keys()

    def _line_up(
        self,
        clients: Iterable[Client],
        known: Mapping[str, Runner],
        observed: Mapping[str, ObservedRunner],
        heard: Mapping[str, Heard],
    ) -> None:
        """Say whose turn it is; whoever cannot start anyhow takes nobody's place."""
        now = datetime.now(UTC)
        waiting = []
        for client in clients:
            runner = known.get(client.id, Runner(client_id=client.id))
            seen = observed.get(client.id)
            wants = client.wanted is Wanted.CONNECTED and client.deleting_since is None
            at_rest = seen is None or seen.state not in PRESENT
            if wants and at_rest and not runner.brake.is_on(now) and is_free(client.port):
                waiting.append((client, runner))
        # A start that goes on takes its place whatever the launcher saw a moment ago.
        self.starting = find_starting(observed.values(), heard) | self._starts
        self._queue = StartQueue(self.settings.start_places - len(self.starting), waiting, now)

    async def settle(self) -> None:
        """Return when everything that was begun has ended."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def aclose(self) -> None:
        """Give up what is going on; the next reconciler goes on from there."""
        for task in self._tasks.values():
            task.cancel()
        await self.settle()

    # ------------------------------------------------------------------------------------------ tasks

    def _begin(self, runner: Runner, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._guard(runner, work))
        self._tasks[runner.client_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(runner.client_id, None))

    async def _guard(self, runner: Runner, work: Coroutine[Any, Any, None]) -> None:
        """Whatever happens to one client is said, and stays with that client."""
        try:
            await work
        except LauncherError as error:
            logger.warning("runner could not be reconciled", extra={"client_id": runner.client_id, "error": str(error)})
            state = RunnerState.LOST if isinstance(error, LauncherUnavailable) else RunnerState.FAILED
            await self.runners.show(runner, state, str(error))
        except Exception:
            # With the database down nothing can be shown either; the next pass tries everything again.
            logger.exception("runner could not be reconciled", extra={"client_id": runner.client_id})

    async def _define(self, clients: Iterable[Client]) -> dict[str, str]:
        """Write the files of every client that stays; returns what went wrong, by client."""
        problems: dict[str, str] = {}
        specs = []
        for client in clients:
            if client.deleting_since is not None:
                continue
            if client.wanted is Wanted.CONNECTED and self.settings.environment(client.environment) is None:
                problems[client.id] = (
                    f"the settings have no environment {client.environment!r} any more: "
                    "bring it back, or choose another one in the client's form"
                )
                continue
            try:
                self._write_credentials(client)
                specs.append(RunnerSpec(client.id, client.port, self._hard_limit_mb(client)))
            except CannotDecrypt as error:
                problems[client.id] = error.detail
            except OSError as error:
                problems[client.id] = f"its directory cannot be written: {error.strerror}"
        try:
            refused = await self.launcher.ensure(specs)
        except LauncherRefused as refusal:
            refused = {spec.client_id: refusal for spec in specs}
        problems |= {client_id: str(error) for client_id, error in refused.items()}
        for client_id, problem in problems.items():
            logger.warning("runner could not be defined", extra={"client_id": client_id, "error": problem})
        return problems

    # ------------------------------------------------------------------------------------------ one client

    async def _reconcile_one(self, client: Client, runner: Runner, seen: ObservedRunner, heard: Heard | None) -> None:
        now = datetime.now(UTC)
        if client.wanted is Wanted.DISCONNECTED:
            await self._keep_stopped(client, runner, seen)
            return
        if client.restarts > runner.applied_restarts:
            # A person may end the brake's pause.
            await self._stop(client.id)
            runner = await self.runners.remember(runner, applied_restarts=client.restarts, **AFRESH)
            logger.info("runner was stopped for a restart", extra={"client_id": client.id})
            await self._start(client, runner, in_turn=False)
            return
        runner = await self._judge(runner, seen, now)
        if runner.brake.is_on(now):
            await self._hold(runner, seen, self._tell_memory(client, runner, now))
        elif seen.state is ProcessState.RUNNING:
            await self._watch(client, runner, seen, heard.at if heard else None, now)
        elif seen.state in (ProcessState.STARTING, ProcessState.STOPPING, ProcessState.BACKOFF):
            self.unsettled.add(client.id)
            dying = seen.state is ProcessState.BACKOFF
            message = "its process ended by itself; it is being started again" if dying else None
            message = self._tell_memory(client, runner, now) or message
            await self.runners.show(runner, RunnerState.STARTING, message)
        else:
            await self._start(client, runner)

    async def _keep_stopped(self, client: Client, runner: Runner, seen: ObservedRunner) -> None:
        if seen.state in PRESENT:
            runner = await self.runners.show(runner, RunnerState.STOPPING)
            await self._stop(client.id)
        runner = await self.runners.remember(runner, applied_restarts=client.restarts, **AFRESH)
        await self.runners.show(runner, RunnerState.STOPPED)

    async def _stop(self, client_id: str) -> None:
        self.unsettled.add(client_id)
        await self.launcher.stop(client_id)

    async def _start(self, client: Client, runner: Runner, *, in_turn: bool = True) -> None:
        if not is_free(client.port):
            message = f"port {client.port} is used by another program; stop that program (ss -ltnp names it)"
            await self.runners.show(runner, RunnerState.FAILED, message)
            return
        self.unsettled.add(client.id)
        before = self._queue.count_before(client.id) if in_turn else None
        if before is not None:
            await self.runners.show_waiting(runner, before, self._queue.at)
            return
        self._starts.add(client.id)
        try:
            await self.launcher.start(client.id)
            started = await self.launcher.get(client.id)
        except LauncherRefused:
            await self.runners.remember(runner, brake=runner.brake.hold(datetime.now(UTC)), run=None)
            raise
        finally:
            self._starts.discard(client.id)
        runner = await self.runners.remember(runner, run=started.run, brake=runner.brake.tried())
        await self.runners.show(runner, RunnerState.STARTING)

    async def _judge(self, runner: Runner, seen: ObservedRunner, now: datetime) -> Runner:
        """Notice that the process ended by itself since the last pass, and brake when that happens often."""
        brake = runner.brake
        # Stopped and absent is what a restart of supervisord, or an operator, leaves: nobody's crash.
        at_rest = seen.state in (ProcessState.STOPPED, ProcessState.STOPPING, ProcessState.ABSENT)
        if runner.run is not None and seen.run != runner.run and not at_rest:
            brake = brake.crashed(now)
            facts = {"client_id": runner.client_id, "crashes": len(brake.crashes), "exit_status": seen.exit_status}
            logger.warning("runner ended by itself", extra=facts)
        if seen.state is ProcessState.FAILED and seen.exit_status != 0 and brake.held_until is None:
            # Its launcher gave it up, or it says itself that its configuration is wrong.
            brake = brake.hold(now)
        if seen.state in UP and brake.is_released(now):
            brake = brake.tried()
        if seen.started_at is not None:
            brake = brake.ran(seen.started_at, now)
        killed_at = runner.memory_killed_at
        if seen.memory_kills > runner.memory_kills:
            killed_at = now
            facts = {"client_id": runner.client_id, "processes": seen.memory_kills - runner.memory_kills}
            logger.warning("kernel ended processes for want of memory", extra=facts)
        return await self.runners.remember(
            runner, run=seen.run, brake=brake, memory_kills=seen.memory_kills, memory_killed_at=killed_at
        )

    def _hard_limit_mb(self, client: Client) -> int:
        """Of all processes of the client; one that may have more before its browser is recycled may have more here."""
        limit = self.settings.hard_memory_limit_mb
        return limit and max(limit, 2 * (client.overrides.memory_limit_mb or 0))

    def _tell_memory(self, client: Client, runner: Runner, now: datetime) -> str | None:
        """That the kernel ended a process of it, while that is news."""
        if runner.memory_killed_at is None or now - runner.memory_killed_at > MEMORY_KILL_SHOWN:
            return None
        return (
            f"memory ran out at {runner.memory_killed_at:%H:%M:%S} UTC and the kernel ended a process of it; what "
            f"ended is started again. It may take {self._hard_limit_mb(client)} MB at most (FLAME_MEMORY_HARD_LIMIT_MB)"
        )

    async def _hold(self, runner: Runner, seen: ObservedRunner, memory: str | None) -> None:
        if seen.state in PRESENT:
            logger.warning("crashing runner is being held", extra={"client_id": runner.client_id})
            await self._stop(runner.client_id)
            runner = await self.runners.remember(runner, run=None)
        why = memory or f"The end of its log says why: var/logs/tenant-{runner.client_id}.log"
        message = f"its process ended again and again; the next try is at {runner.brake.held_until:%H:%M:%S} UTC. {why}"
        await self.runners.show(runner, RunnerState.CRASH_LOOP, message)

    async def _watch(
        self, client: Client, runner: Runner, seen: ObservedRunner, heard: datetime | None, now: datetime
    ) -> None:
        """Look after a process that runs: was it heard of, and if not for long, does it answer?"""
        started = seen.started_at or now
        silence = now - max(started, heard or started)
        lost = timedelta(seconds=self.settings.heartbeat_lost_s)
        if silence <= lost:
            if heard is not None and heard > started:
                runner = await self.runners.remember(runner, silent_restarts=0)
            await self.runners.show(runner, RunnerState.RUNNING, self._tell_memory(client, runner, now))
            return
        bound = min(lost * SILENCE_FACTOR * 2 ** min(runner.silent_restarts, 8), LONGEST_SILENCE)
        if silence <= bound or now < self._not_before.get(client.id, now):
            kept = runner.message if runner.state is RunnerState.RUNNING else None
            await self.runners.show(runner, RunnerState.RUNNING, kept)
            return
        self._not_before[client.id] = now + lost
        gateway = RunnerGateway(client.port, self.token_of(client), timeout_s=HEALTH_TIMEOUT_S)
        try:
            await gateway.health()
        except Problem:
            logger.warning("silent runner was stopped", extra={"client_id": client.id})
            await self._stop(client.id)
            runner = await self.runners.remember(runner, run=None, silent_restarts=runner.silent_restarts + 1)
            await self.runners.show(runner, RunnerState.STARTING, "its process did not answer and is started again")
        else:
            # It is the control plane that cannot be reached. The runner answers customers: leave it alone.
            message = f"its process works but is not heard: can it reach {self.settings.internal_url}?"
            await self.runners.show(runner, RunnerState.RUNNING, message)

    def _write_credentials(self, client: Client) -> None:
        directory = self.settings.clients_directory / client.id
        make_private_directory(directory)
        environment = self.settings.environment(client.environment)
        # RunnerCredentials, its token in the clear: pydantic would mask it.
        write_private(
            directory / "runner.json",
            json.dumps(
                {
                    "client_id": client.id,
                    "control_plane_url": self.settings.internal_url,
                    "token": self.token_of(client),
                    "port": client.port,
                    "browser_arguments": environment.browser_arguments if environment else None,
                }
            ),
        )

    async def _delete(self, client: Client, runner: Runner) -> None:
        """Stop, purge, remove, delete the files, then the documents: each step may be repeated."""
        now = datetime.now(UTC)
        if now < self._not_before.get(client.id, now):
            return
        if runner.state is not RunnerState.REMOVING:
            runner = await self.runners.show(runner, RunnerState.REMOVING)
        directory = self.settings.clients_directory / client.id
        # Stopped before the purge: what arrives in between would make new conversations at the provider.
        await self._stop(client.id)
        # Where its environment is gone there is no provider to ask either.
        reachable = directory.is_dir() and self.settings.environment(client.environment) is not None
        failure = await self._purge_everything(client.id) if reachable else None
        if failure and now - (client.deleting_since or now) < DELETION_PATIENCE:
            self._not_before[client.id] = datetime.now(UTC) + DELETION_RETRY
            await self.runners.show(runner, RunnerState.REMOVING, f"{failure}; trying again")
            return
        if failure:
            logger.error("client was deleted with a remainder", extra={"client_id": client.id, "remainder": failure})
        await self.launcher.remove(client.id)
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
        await self.finish_deletion(client.id)

    async def _purge_everything(self, client_id: str) -> str | None:
        """Delete at the provider what the journal lists; what went wrong in plain words."""
        try:
            report = await self.launcher.purge(client_id, PurgeRequest())
        except LauncherRefused as error:
            return str(error)
        if not report.failed:
            return None
        return report.detail or f"{report.failed} conversations at the AI provider remain"

    async def _remove_orphan(self, client_id: str) -> None:
        logger.warning("runner of no client is being removed", extra={"client_id": client_id})
        await self.launcher.remove(client_id)
        await self.runners.delete(client_id)
