"""The walls around a runner: bubblewrap, and as root a system account for each client (docs/isolation.md)."""

import contextlib
import logging
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Literal

from control_plane.runners.launchers.memory_limit import NO_LIMITS, MemoryLimits

logger = logging.getLogger(__name__)

Policy = Literal["strict", "best", "off"]

PROBE_TIMEOUT_S = 60.0
MEMORY_DIRECTORIES = {"/tmp": 512, "/dev/shm": 256, "/run": 16}  # noqa: S108 - they are new and empty, in MB
# What programs read of /etc; nothing else of it is there.
ETC = (
    *("alternatives", "ca-certificates", "chromium", "chromium.d", "fonts", "gai.conf", "group", "host.conf", "hosts"),
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "nsswitch.conf", "passwd", "pki"),
    *("protocols", "services", "ssl", "timezone"),
)
PROBE = """
import os, subprocess, sys
own, foreign, chromium = sys.argv[1:]
open(os.path.join(own, "probe"), "w").close()
if os.path.exists(foreign):
    sys.exit("files of others can be seen")
if len([name for name in os.listdir("/proc") if name.isdigit()]) > 4:
    sys.exit("processes of others can be seen")
if chromium and subprocess.run([chromium, "--version"], stdout=subprocess.DEVNULL).returncode:
    sys.exit(chromium + " does not run there")
import tenant_runner.contract
"""


class Level(StrEnum):
    """How a runner is walled off, the strongest first.

    `account`: bubblewrap, and a system account of its own; `bubblewrap`: with the platform's account; `none`: a plain
    process that can read whatever the platform's account can.
    """

    ACCOUNT = "bubblewrap+uid"
    BUBBLEWRAP = "bubblewrap"
    NONE = "none"


def strongest_level() -> Level:
    """What a machine that refuses nothing gives to the account that we run as: only root can give accounts."""
    return Level.ACCOUNT if os.geteuid() == 0 else Level.BUBBLEWRAP


@dataclass(frozen=True)
class Installation:
    """What of the machine a runner is shown.

    Attributes:
        data_directory: hidden, except the client's own directory.
        repository: hidden, except what is in `readable`.
        readable: files and directories that can be read; missing ones are left out.
        first_account: number of the system account of the client with number 0; the others follow.
    """

    data_directory: Path
    repository: Path
    chromium: Path | None
    readable: tuple[Path, ...]
    first_account: int


@dataclass(frozen=True)
class Walls:
    """The walls that this machine allows.

    Attributes:
        reason: why they are not the strongest, for operators; empty when they are.
        is_enough: False when the settings do not allow runners behind these.
        limits: of the clients' memory.
    """

    level: Level
    installation: Installation
    reason: str = ""
    is_enough: bool = True
    limits: MemoryLimits = NO_LIMITS

    def wrap(self, command: Sequence[str], directory: Path, account: int) -> tuple[str, ...]:
        """The command line that runs `command` behind the walls.

        Args:
            command: its program is looked up in the same PATH.
            directory: the only one that it can write to.
            account: number from `account_of`; of no importance without accounts.
        """
        if self.level is Level.NONE:
            return tuple(command)
        line = [shutil.which("bwrap") or "bwrap", "--die-with-parent"]
        line += ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
        line += ["--proc", "/proc", "--dev", "/dev"]
        line += self._mounts(directory)
        line += ["--remount-ro", "/", "--chdir", str(self.installation.repository)]
        line += ["--setenv", "HOME", "/tmp", "--setenv", "TMPDIR", "/tmp", "--unsetenv", "FLAME_SETTINGS_FILE"]  # noqa: S108
        if os.geteuid() == 0:
            line += ["--cap-drop", "ALL"]
        if self.level is Level.ACCOUNT:
            # bubblewrap as root can show what an account of its own could not reach; the account comes last.
            line += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", shutil.which("setpriv") or "setpriv"]
            line += [f"--reuid={account}", f"--regid={account}", "--clear-groups", "--inh-caps=-all", "--no-new-privs"]
        return (*line, *command)

    def _mounts(self, directory: Path) -> list[str]:
        shown = self.installation
        mounts: dict[Path, list[str]] = {}
        for name, megabytes in MEMORY_DIRECTORIES.items():
            mounts[Path(name)] = ["--perms", "1777", "--size", str(megabytes << 20), "--tmpfs"]
        for path in (Path("/usr"), *_top_directories(), *_configuration(), *shown.readable):
            if path.exists():
                mounts[path] = ["--ro-bind", str(path)]
        if shown.chromium and (program := shown.chromium.resolve()).exists():
            mounts.setdefault(program.parent, ["--ro-bind", str(program.parent)])
            mounts.setdefault(shown.chromium, ["--ro-bind", str(program)])
        for path in (shown.repository, shown.data_directory):
            mounts.setdefault(path, ["--perms", "0755", "--size", "65536", "--tmpfs"])
        mounts[directory] = ["--bind", str(directory)]
        line = _links()
        made = {Path("/"), *mounts}
        for path in sorted(mounts, key=lambda path: (len(path.parts), path)):
            if mounts[path][0] == "--ro-bind" and _is_read_only(path, mounts):
                continue
            # A parent that bubblewrap made by itself could be entered by root alone.
            for parent in reversed(path.parents):
                if parent not in made and not _is_read_only(parent, mounts):
                    line += ["--perms", "0755", "--dir", str(parent)]
                made.add(parent)
            line += [*mounts[path], str(path)]
        return line

    # ------------------------------------------------------------------------------------------ accounts

    def account_of(self, number: int) -> int:
        """The system account of the client with that number."""
        return self.installation.first_account + number

    def account_at(self, directory: Path) -> int:
        """The account that a client's directory was given to; that of nobody's number when it was given to none."""
        owner = directory.stat().st_uid if directory.exists() else 0
        first = self.installation.first_account
        return owner if first <= owner <= first + 65_535 else first

    def give(self, directory: Path, account: int) -> None:
        """Give the directory with all in it to the account, at the level that has accounts; links are not followed.

        For when nothing of the client runs: whatever made the files (a restored backup, a weaker level), they are its.
        """
        if self.level is not Level.ACCOUNT or not directory.exists():
            return
        for _path, directories, files, here in os.fwalk(directory, topdown=False):
            for name in (*directories, *files):
                with contextlib.suppress(FileNotFoundError):
                    if os.stat(name, dir_fd=here, follow_symlinks=False).st_uid != account:
                        os.chown(name, account, account, dir_fd=here, follow_symlinks=False)
        # Last: a walk that was cut short is seen by it.
        os.chown(directory, account, account, follow_symlinks=False)


def _is_read_only(path: Path, mounts: dict[Path, list[str]]) -> bool:
    """Whether the path is shown already by a read-only directory above it, with nothing that hides it in between."""
    above = next((parent for parent in path.parents if parent in mounts), None)
    return above is not None and mounts[above][0] == "--ro-bind"


def _top_directories() -> Iterable[Path]:
    """Those beside /usr on systems that have them apart."""
    return [path for path in _programs() if path.is_dir() and not path.is_symlink()]


def _links() -> list[str]:
    links = [path for path in _programs() if path.is_symlink()]
    return [part for path in links for part in ("--symlink", str(path.readlink()), str(path))]


def _programs() -> list[Path]:
    return [Path("/") / name for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32")]


def _configuration() -> list[Path]:
    """What is read of the system's configuration.

    A resolv.conf that is a link is kept up to date by a program that replaces the file: its directory is shown.
    """
    authorities = ssl.get_default_verify_paths()
    paths = [Path("/etc") / name for name in ETC]
    paths += [Path(path) for path in (authorities.cafile, authorities.capath) if path]
    resolver = Path("/etc/resolv.conf")
    paths.append(resolver)
    if resolver.resolve().parent != Path("/etc"):
        paths.append(resolver.resolve().parent)
    return [*paths, Path("/var/cache/fontconfig")]


def describe_installation(
    *, data_directory: Path, repository: Path, chromium: Path | None, first_account: int
) -> Installation:
    """This installation: a runner is shown its own code, its Python and the Node packages."""
    readable = {Path(sys.prefix), Path(sys.base_prefix), repository / "tenant_runner", repository / "node_modules"}
    return Installation(data_directory.absolute(), repository, chromium, tuple(sorted(readable)), first_account)


def probe(installation: Installation, policy: Policy) -> Walls:
    """Find the strongest walls that this machine allows, by running a program behind them.

    Args:
        policy: `strict` refuses anything but the strongest, `best` takes what there is, `off` builds no walls.
    """
    if policy == "off":
        return Walls(Level.NONE, installation, "the settings turn it off: FLAME_ISOLATION=off")
    reasons: list[str] = []
    levels = [Level.ACCOUNT, Level.BUBBLEWRAP] if os.geteuid() == 0 else [Level.BUBBLEWRAP]
    for level in levels:
        walls = Walls(level, installation)
        refusal = try_walls(walls)
        if refusal is None:
            walls = replace(walls, reason="; ".join(reasons), is_enough=not reasons or policy == "best")
            break
        reasons.append(f"{level}: {refusal}")
    else:
        walls = Walls(Level.NONE, installation, "; ".join(reasons), is_enough=policy == "best")
    facts = {"level": str(walls.level), "policy": policy, "reason": walls.reason}
    logger.log(logging.WARNING if walls.reason else logging.INFO, "isolation was probed", extra=facts)
    return walls


def try_walls(walls: Walls) -> str | None:
    """Run a program behind the walls; why that does not work, None when it does."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed (Debian, Ubuntu: apt-get install bubblewrap)"
    shown = walls.installation
    shown.data_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".probe-", dir=shown.data_directory) as name:
        own, foreign = Path(name) / "own", Path(name) / "foreign"
        for directory in (own, foreign):
            directory.mkdir(mode=0o700)
        account = walls.account_of(0)
        walls.give(own, account)
        command = [sys.executable, "-c", PROBE, str(own), str(foreign), str(shown.chromium or "")]
        try:
            done = subprocess.run(
                walls.wrap(command, own, account), capture_output=True, timeout=PROBE_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    if done.returncode == 0:
        return None
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return said[-1][:300] if said else f"ended with status {done.returncode}"
