"""What an installation takes of its machine: processes, open files, memory, disk."""

import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.e2e.installation import Installation

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Levels:
    """One look.

    Attributes:
        orphans: processes that work for the installation and that none of its own processes looks after; each
            Chromium has some that report its crashes.
        memory_mb: proportional set size of the whole tree, without the sandbox's.
        disk_mb: of the data directory without the sandbox's, and of the temporary directory.
        by_kind: processes, open files and memory of each kind of process.
    """

    processes: int
    orphans: int
    zombies: int
    files: int
    memory_mb: float
    disk_mb: float
    by_kind: dict[str, tuple[int, int, float]] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line of figures."""
        kinds = ", ".join(f"{kind} {n}/{files}/{mb:.0f}" for kind, (n, files, mb) in sorted(self.by_kind.items()))
        return (
            f"{self.processes} processes ({self.orphans} orphans, {self.zombies} zombies), {self.files} files, "
            f"{self.memory_mb:.0f} MB, disk {self.disk_mb:.1f} MB [processes/files/MB: {kinds}]"
        )


def find_tree(installation: Installation) -> list[psutil.Process]:
    """The start program and everything below it."""
    if installation.process is None:
        return []
    root = psutil.Process(installation.process.pid)
    return [root, *root.children(recursive=True)]


def measure(installation: Installation, temporary: Path, *, memory: bool = True) -> Levels:
    """Look once; `memory` False leaves out what takes long."""
    tree = find_tree(installation)
    pids = {process.pid for process in tree}
    counts: Counter[str] = Counter()
    files: Counter[str] = Counter()
    megabytes: Counter[str] = Counter()
    zombies = 0
    for process in tree:
        with contextlib.suppress(psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE:
                zombies += 1
                continue
            kind = name_kind(process.cmdline())
            counts[kind] += 1
            files[kind] += process.num_fds()
            if memory:
                megabytes[kind] += round(process.memory_full_info().pss / MEGABYTE)
    kinds = {kind: (counts[kind], files[kind], float(megabytes[kind])) for kind in counts}
    ours = {kind: value for kind, value in kinds.items() if kind != "sandbox"}
    return Levels(
        processes=sum(value[0] for value in kinds.values()),
        orphans=sum(process.pid not in pids for process in installation.processes()),
        zombies=zombies,
        files=sum(value[1] for value in ours.values()),
        memory_mb=sum(value[2] for value in ours.values()),
        disk_mb=(_size(installation.home / "var", but="sandbox") + _size(temporary)) / MEGABYTE,
        by_kind=kinds,
    )


def name_kind(line: list[str]) -> str:
    """What a process is, by its command line."""
    words = " ".join(line)
    for kind, sign in (
        ("runner", "tenant_runner"),
        ("sandbox", "-m sandbox"),
        ("web", "control_plane serve"),
        ("scheduler", "control_plane scheduler"),
        ("database", "secantusd"),
        ("supervisord", "supervis"),
    ):
        if sign in words:
            return kind
    return "browser" if "chrom" in words else "other"


def settle(installation: Installation, temporary: Path, *, deadline_s: float = 60, quiet_s: float = 4) -> Levels:
    """Measure once the number of processes stays the same."""
    ends = time.monotonic() + deadline_s
    last = measure(installation, temporary, memory=False)
    while time.monotonic() < ends:
        time.sleep(quiet_s)
        now = measure(installation, temporary, memory=False)
        if (now.processes, now.orphans, now.zombies) == (last.processes, last.orphans, last.zombies):
            break
        last = now
    return measure(installation, temporary)


def compare(before: Levels, after: Levels, *, clients: int, messages: int) -> list[str]:
    """What did not come back to its level."""
    bounds = {
        # Chromium starts and ends helpers of its own.
        "processes": (after.processes, before.processes + clients),
        "orphaned processes": (after.orphans, before.orphans),
        "zombies": (after.zombies, before.zombies),
        "open files": (after.files, before.files * 1.15 + 40),
        # A page keeps the messages that it has seen, and so do the database's caches.
        "MB of memory": (after.memory_mb, before.memory_mb * 1.2 + 30 * clients + 0.05 * messages),
        # Two places keep each message (journal and database), with their logs; a browser profile grows to some 20 MB.
        "MB on disk": (after.disk_mb, before.disk_mb + 25 * clients + 0.03 * messages + 40),
    }
    return [
        f"{now:.0f} {what}, and at most {bound:.0f} were expected"
        for what, (now, bound) in bounds.items()
        if now > bound
    ]


def _size(directory: Path, *, but: str = "") -> int:
    total = 0
    for path in directory.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink() and path.relative_to(directory).parts[0] != but:
                total += path.stat().st_blocks * 512
    return total
