"""All measurements on one database, and what docs/benchmarks.md shows of it."""

import argparse
import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.platform.cleanup import WATCH_EVERY_S, WATCHED_EVENTS, measure_cleanup
from bench.platform.clocks import Figures
from bench.platform.history import explain, fill, measure_export, measure_history
from bench.platform.speed import FEW_CLIENTS, measure_ingest, measure_list, measure_status
from bench.results import Table, say, write_result
from bench.site import Site, open_site
from tests.conftest import serve_database

FEW_MESSAGES = 10_000
PARTS = ("speed", "list", "history")
EMBEDDED = "embedded"
ITS_EXPLAIN = (
    "The embedded database does not count what it reads (all that match in the index that it takes, before sort and "
    "limit), and says COLLSCAN where in truth it goes by the first field of an index and looks at what that finds."
)


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
    parser = argparse.ArgumentParser(prog="python -m bench platform", description="What the control plane can take.")
    parser.add_argument("--mongodb-uri", help="a MongoDB; without it the embedded database is started")
    parser.add_argument("--clients", type=int, default=1_000, help="of the long list")
    parser.add_argument("--messages", type=int, default=1_000_000, help="of the client with the long history")
    parser.add_argument("--rounds", type=int, default=10, help="deliveries of 200 events")
    parser.add_argument("--seconds", type=float, default=20, help="of each watch")
    parser.add_argument("--cleanup-seconds", type=float, default=3_600, help="after which a cleanup is cut off")
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


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"
