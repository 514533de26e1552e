"""A real supervisord in a directory of its own, stand-in runner programs for it, and a reconciler that uses it."""

import asyncio
import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from control_plane.clients.models import Client, StoredAutomaticAssistant, Wanted
from control_plane.database import Database
from control_plane.runners.launchers.supervisord import SupervisordLauncher
from control_plane.runners.models import Heard, Runner, RunnerState
from control_plane.runners.reconcile import Reconciler
from control_plane.runners.repository import Runners
from control_plane.settings import Settings
from tests.conftest import find_free_port

PROGRAM = Path(__file__).with_name("program.py")
CONFIGURATION = """\
[supervisord]
nodaemon=true
logfile={home}/supervisord.log
pidfile={home}/supervisord.pid
umask=077
[unix_http_server]
file={home}/s.sock
chmod=0700
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[rpcinterface:programs]
supervisor.rpcinterface_factory=control_plane.runners.supervisord_programs:make_interface
[program:bystander]
command=sleep 1000
startsecs=0
[include]
files={home}/conf.d/*.conf
"""


class Supervisord:
    """One supervisord with all that it needs below `home`, whose path is short enough for a socket."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.socket = home / "s.sock"
        self.programs = home / "conf.d"
        self.logs = home / "logs"
        self.runners = home / "runners"
        for directory in (self.programs, self.logs, self.runners):
            directory.mkdir(mode=0o700)
        (home / "supervisord.conf").write_text(CONFIGURATION.format(home=home))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-n", "-c"]
        with (self.home / "console.log").open("ab") as console:
            self.process = subprocess.Popen(
                [*command, str(self.home / "supervisord.conf")], stdout=console, stderr=console, start_new_session=True
            )
        ends = time.monotonic() + 60
        while not self.socket.exists():
            assert self.process.poll() is None, (self.home / "console.log").read_text()
            assert time.monotonic() < ends, "supervisord opened no socket"
            time.sleep(0.02)

    def stop(self, *, children_too: bool = True) -> None:
        """As a power cut; with `children_too` False it hits supervisord alone and its children stay."""
        if self.process is None:
            return
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait(60)
        for child in children:
            with contextlib.suppress(psutil.Error):
                if children_too or "sleep" in child.cmdline():
                    child.kill()
        self.process = None
        self.socket.unlink(missing_ok=True)

    def launcher(self, **options: Any) -> SupervisordLauncher:
        return self.launcher_of(SupervisordLauncher, **options)

    def launcher_of(self, kind: type[SupervisordLauncher], **options: Any) -> SupervisordLauncher:
        command = (sys.executable, str(PROGRAM))
        return kind(
            **{
                "socket": self.socket,
                "programs_directory": self.programs,
                "logs_directory": self.logs,
                "serve_command": (*command, "serve", str(self.runners)),
                "purge_command": (*command, "purge", str(self.runners)),
                "start_seconds": 0,
                "start_retries": 1,
                "stop_seconds": 2,
                **options,
            }
        )

    def behave(self, client_id: str, behaviour: str) -> None:
        """How the client's program will behave from its next start on."""
        (self.runners / client_id).write_text(behaviour)

    def starts(self, client_id: str) -> list[int]:
        """Process ids of all runs of the client's program so far."""
        file = self.runners / f"{client_id}.starts"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def has_begun(self, client_id: str, run: str | None) -> bool:
        """Whether this run's own code has begun, its signal handlers included."""
        return run is not None and int(run.split("-")[0]) in self.starts(client_id)

    def processes(self) -> list[psutil.Process]:
        """All stand-in runners of this directory that are alive."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if str(self.runners) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


@pytest.fixture
def supervisord() -> Iterator[Supervisord]:
    home = Path(tempfile.mkdtemp(prefix="sv-", dir="/tmp"))
    daemon = Supervisord(home)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()
        for process in daemon.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(home)


@pytest.fixture
async def launcher(supervisord: Supervisord) -> AsyncIterator[SupervisordLauncher]:
    launcher = supervisord.launcher()
    yield launcher
    await launcher.aclose()


class Site:
    """Clients as the database has them, and the reconciler that looks after them."""

    def __init__(self, reconciler: Reconciler, supervisord: Supervisord) -> None:
        self.reconciler = reconciler
        self.supervisord = supervisord
        self.clients: dict[str, Client] = {}
        self.heard: dict[str, Heard] = {}
        self.deleted: list[str] = []

    def add(self, client_id: str, behaviour: str = "steady", **values: Any) -> Client:
        """Create a client, or change one."""
        if client_id not in self.clients:
            self.supervisord.behave(client_id, behaviour)
            self.clients[client_id] = Client(
                id=client_id,
                name=client_id,
                email=f"{client_id}@example.com",
                port=find_free_port(),
                environment="production",
                assistant=StoredAutomaticAssistant(default_answer="hola"),
                retention_hours=24,
                runner_token_encrypted=f"encrypted-{client_id}",
                runner_token_hash=client_id,
            )
        self.clients[client_id] = self.clients[client_id].model_copy(update=values)
        return self.clients[client_id]

    def connect(self, client_id: str, *, wanted: bool = True) -> None:
        self.add(client_id, wanted=Wanted.CONNECTED if wanted else Wanted.DISCONNECTED)

    async def look(self) -> None:
        """One pass."""
        await self.reconciler.reconcile(list(self.clients.values()), self.heard)

    async def runner(self, client_id: str) -> Runner:
        return await self.reconciler.runners.get(client_id)

    async def until(self, condition: Callable[[dict[str, Runner]], object], *, deadline_s: float = 60.0) -> None:
        """Pass after pass, until the condition on what is shown of the runners holds."""
        ends = time.monotonic() + deadline_s
        while True:
            await self.look()
            runners = await self.reconciler.runners.list()
            if condition(runners):
                return
            assert time.monotonic() < ends, f"not within {deadline_s} s: {runners}"
            await asyncio.sleep(0.1)

    async def until_state(self, state: RunnerState, *client_ids: str) -> None:
        await self.until(lambda runners: all(i in runners and self._is(runners[i], state) for i in client_ids))

    def _is(self, runner: Runner, state: RunnerState) -> bool:
        begun = state is not RunnerState.RUNNING or self.supervisord.has_begun(runner.client_id, runner.run)
        return runner.state is state and begun

    async def finish_deletion(self, client_id: str) -> None:
        self.deleted.append(client_id)
        self.clients.pop(client_id, None)
        await self.reconciler.runners.delete(client_id)


@pytest.fixture(name="site")
async def make_site(
    supervisord: Supervisord, launcher: SupervisordLauncher, settings: Settings, database: Database
) -> AsyncIterator[Site]:
    async def finish_deletion(client_id: str) -> None:
        await site.finish_deletion(client_id)

    reconciler = Reconciler(
        launcher=launcher,
        runners=Runners(database),
        settings=settings,
        token_of=lambda client: f"token-{client.id}",
        finish_deletion=finish_deletion,
    )
    site = Site(reconciler, supervisord)
    yield site
    await reconciler.aclose()
