"""Events in, and what a landing page asks for, per second; the list of clients, short and long."""

import asyncio
import time
from datetime import UTC, datetime

from bench.platform.clocks import Figures, clock, get, spread, visit_in_turn
from bench.platform.runner_side import RunnerSide
from bench.results import say
from bench.site import Site, make_messages, take
from control_plane.database import INDEXES, Document
from tenant_runner.contract import MAX_EVENTS_PER_DELIVERY

FEW_CLIENTS = 10
AT_ONCE = 8


async def measure_ingest(site: Site, rounds: int) -> Figures:
    """Events per second over HTTP beside the bare driver's inserts of the same documents, turn by turn."""
    client = (await site.add_clients(1))[0]
    runner = RunnerSide(site, client)
    bare = site.database["bench_messages"]
    await bare.create_indexes(INDEXES["client_messages"])
    documents = make_messages(client.id, rounds * MAX_EVENTS_PER_DELIVERY, 40, newest=datetime.now(UTC))
    seconds: dict[str, float] = {"events over HTTP": 0, "insert_many": 0, "insert_one": 0}
    for _ in range(rounds):
        batch = take(documents, MAX_EVENTS_PER_DELIVERY)
        events = runner.number(batch)
        seconds["events over HTTP"] += await clock(runner.deliver(events))
        half = len(batch) // 2
        seconds["insert_many"] += await clock(bare.insert_many(batch[:half]))

        async def insert_each(some: list[Document]) -> None:
            for document in some:
                await bare.insert_one(document)

        seconds["insert_one"] += await clock(insert_each(batch[half:]))
    count = rounds * MAX_EVENTS_PER_DELIVERY
    stored = await site.database["client_messages"].count_documents({"client_id": client.id})
    assert stored == count, f"{stored} of {count} events were stored"
    per_second = {
        "events over HTTP": count / seconds["events over HTTP"],
        "insert_many": count / 2 / seconds["insert_many"],
        "insert_one": count / 2 / seconds["insert_one"],
    }
    say(f"ingest, per second: { {name: round(value) for name, value in per_second.items()} }")
    return {
        "events": count,
        "per_second": per_second,
        "of_insert_many": per_second["events over HTTP"] / per_second["insert_many"],
        "of_insert_one": per_second["events over HTTP"] / per_second["insert_one"],
    }


async def measure_status(site: Site, duration_s: float) -> Figures:
    """Reads of a landing page's status per second, eight at a time."""
    client = (await site.add_clients(1))[0]
    path, times = f"/api/client/{client.slug}/status", list[float]()
    ends = time.monotonic() + duration_s

    async def read() -> None:
        while time.monotonic() < ends:
            times.append(await get(site.visitor, path))

    began = time.monotonic()
    await asyncio.gather(*(read() for _ in range(AT_ONCE)))
    per_second = len(times) / (time.monotonic() - began)
    say(f"landing status: {per_second:.0f} per second")
    return {"per_second": per_second, "at_once": AT_ONCE, **spread(times)}


async def measure_list(few: Site, many: Site, count: int) -> Figures:
    """The portal's list of clients with ten and with many, turn by turn."""
    clients = {few: await few.add_clients(FEW_CLIENTS), many: await many.add_clients(count)}

    async def keep_overviews() -> None:
        # As each one's scheduler does.
        while True:
            for site in clients:
                await site.keep_overview()
            await asyncio.sleep(site.settings.reconcile_interval_s)

    for site in clients:
        await site.keep_overview()
    keeping = asyncio.create_task(keep_overviews())
    try:
        times = await visit_in_turn({"few": (few.admin, "/admin"), "many": (many.admin, "/admin")})
    finally:
        keeping.cancel()
    figures = {name: spread(values) for name, values in times.items()}
    ratio = figures["many"]["p50_ms"] / figures["few"]["p50_ms"]
    say(f"list of clients: {FEW_CLIENTS} and {count}: {figures}, ratio {ratio:.2f}")
    return {"clients": {"few": FEW_CLIENTS, "many": count}, **figures, "ratio": ratio}
