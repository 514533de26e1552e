"""Peers made of Node: a program of `bench/peers/*.mjs` in one process for each client, or in one for all."""

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.peers.footprint import find_workers
from bench.peers.system import DEADLINE_S, SystemFailed
from tests.tenant_runner.installation import Sandbox

PROGRAMS = Path(__file__).parent
STOP_S = 30.0


@dataclass
class _Process:
    """A Node process and the sessions in it."""

    process: asyncio.subprocess.Process
    reader: asyncio.Task[None] | None = None
    sessions: set[str] = field(default_factory=set)


class NodePeer:
    """See `System`."""

    def __init__(
        self,
        name: str,
        program: str,
        directory: Path,
        chromium: str,
        sandbox: dict[str, Any],
        *,
        shared: bool,
        profile: str,
    ) -> None:
        """Nothing is started yet.

        Args:
            program: file name beside this one.
            sandbox: settings of its sandbox, by their names in `SandboxSettings`.
            shared: one process for all clients instead of one for each.
            profile: name of a client's directory, with `{client}` in it.
        """
        self.name = name
        self._program = program
        self._directory = directory
        self._chromium = chromium
        self._settings = sandbox
        self._shared = shared
        self._profile = profile
        self._sandbox: Sandbox | None = None
        self._processes: dict[str, _Process] = {}
        self._events: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self._began: dict[str, float] = {}

    @property
    def sandbox(self) -> str:
        assert self._sandbox is not None
        return self._sandbox.url

    async def open(self) -> None:
        (self._directory / "sandbox").mkdir(parents=True)
        self._sandbox = Sandbox(self._directory / "sandbox", **self._settings)
        await self._sandbox.wait_until_ready()

    async def close(self) -> None:
        for key in list(self._processes):
            await self._end(key)
        # Crash reporters, and browsers that their client did not end.
        for process in find_workers(self._clients):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self._sandbox is not None:
            await asyncio.to_thread(self._sandbox.stop)

    async def start(self, client: str) -> None:
        self._events[client] = asyncio.Queue()
        self._began[client] = time.time()
        process = await self._process_of(client)
        process.sessions.add(client)
        await self._tell(process, f"start {client}")

    async def wait_for_code(self, client: str) -> str:
        return str((await self._wait(client, "qr"))["qr"])

    async def wait_until_working(self, client: str) -> None:
        await self._wait(client, "ready")

    async def restart(self, client: str) -> None:
        process = self._processes[self._key(client)]
        await self._tell(process, f"stop {client}")
        await self._wait(client, "stopped")
        process.sessions.discard(client)
        if not self._shared:
            await self._end(self._key(client))
        await self.start(client)

    def began_at(self, client: str) -> float:
        return self._began[client]

    def processes(self) -> list[psutil.Process]:
        found = {process.pid: process for process in find_workers(self._clients)}
        for each in self._processes.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                children = psutil.Process(each.process.pid).children(recursive=True)
                found |= {process.pid: process for process in children}
        return list(found.values())

    def directory(self, client: str) -> Path:
        return self._clients / self._profile.format(client=client)

    # ------------------------------------------------------------------------------------------ processes

    @property
    def _clients(self) -> Path:
        return self._directory / "clients"

    def _key(self, client: str) -> str:
        return "all" if self._shared else client

    async def _process_of(self, client: str) -> _Process:
        key = self._key(client)
        if key not in self._processes:
            assert self._sandbox is not None
            self._clients.mkdir(exist_ok=True)
            options = {
                "chromium": self._chromium,
                "directory": str(self._clients),
                "browserArguments": ["--no-sandbox", *self._sandbox.browser_arguments],
            }
            process = await asyncio.create_subprocess_exec(
                "node",
                str(PROGRAMS / self._program),
                json.dumps(options),
                cwd=self._directory,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=2**20,
            )
            started = _Process(process)
            started.reader = asyncio.create_task(self._read(started))
            self._processes[key] = started
        return self._processes[key]

    async def _tell(self, process: _Process, command: str) -> None:
        assert process.process.stdin is not None
        process.process.stdin.write(f"{command}\n".encode())
        await process.process.stdin.drain()

    async def _read(self, started: _Process) -> None:
        assert started.process.stdout is not None
        async for line in started.process.stdout:
            # The peers print what they like between.
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and event.get("name") in self._events:
                    self._events[event["name"]].put_nowait(event)
        for client in started.sessions:
            self._events[client].put_nowait({"event": "failed", "cause": "its process ended"})

    async def _wait(self, client: str, event: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(DEADLINE_S):
                while (told := await self._events[client].get())["event"] != event:
                    if told["event"] == "failed":
                        raise SystemFailed(f"{client}: {told.get('cause')}")
        except TimeoutError as error:
            raise SystemFailed(f"not within {DEADLINE_S:.0f} s: {event} of {client}") from error
        return told

    async def _end(self, key: str) -> None:
        """Close its stdin, which ends it in the orderly way."""
        ended = self._processes.pop(key)
        assert ended.process.stdin is not None
        ended.sessions.clear()
        ended.process.stdin.close()
        try:
            await asyncio.wait_for(ended.process.wait(), STOP_S)
        except TimeoutError:
            family = await asyncio.to_thread(psutil.Process(ended.process.pid).children, recursive=True)
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            ended.process.kill()
            await ended.process.wait()
        if ended.reader is not None:
            await ended.reader
