"""Ours: a whole installation, its clients with the automatic assistant."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import psutil

from bench.levels import find_tree
from bench.peers.system import DEADLINE_S, SystemFailed
from tests.e2e.installation import Installation
from tests.e2e.tenant import Tenant

# What the portal shows is pushed to its pages; the others are told by events.
POLL_S = 0.05
# Nothing is to be waited for, and nothing held up.
SETTINGS = {
    "FLAME_DEBOUNCE_S": "0",
    "FLAME_TYPING_S": "0",
    "FLAME_SEND_GAP_S": "0",
    "FLAME_SENDS_PER_MINUTE": "100000",
    "FLAME_SENDS_PER_HOUR": "1000000",
    "FLAME_SENDS_PER_DAY": "10000000",
    "FLAME_LOOP_LIMIT": "0",
    "FLAME_API_REQUESTS_PER_MINUTE": "1000000",
}


class Ours:
    """See `System`."""

    def __init__(self, name: str, home: Path, chromium: str, sandbox: dict[str, str]) -> None:
        self.name = name
        self.installation = Installation(home, chromium, **SETTINGS, **sandbox)
        self._tenants: dict[str, Tenant] = {}
        self._ordered_at: dict[str, float] = {}
        self._api: httpx2.AsyncClient | None = None

    @property
    def sandbox(self) -> str:
        return self.installation.sandbox

    async def open(self) -> None:
        await asyncio.to_thread(self.installation.start)
        await asyncio.to_thread(self.installation.database().command, "ping")
        key = (await asyncio.to_thread(self.installation.command, "create-api-key")).split()[-1]
        self._api = httpx2.AsyncClient(base_url=self.installation.portal, headers={"X-Api-Key": key}, timeout=60)

    async def close(self) -> None:
        for tenant in self._tenants.values():
            await tenant.close()
        if self._api is not None:
            await self._api.aclose()
        # A group stops after the other, a second each, unless they have stopped before.
        await asyncio.to_thread(self.installation.stop)

    async def start(self, client: str) -> None:
        assert self._api is not None
        self._ordered_at[client] = time.time()
        self._tenants[client] = await Tenant.create(self.installation, self._api, kind="automatic", name=client)

    async def wait_for_code(self, client: str) -> str:
        await _wait(lambda: self._read_state(client) == "SCAN_QR_CODE", f"a code of {client}")
        # The others' is a text too, and not read off a picture.
        codes = self.installation.database()["client_qr_codes"]
        code = await asyncio.to_thread(codes.find_one, {"_id": self._tenants[client].id})
        if code is None:
            raise SystemFailed(f"the code of {client} went away")
        return str(code["text"])

    async def wait_until_working(self, client: str) -> None:
        await _wait(lambda: self._read_state(client) == "WORKING", f"state WORKING of {client}")

    async def restart(self, client: str) -> None:
        assert self._api is not None
        self._ordered_at[client] = time.time()
        response = await self._api.post(f"/api/admin/clients/{self._tenants[client].id}/restart")
        response.raise_for_status()

    def began_at(self, client: str) -> float:
        client_id = self._tenants[client].id
        runner = self.installation.runner(client_id)
        walls = self.installation.walls(client_id)
        began = min(process.create_time() for process in (*walls, *([runner] if runner else [])))
        # It is reckoned from the machine's start, which the kernel tells in whole seconds and by the clock of then.
        return began - psutil.boot_time() + time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)

    def processes(self) -> list[psutil.Process]:
        found = {process.pid: process for process in (*find_tree(self.installation), *self.installation.processes())}
        found.pop(os.getpid(), None)
        return list(found.values())

    def directory(self, client: str) -> Path:
        return self.installation.home / "var" / "clients" / self._tenants[client].id

    def _read_state(self, client: str) -> str | None:
        """What the portal and the landing page show, if a process that began after the last order told it."""
        session = self._tenants[client].session()
        began = session.get("instance_started_at")
        if began is None or began.timestamp() < self._ordered_at[client]:
            return None
        return str(session["state"])


async def _wait(is_so: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + DEADLINE_S
    while not await asyncio.to_thread(is_so):
        if time.monotonic() > ends:
            raise SystemFailed(f"not within {DEADLINE_S:.0f} s: {what}")
        await asyncio.sleep(POLL_S)
