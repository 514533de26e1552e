"""One system with one number of clients: what is done to it, and what comes out."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx2

from bench.peers.footprint import PLATFORM, Footprint, look, measure_disk
from bench.peers.phones import Phone, keep_quietest, measure_burst, measure_latency, measure_quiet_latency
from bench.peers.system import System

SETTLE_S = 8.0


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        idle_s: for how long the processor time of idle clients is counted.
        messages: written one at a time, all clients together; more where the machine's host took time meanwhile.
        burst: written at once to one client, and to each of all.
        restarts: clients that are restarted, one after the other.
    """

    idle_s: float
    messages: int
    burst: int
    restarts: int


@dataclass
class Run:
    """What came out for one system with one number of clients; times in seconds.

    Attributes:
        memory_mb: by component and client, idle, before the first message; `platform` in all.
        talked_mb: the same after all messages.
        processes: by component, of all clients.
        idle_cpu_percent: of one core, for each client; `platform` in all.
        begin_to_working: the part of a restart after the old process has ended.
        latency: of the messages that were written while the host took least.
        latency_stolen_percent: what it took meanwhile, of all cores' time.
        messages_per_second: of one client, of all together.
        cpu_ms_per_message: processor time of everything while all answer.
        unanswered: messages of the bursts.
        profile_mb: a client's directory after linking; growth is for each message that came and its answer.
    """

    system: str
    clients: int
    round: int
    error: str | None = None
    memory_mb: dict[str, float] = field(default_factory=dict)
    talked_mb: dict[str, float] = field(default_factory=dict)
    processes: dict[str, int] = field(default_factory=dict)
    idle_cpu_percent: dict[str, float] = field(default_factory=dict)
    start_to_code: list[float] = field(default_factory=list)
    scan_to_working: list[float] = field(default_factory=list)
    restart_to_working: list[float] = field(default_factory=list)
    begin_to_working: list[float] = field(default_factory=list)
    latency: list[float] = field(default_factory=list)
    latency_stolen_percent: float = 0.0
    messages_per_second: dict[str, float] = field(default_factory=dict)
    cpu_ms_per_message: float | None = None
    unanswered: int = 0
    profile_mb: float | None = None
    growth_kb_per_message: float | None = None


async def measure(system: System, run: Run, plan: Plan) -> None:
    """Fill the run; raises what went wrong."""
    names = [f"c{number:03d}" for number in range(run.clients)]
    await system.open()
    # What a system does when it has just begun is not what a client's start takes.
    await asyncio.sleep(SETTLE_S)
    limits = httpx2.Limits(max_connections=20)
    async with httpx2.AsyncClient(base_url=system.sandbox, timeout=60, limits=limits) as http:
        phones = [Phone(http, f"549118{run.round:01d}{number:06d}") for number in range(run.clients)]
        for name, phone in zip(names, phones, strict=True):
            await _add(system, name, phone, run)
        await _idle(system, run, plan)
        disk = sum(measure_disk(system.directory(name)) for name in names)
        run.profile_mb = disk / run.clients / 1e6
        written = await _talk(system, phones, run, plan)
        talked = await asyncio.to_thread(look, system.processes())
        run.talked_mb = _per_client(talked.memory_mb, run.clients)
        grown = sum(measure_disk(system.directory(name)) for name in names) - disk
        run.growth_kb_per_message = grown / written / 1e3
        for name in names[: plan.restarts]:
            await _restart(system, name, run)
        # What came back must answer too.
        await measure_latency(phones[: plan.restarts], min(plan.restarts, run.clients))


async def _add(system: System, name: str, phone: Phone, run: Run) -> None:
    began = time.monotonic()
    await system.start(name)
    code = await system.wait_for_code(name)
    shown = time.monotonic()
    await phone.scan(code)
    await system.wait_until_working(name)
    run.start_to_code.append(shown - began)
    run.scan_to_working.append(time.monotonic() - shown)


async def _idle(system: System, run: Run, plan: Plan) -> None:
    await asyncio.sleep(SETTLE_S)
    processes = system.processes()
    before, began = await asyncio.to_thread(look, processes, memory=False), time.monotonic()
    await asyncio.sleep(plan.idle_s)
    after, seconds = await asyncio.to_thread(look, processes, memory=False), time.monotonic() - began
    spent = {name: 100 * (cpu_s - before.cpu_s[name]) / seconds for name, cpu_s in after.cpu_s.items()}
    run.idle_cpu_percent = _per_client(spent, run.clients)
    held = await asyncio.to_thread(look, system.processes())
    run.memory_mb = _per_client(held.memory_mb, run.clients)
    run.processes = held.processes


async def _talk(system: System, phones: Sequence[Phone], run: Run, plan: Plan) -> int:
    """Let customers write; returns how many messages they wrote."""
    await measure_latency(phones, 2 * len(phones))  # warms up
    blocks = await measure_quiet_latency(phones, plan.messages)
    quiet = keep_quietest(blocks, plan.messages)
    run.latency = [seconds for block in quiet for seconds in block.taken]
    run.latency_stolen_percent = statistics.mean(block.stolen_percent for block in quiet)
    one = await measure_burst(phones[:1], plan.burst)
    before = _total_cpu(await asyncio.to_thread(look, system.processes(), memory=False))
    every = await measure_burst(phones, plan.burst)
    spent = _total_cpu(await asyncio.to_thread(look, system.processes(), memory=False)) - before
    run.messages_per_second = {"one": one.per_second, "all": every.per_second}
    run.cpu_ms_per_message = 1000 * spent / every.answers
    run.unanswered = sum(burst.messages - burst.answers for burst in (one, every))
    one_at_a_time = 2 * len(phones) + sum(len(block.taken) for block in blocks)
    return one_at_a_time + one.messages + every.messages


async def _restart(system: System, name: str, run: Run) -> None:
    began = time.time()
    await system.restart(name)
    await system.wait_until_working(name)
    ended = time.time()
    run.restart_to_working.append(ended - began)
    run.begin_to_working.append(ended - system.began_at(name))


def _per_client(values: dict[str, float], clients: int) -> dict[str, float]:
    return {name: value if name == PLATFORM else value / clients for name, value in values.items()}


def _total_cpu(footprint: Footprint) -> float:
    return sum(footprint.cpu_s.values())
