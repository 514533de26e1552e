"""What the control plane can take: events, status reads, long lists, long histories: `python -m bench platform`."""

import argparse
import asyncio
import contextlib
import shutil
import statistics
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx2
from pymongo import AsyncMongoClient, monitoring

from bench.results import Table, write_result
from bench.site import Site, make_event, make_messages, open_site, percentile, take
from control_plane.clients.models import Client
from control_plane.clients.stored_secrets import read_runner_token
from control_plane.conversations import service as conversations_service
from control_plane.conversations.repository import Conversations
from control_plane.database import INDEXES, Database, Document
from tenant_runner.contract import EVENTS_PATH, MAX_EVENTS_PER_DELIVERY, START_PATH, TOKEN_HEADER
from tests.conftest import serve_database

INSERTED_AT_ONCE = 5_000
MESSAGES_PER_CHAT = 500
FEW_MESSAGES = 10_000
FEW_CLIENTS = 10
VISITS = 30
AT_ONCE = 8
WATCHED_EVENTS = 20
WATCH_EVERY_S = 0.5
PARTS = ("speed", "list", "history")
EMBEDDED = "embedded"
ITS_EXPLAIN = (
    "The embedded database does not count what it reads (all that match in the index that it takes, before sort and "
    "limit), and says COLLSCAN where in truth it goes by the first field of an index and looks at what that finds."
)

Figures = dict[str, Any]


def say(text: str) -> None:
    """Progress, for whoever waits."""
    print(text, flush=True)


class RunnerSide:
    """Delivers a client's events as its runner's courier does: up to 200 in one request, the session with each."""

    def __init__(self, site: Site, client: Client) -> None:
        self._http = site.visitor
        self._headers = {TOKEN_HEADER: read_runner_token(client, site.cipher)}
        self._started_at = datetime.now(UTC)
        self._fence = 0
        self.sequence = 0

    async def deliver(self, events: list[dict[str, Any]]) -> None:
        """Post until all of them are accepted: a slow control plane takes a part at a time."""
        if not self._fence:
            self._fence = (await self._http.post(START_PATH, headers=self._headers)).json()["fence"]
        while events:
            body = {
                "instance": "bench",
                "fence": self._fence,
                "started_at": self._started_at.isoformat(),
                "journal_id": "bench",
                "config_revision": 1,
                "session": {"state": "WORKING", "reason": "connected", "since": self._started_at.isoformat()},
                "events": events,
            }
            answer = await self._http.post(EVENTS_PATH, headers=self._headers, json=body)
            answer.raise_for_status()
            through = answer.json()["accepted_through"]
            events = [event for event in events if event["sequence"] > through]

    def number(self, documents: list[Document]) -> list[dict[str, Any]]:
        """The events of messages, numbered on."""
        first = self.sequence + 1
        self.sequence += len(documents)
        return [make_event(document, number) for number, document in enumerate(documents, start=first)]


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
        seconds["events over HTTP"] += await _time(runner.deliver(events))
        half = len(batch) // 2
        seconds["insert_many"] += await _time(bare.insert_many(batch[:half]))

        async def insert_each(some: list[Document]) -> None:
            for document in some:
                await bare.insert_one(document)

        seconds["insert_one"] += await _time(insert_each(batch[half:]))
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
            times.append(await _get(site.visitor, path))

    began = time.monotonic()
    await asyncio.gather(*(read() for _ in range(AT_ONCE)))
    per_second = len(times) / (time.monotonic() - began)
    say(f"landing status: {per_second:.0f} per second")
    return {"per_second": per_second, "at_once": AT_ONCE, **_spread(times)}


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
        times = await _visit_in_turn({"few": (few.admin, "/admin"), "many": (many.admin, "/admin")})
    finally:
        keeping.cancel()
    figures = {name: _spread(values) for name, values in times.items()}
    ratio = figures["many"]["p50_ms"] / figures["few"]["p50_ms"]
    say(f"list of clients: {FEW_CLIENTS} and {count}: {figures}, ratio {ratio:.2f}")
    return {"clients": {"few": FEW_CLIENTS, "many": count}, **figures, "ratio": ratio}


# ------------------------------------------------------------------------------------------------ long histories


async def fill(site: Site, client: Client, count: int) -> int:
    """Put messages into the database as events would leave them; returns how many chats they are in."""
    chats = max(1, count // MESSAGES_PER_CHAT)
    documents = make_messages(client.id, count, chats, newest=datetime.now(UTC))
    newest, done, began = deque[Document](maxlen=chats), 0, time.monotonic()
    while batch := take(documents, INSERTED_AT_ONCE):
        await site.database["client_messages"].insert_many(batch, ordered=False)
        newest.extend(batch)
        done += len(batch)
        if done % (INSERTED_AT_ONCE * 20) == 0:
            say(f"  {done} of {count} messages are there after {time.monotonic() - began:.0f} s")
    # They are of each chat in turn.
    await Conversations(site.database, client.id).enlist(newest)
    return chats


async def measure_history(site: Site, few: Client, many: Client) -> Figures:
    """The list of chats, a chat, and the page after each, of a client with few messages and of one with many."""
    pages: dict[str, dict[str, str]] = {}
    for name, client in (("few", few), ("many", many)):
        conversations = Conversations(site.database, client.id)
        chats = await conversations_service.list_chats(conversations=conversations)
        chat_id = chats.chats[0].chat_id
        chat = await conversations_service.show_chat(chat_id, before=None, conversations=conversations)
        home = f"/admin/clients/{client.id}/chats"
        pages[name] = {
            "list of chats": home,
            "list, next page": f"{home}?before={chats.before}" if chats.before else home,
            "chat": f"{home}/{chat_id}",
            "chat, next page": f"{home}/{chat_id}?before={chat.before}",
        }
    figures: Figures = {}
    for page in pages["few"]:
        visits = {name: (site.admin, pages[name][page]) for name in pages}
        times = await _visit_in_turn(visits)
        spread = {name: _spread(values) for name, values in times.items()}
        figures[page] = {**spread, "ratio": spread["many"]["p50_ms"] / spread["few"]["p50_ms"]}
        say(f"{page}: {figures[page]}")
    return figures


class _Commands(monitoring.CommandListener):
    """Keeps the reading commands that a driver sends."""

    def __init__(self) -> None:
        self.sent: list[Document] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Keep it."""
        if event.command_name in ("find", "aggregate", "count"):
            self.sent.append({k: v for k, v in event.command.items() if k not in ("lsid", "$db", "$clusterTime")})

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Nothing to do."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Nothing to do."""


async def explain(uri: str, name: str, client: Client, *, counts: bool) -> list[Figures]:
    """How the database finds what the pages of chats ask for: each query with its plan's stages and what it read.

    Args:
        counts: the database counts what it reads.
    """
    commands = _Commands()
    found: list[Figures] = []
    async with AsyncMongoClient[Document](uri, tz_aware=True, event_listeners=[commands]) as connection:
        database = connection[name]
        conversations = Conversations(database, client.id)
        chats = await conversations_service.list_chats(conversations=conversations)
        await conversations_service.list_chats(conversations=conversations, before=chats.before)
        chat_id = chats.chats[0].chat_id
        chat = await conversations_service.show_chat(chat_id, before=None, conversations=conversations)
        await conversations_service.show_chat(chat_id, before=chat.before, conversations=conversations)
        for command in list(commands.sent):
            found.append(await _explain_one(database, command, counts))
            say(f"  explain {found[-1]}")
    return found


async def _explain_one(database: Database, command: Document, counts: bool) -> Figures:
    verbosity = "executionStats" if counts else "queryPlanner"
    answer = await database.command("explain", command, verbosity=verbosity)
    plan, stages, index = answer["queryPlanner"]["winningPlan"], list[str](), None
    plan = plan.get("queryPlan", plan)
    while plan:
        stages.append(plan["stage"])
        index = plan.get("indexName", index)
        plan = plan.get("inputStage") or (plan.get("inputStages") or [None])[0]
    read = answer.get("executionStats", {}).get("totalDocsExamined")
    fields = ", ".join(sorted(command.get("filter", {})))
    return {"collection": command["find"], "by": fields, "stages": stages, "index": index, "documents_read": read}


async def measure_export(site: Site, client: Client, messages: int) -> Figures:
    """The whole export of a client."""
    began, size = time.monotonic(), 0
    async with site.admin.stream("GET", f"/api/admin/clients/{client.id}/export") as answer:
        answer.raise_for_status()
        async for part in answer.aiter_raw():
            size += len(part)
    seconds = time.monotonic() - began
    say(f"export of {messages} messages: {seconds:.1f} s, {size / 1e6:.1f} MB")
    return {"messages": messages, "seconds": seconds, "megabytes": size / 1e6}


# ------------------------------------------------------------------------------------------------ cleanup


@dataclass
class Watch:
    """What others feel: how long the portal's list and a small delivery take, again and again."""

    site: Site
    runner: RunnerSide
    documents: Iterator[Document]
    portal: list[float] = field(default_factory=list)
    ingest: list[float] = field(default_factory=list)

    async def look(self, until: asyncio.Event) -> None:
        """Visit and deliver side by side until told to stop."""

        async def visit() -> None:
            while not until.is_set():
                self.portal.append(await _get(self.site.admin, "/admin"))
                await asyncio.sleep(WATCH_EVERY_S)

        async def deliver() -> None:
            while not until.is_set():
                events = self.runner.number(take(self.documents, WATCHED_EVENTS))
                self.ingest.append(await _time(self.runner.deliver(events)))
                await asyncio.sleep(WATCH_EVERY_S)

        await asyncio.gather(visit(), deliver())

    def read(self) -> Figures:
        """The figures since the last reading."""
        figures = {"portal": _spread(self.portal), "ingest": _spread(self.ingest)}
        self.portal, self.ingest = [], []
        return figures


async def measure_cleanup(site: Site, big: Client, messages: int, *, quiet_s: float, longest_s: float) -> Figures:
    """Delete all messages of a big client while the portal is visited and another client's events come in."""
    other = await site.add_client("Otro")
    newest = datetime.now(UTC) + timedelta(hours=1)
    watch = Watch(site, RunnerSide(site, other), make_messages(other.id, 10**7, 20, newest=newest))
    over = asyncio.Event()
    looking = asyncio.create_task(watch.look(over))
    try:
        await asyncio.sleep(quiet_s)
        before = watch.read()
        say(f"before the cleanup: {before}")
        began = time.monotonic()
        cutoff = datetime.now(UTC) + timedelta(minutes=1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await Conversations(site.database, big.id).delete_before(cutoff)
        seconds = time.monotonic() - began
        during = watch.read()
    finally:
        over.set()
        await looking
    left = await site.database["client_messages"].count_documents({"client_id": big.id})
    say(f"during the cleanup ({messages - left} of {messages} deleted in {seconds:.0f} s): {during}")
    return {"deleted": messages - left, "left": left, "seconds": seconds, "before": before, "during": during}


# ------------------------------------------------------------------------------------------------ clocks


async def _time(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def _get(http: httpx2.AsyncClient, path: str) -> float:
    began = time.perf_counter()
    answer = await http.get(path)
    answer.raise_for_status()
    if answer.status_code != 200:
        raise AssertionError(f"{path} answered {answer.status_code}")
    return time.perf_counter() - began


async def _visit_in_turn(pages: dict[str, tuple[httpx2.AsyncClient, str]]) -> dict[str, list[float]]:
    """Seconds of each page's answers; the first visit warms up and does not count, slow pages are visited less."""
    times: dict[str, list[float]] = {name: [] for name in pages}
    slowest = max([await _get(*page) for page in pages.values()])
    for _ in range(max(3, min(VISITS, int(30 / slowest)))):
        for name, (http, path) in pages.items():
            times[name].append(await _get(http, path))
    return times


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _spread(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {"n": 0, "p50_ms": 0, "p99_ms": 0}
    return {
        "n": len(seconds),
        "p50_ms": round(statistics.median(seconds) * 1000, 1),
        "p99_ms": round(percentile(seconds, 0.99) * 1000, 1),
    }


# ------------------------------------------------------------------------------------------------ the whole


async def run(options: argparse.Namespace, uri: str, root: Path, database: str) -> Figures:
    """Everything, one after the other."""
    names = {part: f"flame_bench_{part}" for part in ("few", "many", "history")}
    figures: Figures = {"database": database}

    @asynccontextmanager
    async def site(part: str) -> AsyncIterator[Site]:
        async with open_site(uri, root / part, names[part]) as opened:
            yield opened

    if "speed" in options.parts:
        async with site("few") as few:
            figures["ingest"] = await measure_ingest(few, options.rounds)
            figures["status"] = await measure_status(few, options.seconds)
    if "list" in options.parts:
        async with site("few") as few, site("many") as many:
            figures["list"] = await measure_list(few, many, options.clients)
    if "history" not in options.parts:
        return figures
    async with site("history") as history:
        clients = await history.add_clients(FEW_CLIENTS)
        small, big = clients[:2]
        await fill(history, small, FEW_MESSAGES)
        figures["messages"] = {"few": FEW_MESSAGES, "many": options.messages}
        figures["chats"] = await fill(history, big, options.messages)
        figures["history"] = await measure_history(history, small, big)
        figures["explain"] = await explain(uri, names["history"], big, counts=database != EMBEDDED)
        figures["export"] = await measure_export(history, small, FEW_MESSAGES)
        figures["cleanup"] = await measure_cleanup(
            history, big, options.messages, quiet_s=options.seconds, longest_s=options.cleanup_seconds
        )
    return figures


def present(result: dict[str, Any]) -> list[Table]:
    """For docs/benchmarks.md."""
    f = result["figures"]
    ingest, status, cleanup = f["ingest"], f["status"], f["cleanup"]
    n = {"few": f"{f['messages']['few']:,}", "many": f"{f['messages']['many']:,}"}

    def show(spread: dict[str, float]) -> str:
        return f"{spread['p50_ms']:.0f} / {spread['p99_ms']:.0f}"

    speeds = [(f"{name}, per second", f"{value:,.0f}") for name, value in ingest["per_second"].items()]
    speeds.append((f"landing status, {status['at_once']} at a time, per second", f"{status['per_second']:,.0f}"))
    speeds.append(("landing status, ms (p50 / p99)", show(status)))
    lists = f["list"]
    few, many = lists["clients"]["few"], lists["clients"]["many"]
    pages = [(f"list of clients, {few} and {many:,}", show(lists["few"]), show(lists["many"]), f"{lists['ratio']:.2f}")]
    pages += [
        (f"{page}, {n['few']} and {n['many']} messages", show(each["few"]), show(each["many"]), f"{each['ratio']:.2f}")
        for page, each in f["history"].items()
    ]
    plans = [
        (e["collection"], e["by"], " ← ".join(e["stages"]), e["index"] or "-", _count(e["documents_read"]))
        for e in f["explain"]
    ]
    its_explain = ITS_EXPLAIN if f["database"] == EMBEDDED else ""
    watched = [(what, show(cleanup["before"][what]), show(cleanup["during"][what])) for what in ("portal", "ingest")]
    note = f"{cleanup['deleted']:,} of {n['many']} messages deleted in {cleanup['seconds']:,.0f} s."
    note += f" Meanwhile somebody visits the list, and another client's messages come, {WATCHED_EVENTS} at once;"
    note += f" between one and the next {WATCH_EVERY_S} s."
    return [
        Table("Events and reads", ("what", "figure"), tuple(speeds), f"Database: {f['database']}."),
        Table("Pages, ms (p50 / p99)", ("page", "few", "many", "ratio of p50"), tuple(pages)),
        Table("Plans", ("collection", "by", "stages", "index", "documents read"), tuple(plans), its_explain),
        Table("While a cleanup runs, ms (p50 / p99)", ("what", "before", "during"), tuple(watched), note),
    ]


def main(arguments: list[str]) -> int:
    """Measure and keep the result."""
    parser = argparse.ArgumentParser(prog="python -m bench platform", description=__doc__)
    parser.add_argument("--mongodb-uri", help="a MongoDB; without it the embedded database is started")
    parser.add_argument("--clients", type=int, default=1_000, help="of the long list")
    parser.add_argument("--messages", type=int, default=1_000_000, help="of the client with the long history")
    parser.add_argument("--rounds", type=int, default=10, help="deliveries of 200 events")
    parser.add_argument("--seconds", type=float, default=20, help="of each watch")
    parser.add_argument("--cleanup-seconds", type=float, default=1_800, help="after which a cleanup is cut off")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="a part alone is shown and not kept")
    options = parser.parse_args(arguments)
    root = Path(tempfile.mkdtemp(prefix="bench-platform-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        if options.mongodb_uri:
            uri, database = options.mongodb_uri, "MongoDB"
        else:
            uri, database = stack.enter_context(serve_database(root / "database")), EMBEDDED
        figures = asyncio.run(run(options, uri, root, database))
    if set(options.parts) != set(PARTS):
        return 0
    kept = {name: value for name, value in vars(options).items() if name not in ("mongodb_uri", "parts")}
    versions = {name: version(name) for name in ("pymongo", "secantusdb", "fastapi", "uvicorn")}
    say(f"kept: {write_result('platform', options=kept, figures=figures, versions=versions)}")
    return 0
