"""Runners as programs of supervisord: one file per client in its include directory, XML-RPC over its Unix socket."""

import asyncio
import json
import logging
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from supervisor.states import STOPPED_STATES, ProcessStates
from supervisor.xmlrpc import Faults

from control_plane.files import read_end, read_text, write_private
from control_plane.runners.launchers.base import (
    Launcher,
    LauncherError,
    LauncherRefused,
    LauncherUnavailable,
    ObservedRunner,
    ProcessState,
    RunnerSpec,
)
from control_plane.runners.launchers.isolation import Walls
from control_plane.runners.launchers.memory_limit import NO_LIMITS
from control_plane.runners.launchers.processes import end_leftovers, run_purge
from control_plane.runners.launchers.program_file import ANSWERS, CLIENT_ID, name_program, render_program
from control_plane.runners.launchers.supervisord_rpc import SupervisordFault, SupervisordRpc
from tenant_runner.contract import PurgeReport, PurgeRequest

logger = logging.getLogger(__name__)

SERVE = ("python", "-m", "tenant_runner", "serve", "--client")
PURGE = ("python", "-m", "tenant_runner", "purge", "--client")
# The runner allows itself two minutes for the AI provider.
PURGE_DEADLINE_S = 180.0
POLL_S = 0.05
# On top of the time that supervisord waits before it kills: it looks about once a second.
STOP_MARGIN_S = 10.0
OLDER = "supervisord runs with an older supervisord.conf: stop the platform and start it again"

STATES = {
    ProcessStates.STOPPED: ProcessState.STOPPED,
    ProcessStates.STARTING: ProcessState.STARTING,
    ProcessStates.RUNNING: ProcessState.RUNNING,
    ProcessStates.BACKOFF: ProcessState.BACKOFF,
    ProcessStates.STOPPING: ProcessState.STOPPING,
    ProcessStates.EXITED: ProcessState.FAILED,
    ProcessStates.FATAL: ProcessState.FAILED,
    ProcessStates.UNKNOWN: ProcessState.FAILED,
}
NOT_SPAWNED = {Faults.NO_FILE, Faults.NOT_EXECUTABLE, Faults.SPAWN_ERROR, Faults.ABNORMAL_TERMINATION, Faults.FAILED}


class SupervisordLauncher(Launcher):
    """See `Launcher`; the sequences are those that supervisord needs, its fault codes taken for what they mean."""

    def __init__(
        self,
        *,
        socket: Path,
        programs_directory: Path,
        logs_directory: Path,
        serve_command: Sequence[str] = SERVE,
        purge_command: Sequence[str] = PURGE,
        clients_directory: Path | None = None,
        walls: Walls | None = None,
        call_timeout_s: float = 8.0,
        start_seconds: int = 5,
        start_retries: int = 5,
        stop_seconds: int = 20,
    ) -> None:
        """Connect to nothing yet.

        supervisord's configuration includes `*.conf` of `programs_directory`. `serve_command` and `purge_command` get
        a client's id as one more argument; both run behind `walls` (None: as plain processes), where they can write to
        their directory of `clients_directory` only. A process that lives shorter than `start_seconds` never started;
        one that takes longer than `stop_seconds` to stop is killed.
        """
        self._rpc = SupervisordRpc(socket, timeout_s=call_timeout_s)
        self._programs = programs_directory
        self._logs = logs_directory
        self._serve = tuple(serve_command)
        self._purge = tuple(purge_command)
        self._directories = clients_directory or programs_directory
        self._walls = walls
        self._limits = NO_LIMITS if walls is None else walls.limits
        self._specs: dict[str, RunnerSpec] = {}
        self._start_seconds = start_seconds
        self._start_retries = start_retries
        self._stop_seconds = stop_seconds
        # One definition at a time: a file is what supervisord took last.
        self._configuration = asyncio.Lock()
        self._clients: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._known: set[str] | None = None
        # Whose definition was compared with the one that supervisord holds.
        self._compared: set[str] = set()
        self._daemon: int | None = None

    # ------------------------------------------------------------------------------------------ define

    async def ensure(self, specs: Collection[RunnerSpec]) -> Mapping[str, LauncherError]:
        """Have supervisord take what is new or differs, all in one call; write what it took to the programs' files."""
        if self._walls is not None and not self._walls.is_enough:
            raise LauncherRefused(
                f"this machine does not allow the isolation that the settings demand ({self._walls.reason}). "
                "docs/isolation.md says what to do; FLAME_ISOLATION=best runs with what there is"
            )
        self._specs |= {spec.client_id: spec for spec in specs}
        if self._known is None:
            await self.list()
        async with self._configuration:
            texts = {spec.client_id: self._render(spec.client_id) for spec in specs}
            known = self._known or set()
            # Once all: what an earlier scheduler wrote may not be what supervisord holds.
            asked = [
                client_id
                for client_id, text in texts.items()
                if client_id not in self._compared or client_id not in known or read_text(self._file(client_id)) != text
            ]
            outcomes = await self._define({client_id: texts[client_id] for client_id in asked})
            for client_id, (outcome, _) in outcomes.items():
                if outcome != "refused":
                    # Only what supervisord could read: one file that it cannot read keeps it from starting again.
                    write_private(self._file(client_id), texts[client_id])
                elif client_id not in known:
                    self._file(client_id).unlink(missing_ok=True)
        problems: dict[str, LauncherError] = {
            client_id: LauncherRefused(f"supervisord cannot read the program's definition: {reason}")
            for client_id, (outcome, reason) in outcomes.items()
            if outcome == "refused"
        }
        replaced = [client_id for client_id, (outcome, _) in outcomes.items() if outcome == "other"]
        ends = await asyncio.gather(*(self._replace(i, texts[i]) for i in replaced), return_exceptions=True)
        for client_id, end in zip(replaced, ends, strict=True):
            if isinstance(end, LauncherError):
                problems[client_id] = end
            elif isinstance(end, BaseException):
                raise end
        return problems

    async def _define(self, texts: Mapping[str, str]) -> dict[str, list[str]]:
        """The outcome of each client's text, as `supervisord_programs` says it."""
        if not texts:
            return {}
        try:
            outcomes = await self._rpc.call("programs.define", list(texts.values()))
        except SupervisordFault as fault:
            raise LauncherRefused(f"{OLDER} ({fault})") from fault
        defined = dict(zip(texts, outcomes, strict=True))
        for client_id, (outcome, _) in defined.items():
            if outcome in ("added", "same"):
                self._compared.add(client_id)
                if self._known is not None:
                    self._known.add(client_id)
        return defined

    async def _replace(self, client_id: str, text: str) -> None:
        """A stop and a start would keep the old definition: take the program away and add it again."""
        async with self._clients[client_id]:
            self._compared.discard(client_id)
            await self._take_away(client_id)
            await self._define({client_id: text})
        logger.info("runner program was replaced", extra={"client_id": client_id})

    async def remove(self, client_id: str) -> None:
        """File first, so that a restart of supervisord in the middle cannot bring the program back."""
        async with self._clients[client_id]:
            async with self._configuration:
                self._file(client_id).unlink(missing_ok=True)
            await self._take_away(client_id)
            await asyncio.to_thread(self._limits.remove, client_id)
            for log in self._logs.glob(f"{name_program(client_id)}.log*"):
                log.unlink(missing_ok=True)
        logger.info("runner program was removed", extra={"client_id": client_id})

    async def _take_away(self, client_id: str) -> None:
        ends = time.monotonic() + self._stop_seconds + STOP_MARGIN_S
        while True:
            await self._stop(client_id)
            try:
                await self._rpc.call("removeProcessGroup", name_program(client_id))
            except SupervisordFault as fault:
                if fault.code == Faults.STILL_RUNNING and time.monotonic() < ends:
                    # It died by itself and supervisord was about to start it again: stop that one too.
                    await asyncio.sleep(POLL_S)
                    continue
                if fault.code != Faults.BAD_NAME:
                    raise LauncherRefused(f"supervisord does not let go of the program: {fault}") from fault
            if self._known is not None:
                self._known.discard(client_id)
            return

    # ------------------------------------------------------------------------------------------ run

    async def start(self, client_id: str) -> None:
        """Spawn it; one that is stopping is waited for."""
        name = name_program(client_id)
        async with self._clients[client_id]:
            observed = await self.get(client_id)
            if observed.state in (ProcessState.STARTING, ProcessState.RUNNING):
                return
            if observed.state is ProcessState.ABSENT:
                raise LauncherRefused("the program is not defined")
            if observed.state in (ProcessState.BACKOFF, ProcessState.STOPPING):
                await self._stop(client_id)
            if self._walls is not None:
                await asyncio.to_thread(self._walls.give, self._directories / client_id, self._account_of(client_id))
            await asyncio.to_thread(self._prepare_limit, client_id)
            try:
                await self._rpc.call("startProcess", name, False)
            except SupervisordFault as fault:
                if fault.code == Faults.ALREADY_STARTED:
                    return
                if fault.code in NOT_SPAWNED:
                    raise LauncherRefused(f"supervisord could not start the process: {fault}") from fault
                raise LauncherRefused(f"supervisord refuses to start the process: {fault}") from fault
        logger.info("runner was started", extra={"client_id": client_id})

    def _account_of(self, client_id: str) -> int:
        assert self._walls is not None  # noqa: S101 - only those who have walls ask
        spec = self._specs.get(client_id)
        return self._walls.account_of(spec.number if spec else 0)

    def _prepare_limit(self, client_id: str) -> None:
        """A limit that cannot be set is said and keeps no client from its customers."""
        try:
            if spec := self._specs.get(client_id):
                self._limits.prepare(client_id, spec.memory_mb)
        except OSError as error:
            logger.warning("memory limit was not set", extra={"client_id": client_id, "error": str(error)})

    async def stop(self, client_id: str) -> None:
        """Ask it to stop, wait until it is gone; supervisord kills its whole group when it takes too long."""
        async with self._clients[client_id]:
            await self._stop(client_id)

    async def _stop(self, client_id: str) -> None:
        name = name_program(client_id)
        try:
            # Without waiting: one call must not outlast the timeout of calls.
            await self._rpc.call("stopProcess", name, False)
            logger.info("runner was told to stop", extra={"client_id": client_id})
        except SupervisordFault as fault:
            if fault.code == Faults.BAD_NAME:
                return
            if fault.code != Faults.NOT_RUNNING:
                raise LauncherRefused(f"supervisord refuses to stop the process: {fault}") from fault
        ends = time.monotonic() + self._stop_seconds + STOP_MARGIN_S
        while True:
            info = await self._info(client_id)
            if info is None or info["state"] in STOPPED_STATES:
                return
            if time.monotonic() > ends:
                raise LauncherRefused(f"the process did not stop within {self._stop_seconds + STOP_MARGIN_S:g} s")
            await asyncio.sleep(POLL_S)

    async def purge(self, client_id: str, request: PurgeRequest) -> PurgeReport:
        """A process of its own on this machine, ended when it takes too long."""
        name_program(client_id)
        command: tuple[str, ...] = (*self._purge, client_id)
        if self._walls is not None:
            directory = self._directories / client_id
            account = self._walls.account_at(directory)
            await asyncio.to_thread(self._walls.give, directory, account)
            command = self._walls.wrap(command, directory, account)
        return await run_purge(command, request, deadline_s=PURGE_DEADLINE_S)

    # ------------------------------------------------------------------------------------------ look

    async def get(self, client_id: str) -> ObservedRunner:
        """One program's state."""
        info = await self._info(client_id)
        return _absent(client_id) if info is None else self._read(client_id, info)

    async def list(self, client_ids: Collection[str] | None = None) -> dict[str, ObservedRunner]:
        """All that supervisord knows, and those of which there is only a file (`absent`); or a few of them.

        The first look at a supervisord is at all, and ends what an earlier one left running.
        """
        if client_ids is not None and self._daemon is not None:
            daemon, found = await self._look(client_ids)
            if daemon == self._daemon:
                seen = {i: self._read(i, found[i]) if i in found else _absent(i) for i in client_ids}
                if self._known is not None:
                    self._known -= seen.keys() - found.keys()
                return seen
        daemon, found = await self._look()
        self._known = set(found)
        files = {path.stem.removeprefix("tenant-") for path in self._programs.glob("tenant-*.conf")}
        only_files = {i for i in files - found.keys() if CLIENT_ID.fullmatch(i)}
        if daemon != self._daemon:
            commands = [(*self._serve, client_id) for client_id in {*found, *only_files}]
            ended = await asyncio.to_thread(end_leftovers, commands, parent=daemon)
            self._daemon = daemon
            if ended:
                logger.warning("runners of an earlier supervisord were ended", extra={"pids": ended})
        absent = only_files if client_ids is None else set(client_ids) - found.keys()
        return {i: _absent(i) for i in absent} | {
            i: self._read(i, info) for i, info in found.items() if client_ids is None or i in client_ids
        }

    async def _look(self, client_ids: Collection[str] | None = None) -> tuple[int, dict[str, dict[str, Any]]]:
        """supervisord's process id, and what it knows of all runners or of some, by client."""
        names = [] if client_ids is None else [[name_program(client_id) for client_id in client_ids]]
        try:
            told = json.loads(await self._rpc.call("programs.look", "tenant-", *names))
        except SupervisordFault as fault:
            raise LauncherUnavailable(f"{OLDER} ({fault})") from fault
        return told["pid"], {name.removeprefix("tenant-"): info for name, info in told["programs"].items()}

    def _read(self, client_id: str, info: Mapping[str, Any]) -> ObservedRunner:
        state = STATES.get(info["state"], ProcessState.FAILED)
        runs = info["pid"] != 0
        ended = info["state"] == ProcessStates.EXITED
        if ended and info["exitstatus"] not in ANSWERS:
            # For up to a second, until supervisord looks again and starts it anew.
            state = ProcessState.BACKOFF
        return ObservedRunner(
            client_id,
            state,
            run=f"{info['pid']}-{info['start']}" if runs else None,
            started_at=datetime.fromtimestamp(info["start"], UTC) if runs else None,
            exit_status=info["exitstatus"] if ended else None,
            detail=_describe(info),
            memory_kills=self._limits.count_kills(client_id),
        )

    async def logs(self, client_id: str, max_bytes: int = 16_384) -> str:
        """Read from the file, so that it works with supervisord down."""
        return await asyncio.to_thread(read_end, self._log(client_id), max_bytes)

    async def aclose(self) -> None:
        """Free the threads."""
        self._rpc.close()

    async def _info(self, client_id: str) -> dict[str, Any] | None:
        _, found = await self._look([client_id])
        return found.get(client_id)

    # ------------------------------------------------------------------------------------------ files

    def _file(self, client_id: str) -> Path:
        return self._programs / f"{name_program(client_id)}.conf"

    def _log(self, client_id: str) -> Path:
        return self._logs / f"{name_program(client_id)}.log"

    def _render(self, client_id: str) -> str:
        command: tuple[str, ...] = (*self._serve, client_id)
        if self._walls is not None:
            command = self._walls.wrap(command, self._directories / client_id, self._account_of(client_id))
            command = self._limits.wrap(command, client_id)
        return render_program(
            client_id,
            command=command,
            log=self._log(client_id),
            start_seconds=self._start_seconds,
            start_retries=self._start_retries,
            stop_seconds=self._stop_seconds,
        )


def _absent(client_id: str) -> ObservedRunner:
    return ObservedRunner(client_id, ProcessState.ABSENT)


def _describe(info: Mapping[str, Any]) -> str:
    return str(info["spawnerr"] or info["statename"].lower())
