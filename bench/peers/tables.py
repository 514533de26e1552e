"""How the comparison is shown: ratios to whatsapp-web.js, tables, charts, and what a machine can hold."""

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from bench.charts import draw_bars, draw_lines
from bench.peers.footprint import COMPONENTS, PLATFORM
from bench.results import Chart, Table

OURS, MEASURE, OTHER_BROWSER = "ours", "whatsapp-web.js", ", other browser"
PAIRS = (
    (OURS, MEASURE, "the same browser"),
    (OURS + OTHER_BROWSER, MEASURE + OTHER_BROWSER, "both with the other browser"),
    (OURS + OTHER_BROWSER, MEASURE, "only ours with the other browser"),
)
"""What is divided by what, and how that is called."""
GIB_MB = 2**30 / 1e6
# Of a machine's cores and memory: the rest is for the system, for starts and for bad moments.
USABLE = 0.7
MESSAGES_PER_HOUR = 60
MANY = 10_000

Run = dict[str, Any]
Figure = Callable[[Run], float]


def _memory(run: Run, *, when: str = "memory_mb") -> float:
    return float(sum(mb for name, mb in run[when].items() if name != PLATFORM))


def _part(name: str) -> Figure:
    return lambda run: float(run["memory_mb"].get(name, 0))


def _latency(share: float) -> Figure:
    def pick(run: Run) -> float:
        ordered = sorted(run["latency"])
        return 1000 * float(ordered[max(0, math.ceil(share * len(ordered)) - 1)])

    return pick


def _median(name: str) -> Figure:
    return lambda run: statistics.median(run[name])


TARGETS: tuple[tuple[str, Figure, float], ...] = (
    ("memory per client, idle", _memory, 0.75),
    ("start to QR code", _median("start_to_code"), 1.25),
    ("restart to WORKING", _median("restart_to_working"), 1.25),
    ("reply latency, p50", _latency(0.5), 1.25),
    ("reply latency, p99", _latency(0.99), 1.25),
)
"""Ours divided by whatsapp-web.js, in the same run, and how much that may be."""


class Comparison:
    """A result's runs, by system and number of clients; figures are the median of the rounds."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self.failed = [run for run in runs if run["error"]]
        self._runs: dict[tuple[str, int], list[Run]] = {}
        for run in runs:
            if not run["error"]:
                self._runs.setdefault((run["system"], run["clients"]), []).append(run)
        self.systems = list(dict.fromkeys(system for system, _ in self._runs))
        self.levels = sorted({clients for _, clients in self._runs})

    def get(self, system: str, clients: int, figure: Figure) -> float | None:
        """A figure, None when it was not measured."""
        runs = self._runs.get((system, clients))
        return statistics.median(map(figure, runs)) if runs else None

    def ratio(self, system: str, by: str, clients: int, figure: Figure) -> float | None:
        """A system's figure divided by another's."""
        own, other = self.get(system, clients, figure), self.get(by, clients, figure)
        return own / other if own is not None and other else None

    @property
    def pairs(self) -> Iterator[tuple[int, str]]:
        """Every number of clients with every system."""
        return ((clients, system) for clients in self.levels for system in self.systems)


def present(result: dict[str, Any]) -> Iterator[Table | Chart]:
    """Everything that the report shows of the comparison."""
    comparison = Comparison(result["figures"]["runs"])
    if not comparison.levels:
        yield _make_failures(comparison)
        return
    yield _make_ratios(comparison)
    yield _make_memory(comparison)
    yield _draw_memory(comparison)
    yield _make_times(comparison)
    yield _draw_times(comparison)
    yield _make_answers(comparison)
    yield _draw_answers(comparison)
    yield _make_disk(comparison)
    yield _make_capacity(comparison)
    if comparison.failed:
        yield _make_failures(comparison)


# ---------------------------------------------------------------------------------------------------- tables


def _make_ratios(comparison: Comparison) -> Table:
    def show(ratio: float | None, bound: float) -> str:
        return "-" if ratio is None else f"{ratio:.2f}{' ✗' if ratio > bound else ''}"

    rows = [("target", *(f"≤ {bound}" for _, _, bound in TARGETS))]
    for clients in comparison.levels:
        for system, by, label in PAIRS:
            ratios = [(comparison.ratio(system, by, clients, figure), bound) for _, figure, bound in TARGETS]
            if any(ratio is not None for ratio, _ in ratios):
                rows.append((f"{clients}, {label}", *(show(ratio, bound) for ratio, bound in ratios)))
    note = "✗: above the target, which for memory is meant at 20 clients."
    columns = ("clients, browsers", *(name for name, _, _ in TARGETS))
    return Table(f"Ours divided by {MEASURE}", columns, tuple(rows), note)


def _make_memory(comparison: Comparison) -> Table:
    def processes(run: Run) -> float:
        return float(sum(n for name, n in run["processes"].items() if name != PLATFORM) / run["clients"])

    figures: list[tuple[Figure, str]] = [
        (_memory, ".0f"),
        *((_part(name), ".0f") for name in COMPONENTS),
        (lambda run: _memory(run, when="talked_mb"), ".0f"),
        (processes, ".1f"),
        (lambda run: sum(cpu for name, cpu in run["idle_cpu_percent"].items() if name != PLATFORM), ".2f"),
        (_part(PLATFORM), ".0f"),
        (lambda run: float(run["idle_cpu_percent"].get(PLATFORM, 0)), ".1f"),
    ]
    columns = (
        "clients, system",
        "MB each, idle",
        *COMPONENTS,
        "after talking",
        "processes each",
        "idle CPU % each",
        "shared MB",
        "shared CPU %",
    )
    note = (
        "MB are proportional set sizes (10⁶ bytes) summed over the process tree; CPU is percent of one core. "
        "“Shared” is what all clients use together: of ours the portal, the scheduler, the database and supervisord. "
        "“other” are walls (bubblewrap) and shells."
    )
    return Table("Memory and idle processor time", columns, _make_rows(comparison, figures), note)


def _make_times(comparison: Comparison) -> Table:
    figures: list[tuple[Figure, str]] = [
        (_median("start_to_code"), ".1f"),
        (_median("scan_to_working"), ".1f"),
        (_median("restart_to_working"), ".1f"),
        (_median("begin_to_working"), ".1f"),
    ]
    columns = (
        "clients, system",
        "start to QR code",
        "scan to WORKING",
        "restart to WORKING",
        "of that, after the stop",
    )
    note = (
        "Seconds, medians; one client at a time while the others are idle. From the order to what the user is told: of "
        "ours through the portal's API and the database, of the others as their library's events. Every log-in holds "
        "1.5 s of the page's own syncing; wppconnect does not wait for it."
    )
    return Table("Starting", columns, _make_rows(comparison, figures), note)


def _make_answers(comparison: Comparison) -> Table:
    figures: list[tuple[Figure, str]] = [
        (_latency(0.5), ".0f"),
        (_latency(0.99), ".0f"),
        (lambda run: float(run["latency_stolen_percent"]), ".1f"),
        (lambda run: float(run["messages_per_second"]["one"]), ".1f"),
        (lambda run: float(run["messages_per_second"]["all"]), ".1f"),
        (lambda run: float(run["cpu_ms_per_message"]), ".0f"),
        (lambda run: float(run["unanswered"]), ".0f"),
    ]
    columns = (
        "clients, system",
        "p50 ms",
        "p99 ms",
        "stolen meanwhile, %",
        "messages/s, one client",
        "messages/s, all",
        "CPU ms per message",
        "unanswered",
    )
    note = (
        "Latency is from the message's push to the page to the page's sending of the answer, both on the sandbox's "
        "clock, one message at a time, in blocks of which those count in which the machine's host stole least. "
        "Messages per second are of a burst by as many customers. Ours writes everything to its journal and tells the "
        "control plane; the others keep nothing."
    )
    return Table("Answering", columns, _make_rows(comparison, figures), note)


def _make_disk(comparison: Comparison) -> Table:
    figures: list[tuple[Figure, str]] = [
        (lambda run: float(run["profile_mb"]), ".1f"),
        (lambda run: float(run["growth_kb_per_message"]), ".1f"),
    ]
    columns = ("clients, system", "MB per client", "KB more per message answered")
    note = "Of ours with the journal. Browsers write when they like: few messages say little about growth."
    return Table("Disk", columns, _make_rows(comparison, figures), note)


def _make_capacity(comparison: Comparison) -> Table:
    """From the largest measured number of clients."""
    clients = comparison.levels[-1]

    def show(system: str) -> tuple[str, ...] | None:
        mb = comparison.get(system, clients, lambda run: _memory(run, when="talked_mb"))
        cpu = comparison.get(system, clients, _load_of_client)
        if mb is None or cpu is None:
            return None
        per_gib, per_core = USABLE * GIB_MB / mb, USABLE / cpu
        needs = (f"{MANY / per_gib:,.0f}", f"{MANY / per_core:,.0f}")
        return (system, f"{per_gib:.1f}", f"{per_core:.0f}", *needs)

    rows = tuple(row for system in comparison.systems if (row := show(system)) is not None)
    columns = ("system", "clients per GiB", "clients per core", f"GiB for {MANY:,}", f"cores for {MANY:,}")
    note = (
        f"Computed from {clients} clients, with {USABLE:.0%} of memory and cores used: memory after talking; processor "
        f"time idle and of {MESSAGES_PER_HOUR} answered messages an hour for each client. Without what clients share."
    )
    return Table("Capacity", columns, rows, note)


def _make_failures(comparison: Comparison) -> Table:
    rows = tuple((run["system"], str(run["clients"]), run["error"].splitlines()[0][:160]) for run in comparison.failed)
    return Table("Not measured", ("system", "clients", "why"), rows)


def _load_of_client(run: Run) -> float:
    """Cores that one client needs."""
    idle = sum(cpu for name, cpu in run["idle_cpu_percent"].items() if name != PLATFORM) / 100
    return float(idle + run["cpu_ms_per_message"] / 1000 * MESSAGES_PER_HOUR / 3600)


def _make_rows(comparison: Comparison, figures: Sequence[tuple[Figure, str]]) -> tuple[tuple[str, ...], ...]:
    def show(clients: int, system: str, figure: Figure, form: str) -> str:
        value = comparison.get(system, clients, figure)
        return "-" if value is None else format(value, form)

    return tuple(
        (f"{clients}, {system}", *(show(clients, system, figure, form) for figure, form in figures))
        for clients, system in comparison.pairs
    )


# ---------------------------------------------------------------------------------------------------- charts


def _draw_memory(comparison: Comparison) -> Chart:
    rows = []
    for clients, system in comparison.pairs:
        parts = {name: comparison.get(system, clients, _part(name)) for name in COMPONENTS}
        rows.append((f"{clients}: {system}", {name: mb for name, mb in parts.items() if mb is not None}))
    title = "Memory per client, idle, by number of clients"
    return Chart("peers-memory", title, draw_bars(title, "MB (proportional set size) per client", rows))


def _draw_times(comparison: Comparison) -> Chart:
    rows: list[tuple[str, dict[str, float]]] = []
    clients = comparison.levels[-1]
    for name, label in (("start_to_code", "start to QR code"), ("restart_to_working", "restart to WORKING")):
        rows += [("", {})] if rows else []
        for system in comparison.systems:
            value = comparison.get(system, clients, _median(name))
            rows.append((f"{label}: {system}", {} if value is None else {"seconds": value}))
    title = f"Starting one of {clients} clients" if clients > 1 else "Starting a client"
    return Chart("peers-starting", title, draw_bars(title, "seconds, median", rows))


def _draw_answers(comparison: Comparison) -> Chart:
    series = {}
    for system in comparison.systems:
        points = [(clients, comparison.get(system, clients, _latency(0.5))) for clients in comparison.levels]
        series[system] = [(float(clients), value) for clients, value in points if value is not None]
    title = "Time to answer a message, median"
    return Chart("peers-answering", title, draw_lines(title, "clients", "ms", series))
