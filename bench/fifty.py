"""Many clients on one machine: a cold start, a reboot, and the portal meanwhile: `python -m bench fifty --help`."""

import argparse
import asyncio
import contextlib
import math
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psutil

from bench.levels import MEGABYTE, Levels, find_tree, measure
from bench.results import say
from bench.soak import describe_machine
from tests.e2e.installation import Installation
from tests.e2e.tenant import Tenant

PAGES = ("/admin/login", "/health", "/api/admin/clients")
DEADLINE_S = 1_800.0


@dataclass
class Portal:
    """Visits the portal again and again, as an admin and a client would.

    Attributes:
        times: how long each answer took, in seconds.
        failures: answers that were none, or said that something is wrong.
    """

    installation: Installation
    key: str
    tenants: list[Tenant]
    times: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    async def visit(self, until: asyncio.Event) -> None:
        """Visit twice a second."""
        number = 0
        async with httpx2.AsyncClient(
            base_url=self.installation.portal, headers={"X-Api-Key": self.key}, timeout=30
        ) as visitor:
            while not until.is_set():
                pages = [*PAGES, *(f"/client/{tenant.slug}" for tenant in self.tenants[:1])]
                path, began = pages[number % len(pages)], time.monotonic()
                number += 1
                try:
                    status = (await visitor.get(path)).status_code
                except httpx2.HTTPError as error:
                    status = 0
                    self.failures.append(f"{path}: {type(error).__name__}")
                if status >= 500:
                    self.failures.append(f"{path}: {status}")
                self.times.append(time.monotonic() - began)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(until.wait(), 0.5)

    def __str__(self) -> str:
        """One line of figures."""
        ordered = sorted(self.times)
        if not ordered:
            return "nobody visited the portal"
        p95 = ordered[max(0, math.ceil(len(ordered) * 0.95) - 1)]
        middle = ordered[len(ordered) // 2]
        return (
            f"portal: {len(ordered)} answers, median {middle * 1000:.0f} ms, 95 % within {p95 * 1000:.0f} ms, "
            f"slowest {ordered[-1] * 1000:.0f} ms, {len(self.failures)} failures"
        )


@dataclass
class Watch:
    """How much memory the machine lost and how many processes ran at most.

    Attributes:
        peak_mb: most memory in use, of the whole machine, above what was in use when the watch began.
        processes: most processes of the installation.
        starting: most sessions that were in their first phases at once.
    """

    installation: Installation
    peak_mb: float = 0
    processes: int = 0
    starting: int = 0
    working: list[tuple[float, int]] = field(default_factory=list)
    used_before: int = field(default_factory=lambda: psutil.virtual_memory().used)

    async def look(self, until: asyncio.Event) -> None:
        """Look every two seconds."""
        began = time.monotonic()
        while not until.is_set():
            used = (psutil.virtual_memory().used - self.used_before) / MEGABYTE
            self.peak_mb = max(self.peak_mb, used)
            self.processes = max(self.processes, await asyncio.to_thread(lambda: len(find_tree(self.installation))))
            with contextlib.suppress(Exception):
                sessions = await asyncio.to_thread(read_states, self.installation)
                self.starting = max(self.starting, sessions.count("STARTING"))
                self.working.append((time.monotonic() - began, sessions.count("WORKING")))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(until.wait(), 2)


def read_states(installation: Installation) -> list[str]:
    """The state of each runner's session that was heard of since its process started."""
    database = installation.database()
    runners = {each["_id"]: each for each in database["runners"].find()}
    found = []
    for session in database["client_sessions"].find():
        runner = runners.get(session["_id"], {})
        is_up = runner.get("state") in ("running", "starting")
        found.append(str(session.get("state")) if is_up else "WAITING")
    return found


class Fifty:
    """One run."""

    def __init__(self, installation: Installation, temporary: Path, count: int) -> None:
        self.installation = installation
        self.temporary = temporary
        self.count = count
        self.tenants: list[Tenant] = []

    async def run(self) -> list[str]:
        """Cold start, reboot; returns what is wrong."""
        problems: list[str] = []
        key = (await asyncio.to_thread(self.installation.command, "create-api-key")).split()[-1]
        async with self._measured("cold start: create and link all", key, problems):
            await self._create(key)
        await self._show_levels()
        await self._talk("after the cold start", problems)
        began = time.monotonic()
        await asyncio.to_thread(self.installation.stop)
        say(f"stopped in {time.monotonic() - began:.0f} s, {len(self.installation.processes())} processes left")
        if left := self.installation.processes():
            problems.append(f"{len(left)} processes outlived the stop")
        began = time.monotonic()
        await asyncio.to_thread(self.installation.start)
        say(f"portal ready {time.monotonic() - began:.0f} s after the start")
        async with self._measured("reboot: start all", key, problems):
            await self._until_all_work()
        await self._show_levels()
        await self._talk("after the reboot", problems)
        for tenant in self.tenants:
            if await tenant.linked() != 1:
                problems.append(f"{tenant.id} was linked anew")
            await tenant.close()
        return problems

    @contextlib.asynccontextmanager
    async def _measured(self, what: str, key: str, problems: list[str]) -> AsyncIterator[None]:
        over, began = asyncio.Event(), time.monotonic()
        watch, portal = Watch(self.installation), Portal(self.installation, key, self.tenants)
        tasks = [asyncio.create_task(watch.look(over)), asyncio.create_task(portal.visit(over))]
        try:
            yield
        finally:
            over.set()
            await asyncio.gather(*tasks)
        say(
            f"{what}: all {self.count} WORKING after {time.monotonic() - began:.0f} s; at most {watch.processes} "
            f"processes, {watch.peak_mb:.0f} MB more than before, {watch.starting} sessions on their way at once"
            f"\n  {portal}"
        )
        marks = [next((f"{at:.0f} s" for at, n in watch.working if n >= self.count * part), "-") for part in QUARTERS]
        say(f"  a quarter, half, three quarters, all WORKING after: {', '.join(marks)}")
        problems += portal.failures[:5]

    async def _create(self, key: str) -> None:
        headers = {"X-Api-Key": key}
        async with httpx2.AsyncClient(base_url=self.installation.portal, headers=headers, timeout=60) as api:
            for number in range(self.count):
                tenant = await Tenant.create(self.installation, api, kind="automatic", name=f"Cliente {number:02d}")
                self.tenants.append(tenant)
        scanned: set[str] = set()

        async def scan(tenant: Tenant) -> None:
            code = await tenant.read_code()
            if code is None or tenant.id in scanned:
                return
            body = {"qr": code, "phone": tenant.owner, "name": "Dueña"}
            # A code that ran out a moment ago is read again.
            if (await tenant.phone.post("/pair", json=body)).status_code == 200:
                scanned.add(tenant.id)

        ends = time.monotonic() + DEADLINE_S
        while len(scanned) < self.count and time.monotonic() < ends:
            shown = {d["_id"] for d in self.installation.database()["client_qr_codes"].find({}, {"_id": 1})}
            for tenant in self.tenants:
                if tenant.id in shown and tenant.id not in scanned:
                    await scan(tenant)
            await asyncio.sleep(0.5)
        await self._until_all_work()

    async def _until_all_work(self) -> None:
        ends = time.monotonic() + DEADLINE_S
        while True:
            states = await asyncio.to_thread(self._fresh_states)
            if states.count("WORKING") == self.count:
                return
            if time.monotonic() > ends:
                raise AssertionError(f"not within {DEADLINE_S:.0f} s: {states}")
            await asyncio.sleep(1)

    def _fresh_states(self) -> list[str]:
        """States that were told by a process that runs now."""
        sessions = {d["_id"]: d for d in self.installation.database()["client_sessions"].find()}
        began = psutil.Process(self.installation.process.pid).create_time() if self.installation.process else 0
        found = []
        for tenant in self.tenants:
            session = sessions.get(tenant.id, {})
            started = session.get("instance_started_at")
            is_fresh = started is not None and started.timestamp() > began
            found.append(str(session.get("state")) if is_fresh else "WAITING")
        return found

    async def _show_levels(self) -> None:
        levels: Levels = await asyncio.to_thread(measure, self.installation, self.temporary)
        each = {kind: levels.by_kind.get(kind, (0, 0, 0.0))[2] for kind in ("browser", "runner")}
        say(f"  settled: {levels}\n  per client: {sum(each.values()) / self.count:.0f} MB {each}")

    async def _talk(self, when: str, problems: list[str]) -> None:
        """Every client answers a customer."""
        began = time.monotonic()
        customers = [f"54911{number:08d}" for number in range(self.count)]
        counts = [len(await t.sent(c)) for t, c in zip(self.tenants, customers, strict=True)]
        for tenant, customer in zip(self.tenants, customers, strict=True):
            await tenant.receive(customer, "hola")
        for tenant, customer, count in zip(self.tenants, customers, counts, strict=True):
            await tenant.answers(customer, count + 1, deadline_s=180)
        doubled = [
            t.id for t, c, n in zip(self.tenants, customers, counts, strict=True) if len(await t.sent(c)) > n + 1
        ]
        problems += [f"{client_id} answered twice" for client_id in doubled]
        say(f"  {self.count} customers of {self.count} clients answered {when} within {time.monotonic() - began:.0f} s")


QUARTERS = (0.25, 0.5, 0.75, 1.0)


def main(arguments: list[str]) -> int:
    """Run; 0 when all is well."""
    parser = argparse.ArgumentParser(prog="python -m bench fifty", description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    count = parser.parse_args(arguments).clients
    say(f"fifty: {describe_machine()}; {count} clients with the automatic assistant")
    chromium = os.environ.get("FLAME_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        say("no browser: set FLAME_CHROMIUM (./scripts/setup finds or installs one)")
        return 2
    root = Path(tempfile.mkdtemp(prefix="fifty-"))
    temporary = root / "t"
    temporary.mkdir()
    os.environ["TMPDIR"] = str(temporary)
    # Whoever links fifty phones by hand is slower than a code's first minute.
    # All landing pages are asked from one address, several times a second each.
    asked = {"FLAME_SANDBOX_REF_SECONDS": "60", "FLAME_API_REQUESTS_PER_MINUTE": "100000"}
    installation = Installation(root / "flame", chromium, **asked)
    try:
        installation.start()
        problems = asyncio.run(Fifty(installation, temporary, count).run())
    finally:
        installation.stop()
        shutil.rmtree(root, ignore_errors=True)
    for problem in problems:
        say(f"WRONG: {problem}")
    say("failed" if problems else "passed")
    return 1 if problems else 0
