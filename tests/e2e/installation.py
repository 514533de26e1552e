"""A whole platform as a user runs it: a copy of this tree, the start script's own program, real processes."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from pymongo import MongoClient
from pymongo.database import Database

from tests.conftest import find_free_port, find_free_ports
from tests.log_scan import remember_secret

REPOSITORY = Path(__file__).resolve().parents[2]
START_DEADLINE_S = 180.0
PORTS = ("FLAME_PORT", "FLAME_DATABASE_PORT", "FLAME_SANDBOX_PORT", "FLAME_SANDBOX_TLS_PORT", "FLAME_SANDBOX_SMTP_PORT")


class Installation:
    """One clone with ports and data of its own; `start` and `stop` are what a person does in a terminal."""

    def __init__(self, home: Path, chromium: str, **settings: str) -> None:
        self.home = home
        self.ports = {name: find_free_port() for name in PORTS}
        first = find_free_ports(51)
        self.settings = {
            "FLAME_CHROMIUM": chromium,
            "FLAME_FIRST_PORT": str(first),
            "FLAME_LAST_PORT": str(first + 50),
            "FLAME_DEBOUNCE_S": "1",
            "FLAME_DEBOUNCE_CAP_S": "5",
            **{name: str(port) for name, port in self.ports.items()},
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.connection: MongoClient[dict[str, Any]] | None = None
        self.output = home.parent / f"{home.name}.out"
        self._copy()

    def _copy(self) -> None:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=REPOSITORY,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            source, target = REPOSITORY / name, self.home / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        # What set-up made is the same for every copy.
        (self.home / "node_modules").symlink_to(REPOSITORY / "node_modules")
        shutil.copytree(REPOSITORY / "static" / "vendor", self.home / "static" / "vendor")
        subprocess.run([sys.executable, "-m", "compileall", "-q", "tenant_runner"], cwd=self.home, check=True)
        for compiled in REPOSITORY.glob("control_plane/locales/*/LC_MESSAGES/*.mo"):
            shutil.copy2(compiled, self.home / compiled.relative_to(REPOSITORY))

    # ------------------------------------------------------------------------------------------ terminal

    def start(self) -> str:
        """Start the platform as `scripts/start` does after set-up; returns what it printed once it is ready."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("FLAME_", "MONGODB"))}
        environment |= self.settings
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "scripts/supervise.py"],
                cwd=self.home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        ends = time.monotonic() + START_DEADLINE_S
        while "Stop        Ctrl-C" not in self.printed:
            if self.process.poll() is not None or time.monotonic() > ends:
                raise AssertionError(f"it did not start:\n{self.printed}\n{self.logs()}")
            time.sleep(0.2)
        if found := re.search(r"[Pp]assword:?\s+(\S+)   \(for one", self.printed):
            remember_secret("a password", found[1])
        return self.printed

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Press Ctrl-C and wait; returns the exit status."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        if self.process is None:
            return 0
        self.process.send_signal(number)
        status = self.process.wait(300)
        self.process = None
        return status

    def control(self, *arguments: str) -> str:
        """Type `supervisorctl -c supervisord.conf …` in the clone."""
        configuration = (
            "supervisord.local.conf" if (self.home / "supervisord.local.conf").exists() else "supervisord.conf"
        )
        command = [sys.executable, "-m", "supervisor.supervisorctl", "-c", configuration, *arguments]
        return subprocess.run(command, cwd=self.home, capture_output=True, text=True, check=False, timeout=120).stdout

    def command(self, *arguments: str) -> str:
        """Type `python -m control_plane …` in the clone."""
        environment = os.environ | {"FLAME_SETTINGS_FILE": str(self.home / "var" / "settings.env")}
        done = subprocess.run(
            [sys.executable, "-m", "control_plane", *arguments],
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return done.stdout

    @property
    def printed(self) -> str:
        return self.output.read_text(errors="replace")

    def logs(self) -> str:
        """The last lines of every process's log."""
        parts = []
        for file in sorted((self.home / "var" / "logs").glob("*.log")):
            parts.append(f"==> {file.name}\n" + "\n".join(file.read_text(errors="replace").splitlines()[-15:]))
        return "\n".join(parts)

    # ------------------------------------------------------------------------------------------ what is there

    @property
    def portal(self) -> str:
        return f"http://127.0.0.1:{self.ports['FLAME_PORT']}"

    @property
    def socket(self) -> Path:
        """supervisord's, wherever the start script put it."""
        file = self.home / "supervisord.local.conf"
        text = file.read_text() if file.exists() else ""
        found = re.search(r"^file=(\S+\.sock)$", text, re.MULTILINE)
        return Path(found[1]) if found else self.home / "var" / "supervisor" / "supervisor.sock"

    @property
    def sandbox(self) -> str:
        return f"http://127.0.0.1:{self.ports['FLAME_SANDBOX_PORT']}"

    @property
    def password(self) -> str:
        """The one-time admin password that the first start printed."""
        found = re.search(r"[Pp]assword:?\s+(\S+)", self.printed)
        assert found, self.printed
        return found[1]

    def database(self) -> Database[dict[str, Any]]:
        """A connection of our own to the platform's database."""
        if self.connection is None:
            uri = (self.home / "var" / "database" / "uri").read_text().strip()
            self.connection = MongoClient[dict[str, Any]](uri, tz_aware=True)
        return self.connection["flame"]

    def processes(self) -> list[psutil.Process]:
        """Every process that works for this copy, by its working directory or its command line."""
        found = []
        for process in psutil.process_iter():
            # Any of them may end between two looks at it.
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                belongs = process.cwd() == str(self.home) or any(str(self.home) in part for part in process.cmdline())
                if belongs and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def runner(self, client_id: str) -> psutil.Process | None:
        """The runner process of a client, behind its walls if it has any."""
        return next(iter(self.runners(client_id)), None)

    def runners(self, client_id: str) -> list[psutil.Process]:
        """All that run for a client: one too many are two."""
        return self._processes_of(client_id, "python")

    def walls(self, client_id: str) -> list[psutil.Process]:
        """The bubblewrap processes of a client, supervisord's child first; none without walls."""
        return self._processes_of(client_id, "bwrap")

    def tree(self, client_id: str) -> list[psutil.Process]:
        """All processes of a client: supervisord's child and everything below it."""
        top = (self.walls(client_id) or [runner for runner in [self.runner(client_id)] if runner])[:1]
        return [process for root in top for process in (root, *root.children(recursive=True))]

    def _processes_of(self, client_id: str, program: str) -> list[psutil.Process]:
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                line = process.cmdline()
                if "tenant_runner" in line and client_id in line and process.name().startswith(program):
                    found.append(process)
        return found

    def browsers(self, client_id: str) -> list[psutil.Process]:
        """The Chromium processes that use a client's profile."""
        profile = str(self.home / "var" / "clients" / client_id)
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                if any(part.startswith("--user-data-dir=") and profile in part for part in process.cmdline()):
                    found.append(process)
        return found
