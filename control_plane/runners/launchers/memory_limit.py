"""A hard limit of memory for each client: a control group of the kernel, of version 1 or 2 (docs/isolation.md)."""

import contextlib
import hashlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from control_plane.files import read_text

logger = logging.getLogger(__name__)

CONTROLLERS = ("memory", "pids")
# Version 2 allows limits only below a group without processes: the platform's are in this one, beside the clients'.
PLATFORM = "flame-platform"
TASKS = 2_000
PROBE_MB = 32
PROBE_TIMEOUT_S = 60.0
LEAVING_S = 5.0
POLL_S = 0.05
# The process itself enters the groups, so that all that it ever starts is in them, and becomes the program.
JOIN = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@"'
TAKE_TOO_MUCH = f"len(b'x' * ({4 * PROBE_MB} << 20))"


@dataclass(frozen=True)
class MemoryLimits:
    """Where the clients' groups are made.

    Attributes:
        parents: directories in which each client gets a group, that of the memory first; none: there are no limits.
        prefix: of the groups' names; another installation has another one.
        reason: why there are no limits, for operators; empty when there are, and when nobody wants them.
    """

    parents: tuple[Path, ...] = ()
    prefix: str = ""
    reason: str = ""

    def groups(self, client_id: str) -> tuple[Path, ...]:
        """The client's groups, that of the memory first."""
        return tuple(parent / f"{self.prefix}{client_id}" for parent in self.parents)

    def wrap(self, command: Sequence[str], client_id: str) -> tuple[str, ...]:
        """The command line that runs `command` in the client's groups, with the same process id."""
        if not self.parents:
            return tuple(command)
        return ("/bin/sh", "-c", JOIN, "sh", *map(str, self.groups(client_id)), "--", *command)

    def prepare(self, client_id: str, megabytes: int) -> None:
        """Make the client's groups, or give them another limit.

        Args:
            megabytes: of memory, and as many of swap.

        Raises:
            OSError: the kernel refuses.
        """
        size = megabytes << 20
        # By the names of both versions. Version 1 counts memory and swap in one.
        amounts = {"memory.swap.max": size, "memory.max": size, "pids.max": TASKS}
        amounts |= {"memory.memsw.limit_in_bytes": 2 * size, "memory.limit_in_bytes": size}
        for group in self.groups(client_id):
            group.mkdir(exist_ok=True)
            late = []
            for file, amount in ((group / name, amount) for name, amount in amounts.items()):
                try:
                    if file.exists():
                        file.write_text(str(amount))
                except OSError:
                    # Both together are never less than memory alone: the other one first.
                    late.append((file, amount))
            for file, amount in late:
                file.write_text(str(amount))

    def count_kills(self, client_id: str) -> int:
        """How many of the client's processes the kernel ended for want of memory since its group was made."""
        for group in self.groups(client_id)[:1]:
            for name in ("memory.events", "memory.oom_control"):
                for line in (read_text(group / name) or "").splitlines():
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
        return 0

    def remove(self, client_id: str) -> None:
        """Remove the client's groups; what was killed a moment ago may still be in them and is waited for."""
        _remove(self.groups(client_id))


NO_LIMITS = MemoryLimits()


def probe_limits(data_directory: Path, *, wanted: bool) -> MemoryLimits:
    """Whether this machine lets us limit memory, by letting a program take too much in a group like the clients'.

    Args:
        data_directory: of the installation, which its groups are named for.
    """
    if not wanted:
        return NO_LIMITS
    name = f"probe-{os.getpid()}"
    try:
        limits = MemoryLimits(find_parents(), _name_prefix(data_directory))
        try:
            limits.prepare(name, PROBE_MB)
            command = limits.wrap([sys.executable, "-c", TAKE_TOO_MUCH], name)
            done = subprocess.run(command, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False)
            if done.returncode != -signal.SIGKILL or not limits.count_kills(name):
                said = done.stderr.decode(errors="replace").strip()[-300:]
                raise OSError(said or "a program took more memory than its group may have")
        finally:
            limits.remove(name)
    except (OSError, subprocess.TimeoutExpired) as error:
        limits = MemoryLimits(reason=str(error))
    facts = {"groups": [str(parent) for parent in limits.parents], "reason": limits.reason}
    logger.log(logging.WARNING if limits.reason else logging.INFO, "memory limits were probed", extra=facts)
    return limits


def find_parents(process: Path = Path("/proc/self")) -> tuple[Path, ...]:
    """The directories in which we may make groups: that for memory, and that for processes if it is another one.

    Raises:
        OSError: there is none for memory; the message says why.
    """
    memory, processes = (_find_parent(controller, process) for controller in CONTROLLERS)
    if memory is None:
        raise OSError("this process may give memory limits to nobody (docs/isolation.md: Delegate=yes)")
    return (memory,) if processes in (None, memory) else (memory, processes)


def _find_parent(controller: str, process: Path) -> Path | None:
    own = _own_group(controller, process)
    if own is None:
        return None
    parent = own.parent if own.name == PLATFORM else own
    handed_down = read_text(parent / "cgroup.subtree_control")
    allowed = os.access(parent, os.W_OK) and (handed_down is None or controller in handed_down.split())
    return parent if allowed else None


def _own_group(controller: str, process: Path) -> Path | None:
    """The process's group of version 1 with that controller, else its group of version 2."""
    groups: dict[str, str] = {}
    for line in (process / "cgroup").read_text().splitlines():
        _number, controllers, path = line.split(":", 2)
        groups |= dict.fromkeys(controllers.split(","), path)
    for line in (process / "mountinfo").read_text().splitlines():
        mount, kind = (part.split() for part in line.split(" - ", 1))
        if kind[0] == "cgroup" and controller in kind[2].split(","):
            path = groups.get(controller, "")
        elif kind[0] == "cgroup2" and controller not in groups:
            path = groups.get("", "")
        else:
            continue
        # What is mounted may be a group below the top: that of a container.
        root = mount[3].rstrip("/")
        if f"{path}/".startswith(f"{root}/"):
            return Path(mount[4]) / path.removeprefix(root).lstrip("/")
    return None


def claim_group(process: Path = Path("/proc/self")) -> None:
    """In version 2, move this process to a group below its own one, so that the clients can have theirs beside it.

    Only in a group that is ours alone: one that systemd delegated, or the top one. Elsewhere nothing changes.
    """
    own = _own_group("memory", process)
    controllers = (read_text(own / "cgroup.controllers") or "").split() if own else []
    if own is None or own.name == PLATFORM or "memory" not in controllers or not _is_ours(own):
        return
    leaf = own / PLATFORM
    with contextlib.suppress(OSError):
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(os.getpid()))
        try:
            wanted = " ".join(f"+{name}" for name in CONTROLLERS if name in controllers)
            (own / "cgroup.subtree_control").write_text(wanted)
        except OSError:
            # Others are in it as well.
            (own / "cgroup.procs").write_text(str(os.getpid()))
            leaf.rmdir()


def _is_ours(group: Path) -> bool:
    """Another user than root can write to a delegated group only; root to all, also where that confuses systemd."""
    if os.geteuid() != 0 or group.is_mount():
        return True
    for name in ("trusted.delegate", "user.delegate"):
        with contextlib.suppress(OSError):
            return os.getxattr(group, name) == b"1"
    return False


def remove_groups(data_directory: Path) -> None:
    """Remove what groups of the installation are left, once nothing of it runs."""
    with contextlib.suppress(OSError):
        for parent in find_parents():
            _remove(parent.glob(f"{_name_prefix(data_directory)}*"))


def _name_prefix(data_directory: Path) -> str:
    return f"flame-{hashlib.sha256(os.fsencode(data_directory.absolute())).hexdigest()[:12]}-"


def _remove(groups: Iterable[Path]) -> None:
    ends = time.monotonic() + LEAVING_S
    for group in groups:
        while group.exists():
            try:
                group.rmdir()
            except OSError as error:
                if time.monotonic() > ends:
                    logger.warning("group was not removed", extra={"group": str(group), "reason": str(error)})
                    break
                time.sleep(POLL_S)
