"""What processes take: memory by component, processor time, disk."""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

MEGABYTE = 1_000_000
PLATFORM = "platform"
COMPONENTS = ("Chromium", "Node", "Python", "other")
"""Of a client: its browser, the peer's own process, our runner, walls and shells."""


@dataclass(frozen=True)
class Footprint:
    """One look at all processes of a system.

    Attributes:
        memory_mb: proportional set size by component; `platform` is what all clients share.
        processes: how many, by component.
        cpu_s: processor time so far, by component; what processes that ended had used is not in it.
    """

    memory_mb: dict[str, float]
    processes: dict[str, int]
    cpu_s: dict[str, float]

    @property
    def clients_mb(self) -> float:
        """Without what all clients share."""
        return sum(mb for component, mb in self.memory_mb.items() if component != PLATFORM)


def look(processes: Iterable[psutil.Process], *, memory: bool = True) -> Footprint:
    """Look once; `memory` False leaves out what takes long."""
    megabytes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    seconds: dict[str, float] = defaultdict(float)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            component = name_component(process)
            if component is None:
                continue
            if memory:
                megabytes[component] += _measure_memory(process)
            times = process.cpu_times()
            counts[component] += 1
            seconds[component] += times.user + times.system
    return Footprint({name: size / MEGABYTE for name, size in megabytes.items()}, dict(counts), dict(seconds))


def _measure_memory(process: psutil.Process) -> int:
    """Bytes that would be free without a process, its part of what it shares with others included."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        # A browser's process in its own sandbox tells no more than this.
        sizes = process.memory_info()
        return int(sizes.rss - sizes.shared)


def name_component(process: psutil.Process) -> str | None:
    """The component that a process belongs to, `platform` for what all clients share, None for the sandbox."""
    line = process.cmdline()
    words, program = " ".join(line), process.name()
    if "-m sandbox" in words:
        return None
    if program == "bwrap":
        return "other"
    if "chrom" in program or "headless" in program or (line and "chrom" in Path(line[0]).name):
        return "Chromium"
    if line and Path(line[0]).name.startswith("node"):
        return "Node"
    if "tenant_runner" in words:
        return "Python"
    return PLATFORM if program.startswith("python") or "secantusd" in words else "other"


def measure_disk(directory: Path) -> int:
    """Bytes of disk that a directory takes."""
    total = 0
    for path in directory.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink():
                total += path.stat().st_blocks * 512
    return total


def find_workers(directory: Path) -> list[psutil.Process]:
    """Processes whose command line names the directory: what works in it, a browser's crash reporters too."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(str(directory) in part for part in process.cmdline()):
                found.append(process)
    return found
