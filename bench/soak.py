"""A whole installation under seeded faults while customers write: `python -m bench soak --help`.

Asserted on what the phones saw: every message answered once or visibly handed over, nothing lost, doubled or crossed
between clients, and the machine's levels as before. Exits 1 otherwise and says what is wrong.
"""

import argparse
import asyncio
import os
import platform
import random
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from bench.customers import SENTENCE, Customers, make_marker, post
from bench.faults import Storm
from bench.levels import Levels, compare, settle
from bench.results import say
from bench.verdict import Sent, Stored, Verdict, find_handed_over, find_waiting, judge
from tests.e2e.installation import Installation
from tests.e2e.tenant import Tenant

INSTRUCTIONS = "Sos el asistente de una tienda.\n" + SENTENCE
QUIET_S = 8.0
# Real clients answer twenty customers a minute; here hundreds write within minutes.
PACING = {
    "FLAME_SENDS_PER_MINUTE": "1000",
    "FLAME_SENDS_PER_HOUR": "50000",
    "FLAME_SENDS_PER_DAY": "500000",
    "FLAME_SEND_GAP_S": "0.05",
    "FLAME_API_REQUESTS_PER_MINUTE": "100000",
}


@dataclass(frozen=True)
class Plan:
    """How long and how hard.

    Attributes:
        per_second: messages that all customers together write.
        fault_every_s: time from one fault to the next, on average.
        patience_s: how long after the last message and the last fault everything must be answered.
    """

    seed: int
    clients: int = 4
    customers: int = 300
    messages: int = 2_000
    per_second: float = 4.0
    fault_every_s: float = 4.0
    patience_s: float = 600.0


@dataclass
class Report:
    """What came out."""

    verdict: Verdict = field(default_factory=Verdict)
    problems: list[str] = field(default_factory=list)


class Soak:
    """One run on an installation that runs and has no clients yet."""

    def __init__(self, installation: Installation, temporary: Path, plan: Plan) -> None:
        self.installation = installation
        self.temporary = temporary
        self.plan = plan
        self.tenants: list[Tenant] = []
        self._sent: Sent = []

    async def run(self) -> Report:
        """Create the clients, write, rage, wait, judge."""
        rng = random.Random(self.plan.seed)
        key = (await asyncio.to_thread(self.installation.command, "create-api-key")).split()[-1]
        async with httpx2.AsyncClient(base_url=self.installation.portal, headers={"X-Api-Key": key}, timeout=60) as api:
            for client in range(self.plan.clients):
                instructions = INSTRUCTIONS.format(marker=make_marker(client))
                assistant = {"kind": "openai", "api_key": f"sk-soak{client:03d}{rng.randrange(10**12):012d}"}
                assistant["instructions"] = instructions
                tenant = await Tenant.create(self.installation, api, assistant=assistant, key=assistant["api_key"])
                self.tenants.append(tenant)
            await asyncio.gather(*(tenant.link() for tenant in self.tenants))
        for tenant in self.tenants[::2]:
            # What comes while these are away is pushed to them as if it were new, beside being unread.
            await post(tenant.phone, f"/{tenant.owner}/replay", {"late": True})
        self._sent = [[] for _ in self.tenants]
        try:
            return await self._soak(rng)
        finally:
            for tenant in self.tenants:
                await tenant.close()

    async def _soak(self, rng: random.Random) -> Report:
        customers = Customers(self.tenants, self.plan.customers, random.Random(rng.random()))
        # A browser that has never sent anything is smaller than one that has.
        await customers.write(4 * self.plan.clients, per_second=10)
        await self._answer_all(customers)
        before = await asyncio.to_thread(settle, self.installation, self.temporary)
        say(f"before: {before}")
        storm, over, began = Storm(self.installation, self.tenants, rng), asyncio.Event(), time.monotonic()
        raging = asyncio.create_task(storm.rage(over, every_s=self.plan.fault_every_s))
        try:
            await customers.write(self.plan.messages, per_second=self.plan.per_second)
        finally:
            over.set()
            await raging
        say(f"{len(customers.book.written)} messages in {time.monotonic() - began:.0f} s")
        say(f"faults: {', '.join(f'{kind} {n}' for kind, n in sorted(storm.done.items()))}")
        calm = time.monotonic()
        await self._answer_all(customers)
        say(f"everything answered or handed over {time.monotonic() - calm:.0f} s after the last fault")
        verdict = await self._judge(customers)
        after = await asyncio.to_thread(settle, self.installation, self.temporary)
        say(f"after:  {after}")
        return self._report(verdict, before, after, storm)

    def _report(self, verdict: Verdict, before: Levels, after: Levels, storm: Storm) -> Report:
        levels = compare(before, after, clients=self.plan.clients, messages=verdict.written)
        say(str(verdict))
        report = Report(verdict, [*verdict.problems, *levels])
        if report.problems:
            say("faults, in order:\n  " + "\n  ".join(storm.log))
        return report

    async def _answer_all(self, customers: Customers) -> None:
        """Wait until nobody waits for an answer, or for as long as the plan says."""
        ends = time.monotonic() + self.plan.patience_s
        while time.monotonic() < ends:
            await self._read_phones()
            if not find_waiting(customers.book, self._sent, set()):
                return
            handed = find_handed_over(self.tenants, await self._read_database())
            if not find_waiting(customers.book, self._sent, handed):
                return
            await asyncio.sleep(1)

    async def _judge(self, customers: Customers) -> Verdict:
        """Judge when the record is complete, and late doubles would have come."""
        await asyncio.sleep(QUIET_S)
        began = time.monotonic()
        ends = began + self.plan.patience_s
        while True:
            await self._read_phones()
            stored = await self._read_database()
            handed = await asyncio.to_thread(find_handed_over, self.tenants, stored)
            verdict = judge(customers.book, self._sent, stored, handed)
            if not verdict.unrecorded or time.monotonic() > ends:
                say(f"recorded {time.monotonic() - began:.0f} s later")
                return verdict
            await asyncio.sleep(1)

    async def _read_phones(self) -> None:
        for tenant, sent in zip(self.tenants, self._sent, strict=True):
            after = sent[-1]["n"] if sent else -1
            query = {"kind": "sent", "after": after}
            sent.extend((await tenant.phone.get(f"/{tenant.owner}/events", params=query)).json())

    async def _read_database(self) -> Stored:
        def read() -> Stored:
            return [tenant.stored() for tenant in self.tenants]

        return await asyncio.to_thread(read)


def describe_machine() -> str:
    """Date, machine, versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    versions = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {cores} cores, {memory:.0f} GB, {versions}"


def read_plan(arguments: list[str]) -> tuple[Plan, bool]:
    """The plan, and whether to keep the installation's files."""
    parser = argparse.ArgumentParser(prog="python -m bench soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int)
    parser.add_argument("--customers", type=int)
    parser.add_argument("--messages", type=int)
    parser.add_argument("--per-second", type=float, help="messages that all customers together write")
    parser.add_argument("--short", action="store_true", help="about a minute, as the test suite runs it")
    parser.add_argument("--keep", action="store_true", help="keep the installation's files")
    given = vars(parser.parse_args(arguments))
    is_short, keep = given.pop("short"), given.pop("keep")
    values: dict[str, Any] = SHORT if is_short else {}
    return Plan(**values | {name: value for name, value in given.items() if value is not None}), keep


SHORT: dict[str, Any] = {
    "clients": 2,
    "customers": 24,
    "messages": 70,
    "per_second": 3.0,
    "fault_every_s": 1.2,
    "patience_s": 180.0,
}


def main(arguments: list[str]) -> int:
    """Run; 0 when all is well."""
    plan, keep = read_plan(arguments)
    say(f"soak: {describe_machine()}\n{plan}")
    chromium = os.environ.get("FLAME_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        say("no browser: set FLAME_CHROMIUM (./scripts/setup finds or installs one)")
        return 2
    root = Path(tempfile.mkdtemp(prefix="soak-"))
    temporary = root / "t"
    temporary.mkdir()
    os.environ["TMPDIR"] = str(temporary)
    installation = Installation(root / "flame", chromium, **PACING)
    try:
        installation.start()
        report = asyncio.run(Soak(installation, temporary, plan).run())
    finally:
        installation.stop()
        if keep:
            say(f"kept: {root}")
        else:
            shutil.rmtree(root, ignore_errors=True)
    for problem in report.problems:
        say(f"WRONG: {problem}")
    say("failed" if report.problems else "passed")
    return 1 if report.problems else 0
