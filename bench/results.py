"""Where benchmarks leave their figures: a JSON file each in `bench/results/`, from which docs/benchmarks.md is made."""

import json
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).parent / "results"
# Of the whole machine when this process began: what others took of it meanwhile belongs to the figures.
_CPU_AT_START = psutil.cpu_times()


def say(text: str) -> None:
    """Progress, at once, for whoever waits."""
    print(text, flush=True)


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes:
        columns: headings; all but the first column's cells are set to the right.
        note: what one must know to read it, below it.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """A picture of the report.

    Attributes:
        name: of its file, without folder and ending.
        svg: the file's text.
    """

    name: str
    title: str
    svg: str


def write_result(
    name: str,
    *,
    options: dict[str, Any],
    figures: dict[str, Any],
    versions: dict[str, str],
    earlier: dict[str, Any] | None = None,
) -> Path:
    """Keep what a run found, instead of what an earlier run of that name found.

    Args:
        earlier: the result that this one goes on from; how busy the machine was is said of the busier of both times.
    """
    machine = describe_machine()
    if earlier:
        machine |= {state: max(machine[state], earlier["machine"][state]) for state in ("load", "steal_percent")}
    result = {
        "name": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "versions": versions,
        "options": options,
        "figures": figures,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return path


def read_result(name: str) -> dict[str, Any] | None:
    """What the last run of that name left, or None."""
    path = RESULTS / f"{name}.json"
    return dict(json.loads(path.read_text())) if path.exists() else None


def describe_machine() -> dict[str, Any]:
    """The machine, and how busy others kept it since this process began.

    Returns:
        `cores`, `memory_gb`, `kernel`, `python`, `chromium`; `load` (mean of the last 15 minutes), `steal_percent` (of
        all cores, taken by the machine's host).
    """
    now = psutil.cpu_times()
    spent = max(sum(now) - sum(_CPU_AT_START), 1e-9)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "chromium": read_version(find_chromium() or ""),
        "load": round(os.getloadavg()[2], 1),
        "steal_percent": round(100 * (getattr(now, "steal", 0.0) - getattr(_CPU_AT_START, "steal", 0.0)) / spent, 1),
    }


def find_chromium() -> str | None:
    """The browser that set-up chose, or one that is installed."""
    return os.environ.get("FLAME_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


def read_version(program: str) -> str:
    """What a program says of its version, in few words; "-" when it says nothing."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return "-"
    words = done.stdout.strip().splitlines()[0].split() if done.stdout.strip() else ["-"]
    return next((word for word in words if word.lstrip("v")[:1].isdigit()), words[0])
