"""Run the platform in the foreground: settings, database, supervisord, a word on how to log in, and a clean stop.

Called by `scripts/start`, which did the set-up. Everything lives below `var/` of this clone.
"""

import contextlib
import hashlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import types
import urllib.error
import urllib.request
import xmlrpc.client
from pathlib import Path

import psutil

HOME = Path.cwd()
sys.path.append(str(HOME))
VAR = HOME / "var"
CONFIGURATION = HOME / "supervisord.conf"
SOCKET = VAR / "supervisor" / "supervisor.sock"
SETTINGS_FILE = VAR / "settings.env"
USER_SETTINGS_FILE = HOME / "settings.env"

READY_DEADLINE_S = 180.0
STOP_DEADLINE_S = 60.0
STOPPED_AT_ONCE = 8
LOOK_INTERVAL_S = 5.0
WEDGED_S = 30.0
# A path of a Unix socket has 108 bytes at most, the closing NUL among them, and supervisord appends its process id.
LONGEST_SOCKET_PATH = 96
# What a child process gets of our environment; secrets travel in the settings file (mode 0600) instead.
PASSED_ON = re.compile(r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_.*|TZ|TMPDIR|TERM|(?i:https?_proxy|no_proxy)|SSL_CERT_.*")


class CannotStart(Exception):
    """The platform cannot start; the message says why and what to do."""


def say(text: str) -> None:
    print(text, flush=True)


def is_on(value: str) -> bool:
    return value.strip().lower() in {"1", "true", "yes", "on"}


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def read_settings() -> dict[str, str]:
    """The user's settings: `settings.env` of the clone, overridden by the environment."""
    from dotenv import dotenv_values

    found: dict[str, str] = {}
    if USER_SETTINGS_FILE.exists():
        if USER_SETTINGS_FILE.stat().st_mode & 0o077:
            USER_SETTINGS_FILE.chmod(0o600)
            say("· settings.env was readable by others: its mode is 0600 now")
        found |= {
            name: value
            for name, value in dotenv_values(USER_SETTINGS_FILE, interpolate=False).items()
            if value is not None
        }
    found |= {name: value for name, value in os.environ.items() if name.startswith("FLAME_") or name == "MONGODB_URI"}
    return {name: value for name, value in found.items() if value != ""}


def write_settings(settings: dict[str, str]) -> None:
    """Write the file that the control plane and the sandbox read, whole or not at all, readable by us alone."""
    temporary = SETTINGS_FILE.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        for name, value in sorted(settings.items()):
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            # Readers of such files fill in `${NAME}`: a value that has it says so by way of a default.
            escaped = escaped.replace("${", "${FLAME_NOTHING:-$}{")
            stream.write(f"{name}='{escaped}'\n")
    temporary.replace(SETTINGS_FILE)


def choose_configuration() -> Path:
    """The clone's `supervisord.conf`; where the clone's path is too long for a socket, a copy with a shorter socket.

    Raises:
        CannotStart: supervisord cannot work in this directory.
    """
    global SOCKET
    # supervisord reads these characters as its own, and "%" twice over in some places: no escape helps.
    if bad := re.search(r"[%\[\]*?\n]| [;#]", str(HOME)):
        raise CannotStart(f"supervisord cannot work in a directory with {bad[0]!r} in its path: move this one ({HOME})")
    if len(os.fsencode(SOCKET)) <= LONGEST_SOCKET_PATH:
        return CONFIGURATION
    digest = hashlib.sha256(os.fsencode(HOME)).hexdigest()[:12]
    directory = Path(tempfile.gettempdir()) / f"flame-{os.getuid()}-{digest}"
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.stat().st_uid != os.getuid() or directory.stat().st_mode & 0o077:
        raise CannotStart(f"{directory} belongs to somebody else; remove it, or set TMPDIR")
    SOCKET = directory / "supervisor.sock"
    local = HOME / "supervisord.local.conf"
    local.write_text(CONFIGURATION.read_text().replace("%(here)s/var/supervisor/supervisor.sock", str(SOCKET)))
    return local


def ask_to_stop(number: int, _frame: types.FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


class Platform:
    """supervisord as our child, in a process group of its own so that Ctrl-C reaches only us."""

    def __init__(self, configuration: Path, environment: dict[str, str]) -> None:
        self.configuration = configuration
        self.environment = environment
        self.process: subprocess.Popen[bytes] | None = None
        self.children: list[psutil.Process] = []

    def start(self) -> None:
        log = (VAR / "logs" / "supervisord.console.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "--configuration", str(self.configuration)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        log.close()

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ends_within(self, seconds: float) -> bool:
        """Wait for supervisord's end; False when it still runs afterwards."""
        with contextlib.suppress(psutil.Error):
            if self.process is not None and self.is_alive():
                self.children = psutil.Process(self.process.pid).children()
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self.process is not None:
                self.process.wait(seconds)
        return not self.is_alive()

    def control(self, *arguments: str, deadline_s: float = STOP_DEADLINE_S) -> str:
        command = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(self.configuration), *arguments]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=deadline_s
        )
        return done.stdout

    def end_orphans(self) -> None:
        """End the processes that a killed supervisord left: they hold the ports, and nobody looks after them."""
        for orphan in self.children:
            with contextlib.suppress(psutil.Error):
                orphan.terminate()
        _gone, alive = psutil.wait_procs(self.children, timeout=STOP_DEADLINE_S / 4)
        for orphan in alive:
            with contextlib.suppress(psutil.Error):
                orphan.kill()

    def stop_side_by_side(self, names: list[str]) -> None:
        """Stop programs at once; supervisorctl would wait for one after the other."""
        from supervisor.xmlrpc import SupervisorTransport

        with contextlib.suppress(OSError, xmlrpc.client.Error, http.client.HTTPException):
            for name in names:
                # A connection for each call: one that met a fault answers no more.
                transport = SupervisorTransport(None, None, f"unix://{SOCKET}")
                with contextlib.suppress(xmlrpc.client.Fault):
                    xmlrpc.client.ServerProxy("http://localhost", transport=transport).supervisor.stopProcess(
                        name, False
                    )
        ends = time.monotonic() + STOP_DEADLINE_S
        while "STOPPING" in self.control("status", *names) and time.monotonic() < ends:
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop what starts others first, then all but the database, the database last, then supervisord."""
        if self.process is None:
            return
        if not self.is_alive():
            self.end_orphans()
            return
        try:
            self.control("stop", "scheduler")
            names = [line.split()[0] for line in self.control("status").splitlines() if line.strip()]
            tenants = [name for name in names if name.startswith("tenant-")]
            for first in range(0, len(tenants), STOPPED_AT_ONCE):
                self.stop_side_by_side(tenants[first : first + STOPPED_AT_ONCE])
            self.control("stop", *[name for name in names if name not in tenants and name != "database"])
            self.control("stop", "database")
        except subprocess.TimeoutExpired:
            say("· a process takes long to stop; ending it")
        self.process.terminate()
        try:
            # Killed, it would leave behind whatever still runs.
            self.process.wait(3 * STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.end_orphans()


def wait_until_ready(platform: Platform, url: str) -> None:
    """Return when the portal says that it is healthy.

    Raises:
        CannotStart: it did not within the deadline, or supervisord ended.
    """
    ends = time.monotonic() + READY_DEADLINE_S
    last = "the portal does not answer"
    while time.monotonic() < ends:
        if not platform.is_alive():
            raise CannotStart(f"supervisord ended; its last words are in {VAR / 'logs' / 'supervisord.console.log'}")
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):  # noqa: S310
                return
        except urllib.error.HTTPError as error:
            last = f"the portal answers that it is not healthy yet: {error.read(300).decode(errors='replace')}"
        except OSError:
            pass
        time.sleep(0.3)
    raise CannotStart(f"{last}. Look at var/logs/web.log and var/logs/database.log")


def look_after(platform: Platform, url: str, *, embedded: bool) -> None:
    """Return when supervisord ends; meanwhile kill an embedded database that runs but does not answer.

    supervisord starts it again. Nothing is lost by that: it acknowledges only what is on the disk.
    """
    answered = time.monotonic()
    while not platform.ends_within(LOOK_INTERVAL_S):
        if not embedded or not says_no_database(url):
            answered = time.monotonic()
        elif time.monotonic() - answered > WEDGED_S and "RUNNING" in platform.control("status", "database"):
            say("· the embedded database has not answered for a while; starting it again")
            platform.control("signal", "KILL", "database")
            answered = time.monotonic()


def says_no_database(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=20):  # noqa: S310
            return False
    except urllib.error.HTTPError as error:
        return error.code == 503
    except OSError:
        return False


def main() -> None:
    """Run until a signal, or until supervisord ends.

    Raises:
        CannotStart: see the message.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ask_to_stop)
    os.umask(0o077)
    for directory in (VAR, VAR / "logs", VAR / "supervisor", VAR / "supervisor" / "conf.d", VAR / "clients"):
        directory.mkdir(mode=0o700, exist_ok=True)
    configuration = choose_configuration()
    if answers(SOCKET):
        raise CannotStart(
            "the platform runs already from this directory. "
            f"See it: .venv/bin/supervisorctl -c {configuration.name} status. "
            f"Stop it: .venv/bin/supervisorctl -c {configuration.name} shutdown"
        )

    settings = read_settings()
    with_sandbox = is_on(settings.setdefault("FLAME_SANDBOX", "on"))
    # To try the platform it runs wherever it can, and says how well its runners are walled off.
    settings.setdefault("FLAME_ISOLATION", "best" if with_sandbox else "strict")
    embedded = "MONGODB_URI" not in settings
    settings |= {"FLAME_DATA_DIRECTORY": str(VAR), "FLAME_SUPERVISOR_SOCKET": str(SOCKET)}
    # The processes below, and the sandbox's settings, see exactly what the platform's processes will see.
    environment = {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)} | {
        "FLAME_DATA_DIRECTORY": str(VAR),
        "FLAME_SETTINGS_FILE": str(SETTINGS_FILE),
        "FLAME_CHROMIUM": settings["FLAME_CHROMIUM"],
        "FLAME_LOG_LEVEL": settings.get("FLAME_LOG_LEVEL", "INFO"),
        "FLAME_SANDBOX": "true" if with_sandbox else "false",
        "FLAME_EMBEDDED_DATABASE": "true" if embedded else "false",
        "PYTHONUNBUFFERED": "1",
    }
    ports = {"FLAME_PORT": int(settings.get("FLAME_PORT", "8001"))}
    if with_sandbox:
        write_settings(settings)
        lines = subprocess.run(
            [sys.executable, "-m", "sandbox", "settings"], env=environment, check=True, capture_output=True, text=True
        ).stdout.splitlines()
        defaults = dict(line.split("=", 1) for line in lines)
        ports |= {name: int(value) for name, value in defaults.items() if name.endswith("_PORT") and "SMTP" not in name}
        settings = defaults | settings
    for name, port in ports.items():
        if not is_free(port):
            raise CannotStart(f"port {port} is taken by another program. Choose another: {name}={port + 1000}")
    write_settings(settings)

    from control_plane.runners.launchers.memory_limit import claim_group, remove_groups

    claim_group()
    platform = Platform(configuration, environment)
    try:
        if embedded:
            say("· preparing the embedded database (to try the platform; production runs MongoDB: docs/production.md)")
            subprocess.run(
                [sys.executable, "-m", "control_plane", "database", "--prepare"], env=environment, check=True
            )
        say("· starting supervisord and the platform's processes")
        platform.start()
        url = f"http://127.0.0.1:{ports['FLAME_PORT']}"
        wait_until_ready(platform, url)
        public_url = settings.get("FLAME_PUBLIC_URL", f"http://localhost:{ports['FLAME_PORT']}").rstrip("/")
        login = subprocess.run(
            [sys.executable, "-m", "control_plane", "create-admin"],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
        say(f"\n  Portal      {public_url}/admin")
        for line in login.splitlines():
            say(f"  {line}")
        if with_sandbox:
            sandbox = f"http://localhost:{ports['FLAME_SANDBOX_PORT']}"
            say("\n  SANDBOX ON: WhatsApp, OpenAI and mail are stand-ins on this machine (turn off: FLAME_SANDBOX=off)")
            say(f"  Phone       {sandbox}/phone\n  Mailbox     {sandbox}/mail\n  OpenAI      {sandbox}/openai")
        say(f"\n  Processes   .venv/bin/supervisorctl -c {configuration.name} status")
        say("  Stop        Ctrl-C\n")
        look_after(platform, url, embedded=embedded)
        say("· supervisord ended; the platform is stopped")
    except KeyboardInterrupt:
        say("\n· stopping (sessions are kept; this takes some seconds)")
    except subprocess.CalledProcessError as error:
        raise CannotStart(f"{' '.join(error.cmd[1:])} failed: {error.stderr or 'see above'}") from error
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        platform.stop()
        remove_groups(VAR)
    say("· stopped")


if __name__ == "__main__":
    try:
        main()
    except CannotStart as reason:
        sys.exit(f"\ncannot start: {reason}")
    except KeyboardInterrupt:
        sys.exit(130)
