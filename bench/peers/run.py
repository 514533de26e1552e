"""The comparison: each system with each number of clients, one system after the other, on a sandbox of its own.

Clients are added one at a time and each is linked before the next; then all idle, then they answer, then some of them
are restarted. Figures go to `bench/results/peers.json`, tables to the terminal.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx2

from bench.peers.footprint import PLATFORM
from bench.peers.measuring import Plan, Run, measure
from bench.peers.node import NodePeer
from bench.peers.ours import Ours
from bench.peers.phones import NoAnswer
from bench.peers.system import System, SystemFailed
from bench.peers.tables import MEASURE, OTHER_BROWSER, OURS
from bench.report import print_tables
from bench.results import describe_machine, find_chromium, read_result, read_version, say, write_result

# The server of that name is not on npm; this is the library that it is made of, used as it does.
WPPCONNECT = "wppconnect, one process"
PACKAGES = {"whatsapp-web.js": "whatsapp-web.js", "wppconnect": "@wppconnect-team/wppconnect"}
NODE_MODULES = Path(__file__).parent.parent / "node_modules"


@contextlib.asynccontextmanager
async def _running(system: System) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await system.close()


async def compare(
    makers: dict[str, Callable[[Path], System]], levels: dict[int, range], plan: Plan, root: Path
) -> list[Run]:
    """Every system with every number of clients in the rounds of that; in each round in the other order."""
    runs: list[Run] = []
    for number in range(max(rounds.stop for rounds in levels.values())):
        for clients in (clients for clients, rounds in levels.items() if number in rounds):
            for name in list(makers)[:: -1 if number % 2 else 1]:
                run = Run(name, clients, number)
                runs.append(run)
                home = root / f"{len(runs):03d}"
                system = makers[name](home)
                began = time.monotonic()
                try:
                    async with _running(system):
                        await measure(system, run, plan)
                except (SystemFailed, NoAnswer, httpx2.HTTPError, AssertionError) as error:
                    say(str(error))
                    run.error = f"{type(error).__name__}: {(str(error).splitlines() or ['-'])[0][:160]}"
                say(_summarize(run, time.monotonic() - began))
                shutil.rmtree(home, ignore_errors=True)
    return runs


def _summarize(run: Run, seconds: float) -> str:
    line = f"{run.system}, {run.clients} client{'s' if run.clients > 1 else ''} ({seconds:.0f} s): "
    if run.error:
        return line + f"FAILED: {run.error}"
    mb = sum(value for name, value in run.memory_mb.items() if name != PLATFORM)
    code, restart = statistics.median(run.start_to_code), statistics.median(run.restart_to_working)
    return line + (
        f"{mb:.0f} MB per client, code after {code:.1f} s, restart to WORKING {restart:.1f} s, answer after "
        f"{1000 * statistics.median(run.latency):.0f} ms, {run.messages_per_second['all']:.1f} messages per second"
    )


def main(arguments: list[str]) -> int:
    """Run; 0 when every system did everything."""
    options = _read_options(arguments)
    chromium = find_chromium()
    if chromium is None:
        say("no browser: set FLAME_CHROMIUM (./scripts/setup finds or installs one)")
        return 2
    if not (NODE_MODULES / MEASURE).exists():
        say("the peers are not installed: run ./scripts/bench, which installs them")
        return 2
    plan = Plan(options.idle, options.messages, options.burst, options.restarts)
    sandbox = {"page_script_mb": options.page_script_mb, "page_heap_mb": options.page_heap_mb, "sync_delay_ms": 1500}
    makers = _make_makers(chromium, options.other_chromium, sandbox)
    unknown = set(options.systems) - makers.keys()
    if unknown:
        say(f"no such system: {', '.join(sorted(unknown))}; there are {', '.join(makers)}")
        return 2
    makers = {name: make for name, make in makers.items() if not options.systems or name in options.systems}
    versions = _read_versions(options.other_chromium)
    kept = read_result(options.name) if options.again else None
    if kept and not is_alike(kept, versions, asdict(plan) | sandbox):
        say(f"{options.name}.json has other versions or options: leave out --again, or give another --name")
        return 2
    done = count_rounds(kept["figures"]["runs"] if kept else [])
    rounds = {clients: min(options.rounds, -(-options.starts // clients)) for clients in options.clients}
    levels = {clients: range(done[clients], done[clients] + number) for clients, number in rounds.items()}
    say(f"peers: {', '.join(makers)}; rounds by number of clients {rounds}; {plan}; {sandbox}")
    root = Path(tempfile.mkdtemp(prefix="peers-"))
    (root / "t").mkdir()
    os.environ["TMPDIR"] = str(root / "t")
    try:
        runs = asyncio.run(compare(makers, levels, plan, root))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    figures = [*(kept["figures"]["runs"] if kept else ()), *map(asdict, runs)]
    counted = sorted(count_rounds(figures).items())
    path = write_result(
        options.name,
        options={"clients": [n for n, _ in counted], "rounds": [n for _, n in counted], **asdict(plan), **sandbox},
        figures={"runs": figures},
        versions=versions,
        earlier=kept,
    )
    say(f"written: {path}")
    print_tables(options.name)
    return 1 if any(run.error for run in runs) else 0


def _make_makers(
    chromium: str, other_chromium: str | None, sandbox: dict[str, Any]
) -> dict[str, Callable[[Path], System]]:
    settings = {f"FLAME_SANDBOX_{name.upper()}": str(value) for name, value in sandbox.items()}

    def make_ours(name: str, browser: str) -> Callable[[Path], System]:
        return lambda home: Ours(name, home / "flame", browser, settings)

    def make_peer(name: str, program: str, browser: str, *, shared: bool, profile: str) -> Callable[[Path], System]:
        return lambda home: NodePeer(name, program, home, browser, sandbox, shared=shared, profile=profile)

    makers = {}
    for name, browser in {"": chromium, OTHER_BROWSER: other_chromium}.items():
        if browser is not None:
            makers[OURS + name] = make_ours(OURS + name, browser)
            makers[MEASURE + name] = make_peer(
                MEASURE + name, "whatsapp_web_js.mjs", browser, shared=False, profile="session-{client}"
            )
    makers[WPPCONNECT] = make_peer(WPPCONNECT, "wppconnect.mjs", chromium, shared=True, profile="{client}")
    return makers


def count_rounds(runs: list[dict[str, Any]]) -> Counter[int]:
    """Rounds by number of clients."""
    return Counter(clients for clients, _ in {(run["clients"], run["round"]) for run in runs})


def is_alike(result: dict[str, Any], versions: dict[str, str], options: dict[str, Any]) -> bool:
    """Whether a result's figures may stand beside those of a run with these."""
    machine = describe_machine()
    return (
        result["versions"] == versions
        and all(result["options"][name] == value for name, value in options.items())
        and all(result["machine"][name] == machine[name] for name in ("cores", "memory_gb", "kernel", "chromium"))
    )


def _read_versions(other_chromium: str | None) -> dict[str, str]:
    """Of what is compared with, and of what it runs on beside the browser that the machine's description names."""
    versions = {"Node": read_version("node")} | {name: _read_package(package) for name, package in PACKAGES.items()}
    if other_chromium:
        versions["other browser"] = f"{Path(other_chromium).name} {read_version(other_chromium)}"
    return versions


def _read_package(package: str) -> str:
    return str(json.loads((NODE_MODULES / package / "package.json").read_text())["version"])


def _read_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench peers", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--clients", type=_read_numbers, default=[1, 5, 20], help="numbers of clients, as 1,5,20")
    parser.add_argument("--rounds", type=int, default=3, help="how often at most, each time in the other order")
    parser.add_argument("--starts", type=int, default=15, help="a level is measured again until so many started")
    parser.add_argument(
        "--systems", type=lambda text: text.split("+"), default=[], help="only these, as ours+whatsapp-web.js"
    )
    parser.add_argument(
        "--other-chromium", metavar="PATH", help="measure ours and whatsapp-web.js with this browser too"
    )
    parser.add_argument("--page-script-mb", type=float, default=10, help="script that the page carries beside itself")
    parser.add_argument("--page-heap-mb", type=float, default=30, help="live objects that it carries")
    parser.add_argument("--idle", type=float, default=30, metavar="S", help="seconds in which idle clients are watched")
    parser.add_argument("--messages", type=int, default=400, help="messages, one at a time, that latency is taken of")
    parser.add_argument("--burst", type=int, default=20, help="messages at once, for each client")
    parser.add_argument("--restarts", type=int, default=5, help="clients that are restarted")
    parser.add_argument("--again", action="store_true", help="add rounds of the same code to the result's file")
    parser.add_argument("--name", default="peers", help="of the result's file")
    return parser.parse_args(arguments)


def _read_numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]
