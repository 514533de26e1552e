"""What hundreds of clients cost the platform itself, without their browsers: `python -m bench many`.

A whole installation with real processes; in the place of each runner a program that only says that it works. Clients
are added one after the other; groups of ten are measured: processor time of web, scheduler, supervisord and database
for each client until its runner was heard, without what the platform uses anyhow in that time.
"""

import argparse
import asyncio
import shutil
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx2
import psutil
from pymongo.errors import PyMongoError

from bench.charts import draw_lines
from bench.levels import find_tree, name_kind
from bench.results import Chart, Table, write_result
from bench.site import GENEROUS
from bench.trivial_runner import SAID
from tests.conftest import find_free_ports
from tests.e2e.installation import Installation

PARTS = ("web", "scheduler", "supervisord", "database")
GROUP = 10
HEARD_S = 120.0
LOOK_S = 0.05
MEGABYTE = 1_000_000

Costs = dict[str, float]


def say(text: str) -> None:
    """Progress, for whoever waits."""
    print(text, flush=True)


class Meter:
    """Processor time and memory of the platform's own processes, and the commands that its database was asked."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._processes: dict[str, psutil.Process] = {}
        for process in find_tree(installation):
            kind = name_kind(process.cmdline())
            # The start script is there too; supervisord is its child.
            is_it = kind != "supervisord" or "supervisor.supervisord" in process.cmdline()
            if kind in PARTS and is_it:
                self._processes[kind] = process

    def read(self) -> Costs:
        """CPU seconds of each part so far; `commands` of the database."""
        costs = {}
        for kind, process in self._processes.items():
            times = process.cpu_times()
            costs[kind] = times.user + times.system
        return costs | {"commands": float(self._count_commands())}

    def memory(self) -> Costs:
        """PSS of each part in MB."""
        return {kind: process.memory_full_info().pss / MEGABYTE for kind, process in self._processes.items()}

    def _count_commands(self) -> int:
        try:
            totals = self._installation.database().client.admin.command("top")["totals"]
        except PyMongoError:
            return 0
        return sum(use["total"]["count"] for name, use in totals.items() if name.startswith("flame."))


def _difference(after: Costs, before: Costs) -> Costs:
    return {name: after[name] - before[name] for name in after}


class Many:
    """One run."""

    def __init__(self, installation: Installation, api: httpx2.AsyncClient, idle_s: float) -> None:
        self.installation = installation
        self.api = api
        self.idle_s = idle_s
        self.meter = Meter(installation)
        self.count = 0

    async def add(self) -> float:
        """Create a client and wait until its runner was heard; how long that took, in seconds."""
        began = time.monotonic()
        body = {
            "name": f"Cliente {self.count:03d}",
            "email": "ana@example.com",
            "assistant": {"kind": "automatic", "default_answer": "Gracias."},
        }
        answer = await self.api.post("/api/admin/clients", json=body)
        answer.raise_for_status()
        said = self.installation.home / "var" / "clients" / answer.json()["id"] / SAID
        while not said.exists():
            if time.monotonic() - began > HEARD_S:
                raise AssertionError(f"client {self.count} was not heard of:\n{self.installation.logs()}")
            await asyncio.sleep(LOOK_S)
        self.count += 1
        return time.monotonic() - began

    async def idle(self) -> Costs:
        """What the platform uses in a second with nothing going on."""
        await asyncio.sleep(self.idle_s / 2)
        before, began = self.meter.read(), time.monotonic()
        await asyncio.sleep(self.idle_s)
        used, seconds = _difference(self.meter.read(), before), time.monotonic() - began
        return {name: value / seconds for name, value in used.items()}

    async def measure_group(self) -> dict[str, Any]:
        """Add ten, one after the other; what each cost beyond what is used anyhow."""
        first, idle = self.count + 1, await self.idle()
        each: list[Costs] = []
        took: list[float] = []
        for _ in range(GROUP):
            before, began = self.meter.read(), time.monotonic()
            took.append(await self.add())
            # It counts as started some seconds later; until then the scheduler looks every second.
            await asyncio.sleep(8)
            seconds = time.monotonic() - began
            used = _difference(self.meter.read(), before)
            each.append({name: value - idle[name] * seconds for name, value in used.items()})
        median = {name: statistics.median(cost[name] for cost in each) for name in each[0]}
        work = [sum(cost[part] for part in PARTS if part in cost) for cost in each]
        alone = [sum(cost[part] for part in PARTS if part in cost and part != "supervisord") for cost in each]
        figures = {
            "clients": [first, self.count],
            "idle_per_second": idle,
            "cpu_s_per_client": median,
            "work_cpu_s": statistics.median(work),
            "work_without_supervisord_cpu_s": statistics.median(alone),
            "heard_after_s": statistics.median(took),
            "memory_mb": self.meter.memory(),
        }
        say(f"clients {first} to {self.count}: {figures}")
        return figures

    async def fill(self, count: int) -> None:
        """Add without measuring, a few at a time, until there are that many."""
        while self.count < count:
            some = min(GROUP, count - self.count)
            began = time.monotonic()
            await asyncio.gather(*(self.add() for _ in range(some)))
            say(f"  {self.count} clients, the last {some} after {time.monotonic() - began:.0f} s")


async def run(installation: Installation, levels: list[int], idle_s: float) -> dict[str, Any]:
    """Groups of ten at the beginning and at the end of each level."""
    key = installation.command("create-api-key").split()[-1]
    groups: list[dict[str, Any]] = []
    async with httpx2.AsyncClient(
        base_url=installation.portal, headers={"X-Api-Key": key}, timeout=120, trust_env=False
    ) as api:
        many = Many(installation, api, idle_s)
        # The first client of all warms everything up.
        await many.add()
        groups.append(await many.measure_group())
        for level in levels:
            await many.fill(level - GROUP)
            groups.append(await many.measure_group())
    first, last = groups[0], groups[-1]
    ratio = last["work_cpu_s"] / first["work_cpu_s"]
    alone = last["work_without_supervisord_cpu_s"] / first["work_without_supervisord_cpu_s"]
    commands = last["cpu_s_per_client"]["commands"] / (first["cpu_s_per_client"]["commands"] or 1)
    say(f"last to first: work {ratio:.2f}, without supervisord {alone:.2f}, commands {commands:.2f}")
    processes = len(installation.processes())
    return {
        "groups": groups,
        "ratio": ratio,
        "ratio_without_supervisord": alone,
        "ratio_of_commands": commands,
        "processes": processes,
    }


def present(result: dict[str, Any]) -> list[Table | Chart]:
    """For docs/benchmarks.md."""
    figures = result["figures"]
    groups = figures["groups"]
    heads = tuple(f"{group['clients'][0]} to {group['clients'][1]}" for group in groups)

    def row(label: str, key: str, part: str, factor: float, digits: int) -> tuple[str, ...]:
        return (label, *(f"{group[key].get(part, 0) * factor:.{digits}f}" for group in groups))

    added = [row(f"{part}, ms of CPU", "cpu_s_per_client", part, 1000, 0) for part in PARTS]
    added.append(("all, ms of CPU", *(f"{group['work_cpu_s'] * 1000:.0f}" for group in groups)))
    added.append(row("commands of the database", "cpu_s_per_client", "commands", 1, 0))
    added.append(("seconds until its runner was heard", *(f"{group['heard_after_s']:.1f}" for group in groups)))
    idle = [row(f"{part}, % of a core", "idle_per_second", part, 100, 1) for part in PARTS]
    idle.append(row("commands of the database, per second", "idle_per_second", "commands", 1, 0))
    idle += [row(f"{part}, MB (PSS)", "memory_mb", part, 1, 0) for part in PARTS]
    note = (
        f"Last to first: {figures['ratio']:.2f}; without supervisord {figures['ratio_without_supervisord']:.2f}; "
        f"commands {figures['ratio_of_commands']:.2f}."
    )
    lines = {
        part: [(float(group["clients"][1]), group["idle_per_second"].get(part, 0) * 100) for group in groups]
        for part in PARTS
    }
    return [
        Table("What one more client costs (medians of ten)", ("clients", *heads), tuple(added), note),
        Table("What they cost while nothing happens", ("clients", *heads), tuple(idle)),
        Chart("many-idle", "CPU with nothing going on", draw_lines("CPU at rest", "clients", "% of a core", lines)),
    ]


def main(arguments: list[str]) -> int:
    """Measure and keep the result."""
    parser = argparse.ArgumentParser(prog="python -m bench many", description=__doc__)
    parser.add_argument("--levels", type=int, nargs="+", default=[100, 300], help="numbers of clients to measure at")
    parser.add_argument("--idle-seconds", type=float, default=20, help="of each look at the platform at rest")
    options = parser.parse_args(arguments)
    root = Path(tempfile.mkdtemp(prefix="bench-many-"))
    count = max(options.levels) + GROUP
    first = find_free_ports(count)
    ports = {"FLAME_FIRST_PORT": str(first), "FLAME_LAST_PORT": str(first + count - 1)}
    off = {"FLAME_SANDBOX": "off", "FLAME_ISOLATION": "off"}
    installation = Installation(root / "flame", "/bin/true", **{**GENEROUS, **ports, **off})
    shutil.copy(Path(__file__).with_name("trivial_runner.py"), installation.home / "tenant_runner" / "__main__.py")
    try:
        installation.start()
        figures = asyncio.run(run(installation, options.levels, options.idle_seconds))
    finally:
        installation.stop()
        shutil.rmtree(root, ignore_errors=True)
    versions = {name: version(name) for name in ("supervisor", "secantusdb", "pymongo")}
    say(f"kept: {write_result('many', options=vars(options), figures=figures, versions=versions)}")
    return 0
