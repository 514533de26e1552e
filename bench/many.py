"""What hundreds of clients cost the platform itself, without their browsers: `python -m bench many`.

A whole installation with real processes; in the place of each runner a program that only says that it works. Clients
are added one after the other, in groups of ten. What one costs is the processor time and the database's commands of a
window of time in which it is added, less what the installation takes in that time with nothing going on; that grows
with the number of clients, so it is measured before and after the group. Runners that were heard are quiet meanwhile:
hundreds of heartbeats would hide what one client costs. What the installation takes at rest, heartbeats too, is told
apart.
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
from bench.results import Chart, Table, say, write_result
from bench.site import GENEROUS
from bench.trivial_runner import QUIET, SAID
from tests.conftest import find_free_ports
from tests.e2e.installation import Installation

PARTS = ("web", "scheduler", "database", "supervisord")
# What is divided by what it was in the first group: commands of the database, and processor time of these together.
SUMS = {
    "commands": ("commands",),
    "web and scheduler": PARTS[:2],
    "web, scheduler and database": PARTS[:3],
    "everything": PARTS,
}
GROUP = 10
# In which a client is added. What the scheduler does regularly (5 s) is whole times in it; and until some seconds after
# its start a client is not settled yet.
WINDOW_S = 10.0
HEARD_S = 120.0
LOOK_S = 0.05
MEGABYTE = 1_000_000

Costs = dict[str, float]


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


def _between(first: float, last: float, share: float) -> float:
    """`share` of the way from `first` (0) to `last` (1)."""
    return first + (last - first) * share


class Many:
    """One run."""

    def __init__(self, installation: Installation, api: httpx2.AsyncClient, idle_s: float) -> None:
        self.installation = installation
        self.api = api
        self.idle_s = idle_s
        self.meter = Meter(installation)
        self.quiet = installation.home / "var" / QUIET
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
        if answer.is_error:
            raise AssertionError(f"client {self.count} was refused: {answer.text}\n{self.installation.logs()}")
        said = self.installation.home / "var" / "clients" / answer.json()["id"] / SAID
        while not said.exists():
            if time.monotonic() - began > HEARD_S:
                raise AssertionError(f"client {self.count} was not heard of:\n{self.installation.logs()}")
            await asyncio.sleep(LOOK_S)
        self.count += 1
        return time.monotonic() - began

    async def idle(self) -> Costs:
        """What the platform uses in a second with nothing going on."""
        await asyncio.sleep(WINDOW_S / 2)
        before, began = self.meter.read(), time.monotonic()
        await asyncio.sleep(self.idle_s)
        used, seconds = _difference(self.meter.read(), before), time.monotonic() - began
        return {name: value / seconds for name, value in used.items()}

    async def measure_group(self) -> dict[str, Any]:
        """Add ten, one after the other; what each cost beyond what is used anyhow."""
        first = self.count + 1
        self.quiet.touch()
        before_all = await self.idle()
        used: list[Costs] = []
        took: list[float] = []
        seconds: list[float] = []
        for _ in range(GROUP):
            before, began = self.meter.read(), time.monotonic()
            took.append(await self.add())
            await asyncio.sleep(max(0.0, began + WINDOW_S - time.monotonic()))
            used.append(_difference(self.meter.read(), before))
            seconds.append(time.monotonic() - began)
        after_all = await self.idle()
        self.quiet.unlink()
        each = [
            {
                name: value - _between(before_all[name], after_all[name], (n + 0.5) / GROUP) * s
                for name, value in cost.items()
            }
            for n, (cost, s) in enumerate(zip(used, seconds, strict=True))
        ]
        figures: dict[str, Any] = {
            "clients": [first, self.count],
            "idle_per_second": await self.idle(),
            "quiet_per_second": [before_all, after_all],
            "each": each,
            # One window follows the other: what falls into one in place of the next is the same in their mean.
            "per_client": {name: statistics.mean(cost[name] for cost in each) for name in each[0]},
            "sums": {
                what: statistics.mean(sum(cost.get(part, 0) for part in parts) for cost in each)
                for what, parts in SUMS.items()
            },
            "heard_after_s": statistics.median(took),
            "memory_mb": self.meter.memory(),
        }
        say(f"clients {first} to {self.count}:")
        for name in ("per_client", "sums", "idle_per_second"):
            say(f"  {name}: " + ", ".join(f"{what} {value:.3f}" for what, value in figures[name].items()))
        return figures

    async def fill(self, count: int) -> None:
        """Add without measuring, a few at a time, until there are that many; quietly, and until all are settled."""
        self.quiet.touch()
        while self.count < count:
            some = min(GROUP, count - self.count)
            began = time.monotonic()
            await asyncio.gather(*(self.add() for _ in range(some)))
            say(f"  {self.count} clients, the last {some} after {time.monotonic() - began:.0f} s")
        await asyncio.sleep(WINDOW_S)


async def run(installation: Installation, levels: list[int], idle_s: float) -> dict[str, Any]:
    """Groups of ten at the beginning and at the end of each level."""
    key = installation.command("create-api-key").split()[-1]
    groups: list[dict[str, Any]] = []
    # A connection that is kept is closed after five seconds, and ten clients take as long: it may be lost in between.
    limits = httpx2.Limits(max_keepalive_connections=0)
    async with httpx2.AsyncClient(
        base_url=installation.portal, headers={"X-Api-Key": key}, timeout=120, trust_env=False, limits=limits
    ) as api:
        many = Many(installation, api, idle_s)
        # The first client of all warms everything up.
        await many.add()
        groups.append(await many.measure_group())
        for level in levels:
            await many.fill(level - GROUP)
            groups.append(await many.measure_group())
    first, last = groups[0]["sums"], groups[-1]["sums"]
    ratio = {what: last[what] / first[what] for what in SUMS if first[what] > 0}
    say("last to first: " + ", ".join(f"{what} {value:.2f}" for what, value in ratio.items()))
    return {"groups": groups, "ratio": ratio, "processes": len(installation.processes())}


def present(result: dict[str, Any]) -> list[Table | Chart]:
    """For docs/benchmarks.md."""
    figures = result["figures"]
    groups = figures["groups"]
    heads = tuple(f"{group['clients'][0]} to {group['clients'][1]}" for group in groups)

    def row(label: str, key: str, part: str, factor: float, digits: int) -> tuple[str, ...]:
        return (label, *(f"{group[key].get(part, 0) * factor:.{digits}f}" for group in groups))

    added = [row(f"{part}, ms of CPU", "per_client", part, 1000, 0) for part in PARTS]
    added += [row(f"{what}, ms of CPU", "sums", what, 1000, 0) for what in SUMS if what != "commands"]
    added.append(row("commands of the database", "per_client", "commands", 1, 0))
    added.append(("seconds until its runner was heard", *(f"{group['heard_after_s']:.1f}" for group in groups)))
    idle = [row(f"{part}, % of a core", "idle_per_second", part, 100, 1) for part in PARTS]
    idle.append(row("commands of the database, per second", "idle_per_second", "commands", 1, 0))
    idle += [row(f"{part}, MB (PSS)", "memory_mb", part, 1, 0) for part in PARTS]
    note = "Last to first: " + "; ".join(f"{what} {value:.2f}" for what, value in figures["ratio"].items()) + "."
    lines = {
        part: [(float(group["clients"][1]), group["idle_per_second"].get(part, 0) * 100) for group in groups]
        for part in PARTS
    }
    return [
        Table("What one more client costs (means of ten)", ("clients", *heads), tuple(added), note),
        Table("What they cost while nothing happens", ("clients", *heads), tuple(idle)),
        Chart("many-idle", "CPU with nothing going on", draw_lines("CPU at rest", "clients", "% of a core", lines)),
    ]


def main(arguments: list[str]) -> int:
    """Measure and keep the result."""
    parser = argparse.ArgumentParser(prog="python -m bench many", description=__doc__)
    parser.add_argument("--levels", type=int, nargs="+", default=[100, 300], help="numbers of clients to measure at")
    parser.add_argument("--idle-seconds", type=float, default=10, help="of each look at the platform at rest")
    options = parser.parse_args(arguments)
    root = Path(tempfile.mkdtemp(prefix="bench-many-"))
    count = max(options.levels) + GROUP
    first = find_free_ports(count)
    ports = {"FLAME_FIRST_PORT": str(first), "FLAME_LAST_PORT": str(first + count - 1)}
    # Runners are quiet for minutes.
    off = {"FLAME_SANDBOX": "off", "FLAME_ISOLATION": "off", "FLAME_HEARTBEAT_LOST_S": "1800"}
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
