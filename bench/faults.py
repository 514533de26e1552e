"""Everything that goes wrong at once: seeded, while customers write."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import psutil

from tests.e2e.installation import Installation
from tests.e2e.tenant import Tenant

WEDGED = "No tool output found for function call call_soak."
LOST = "Conversation with id 'conv_soak' not found."
# What the stand-in for OpenAI does to the next requests.
PROVIDER_FAULTS: dict[str, dict[str, Any]] = {
    "429": {
        "status": 429,
        "kind": "requests",
        "code": "rate_limit_exceeded",
        "headers": {"Retry-After": "1"},
        "times": 4,
    },
    "500": {"status": 500, "times": 4},
    "slow": {"delay_s": 6, "times": 3},
    "cut before": {"cut": "before", "times": 2},
    "cut after": {"cut": "after", "times": 2},
    "locked": {"status": 400, "kind": "invalid_request_error", "code": "conversation_locked", "times": 3},
    "thinking": {"think_s": 5, "times": 2},
    "lost": {"status": 404, "kind": "invalid_request_error", "message": LOST, "times": 1},
    "wedged": {"status": 400, "kind": "invalid_request_error", "message": WEDGED, "times": 1},
}
PROGRAMS = ("web", "scheduler", "database")
# Five deaths within ten minutes pull the crash brake, whose pauses are tested elsewhere.
RUNNER_KILLS = 4


class Storm:
    """Faults of every kind, each at least once if there is time, in an order that the seed decides."""

    def __init__(self, installation: Installation, tenants: list[Tenant], rng: random.Random) -> None:
        self.installation = installation
        self.tenants = tenants
        self.done: Counter[str] = Counter()
        self.log: list[str] = []
        self._rng = rng
        self._began = time.monotonic()
        self._kills: Counter[str] = Counter()
        self._control = httpx2.AsyncClient(
            base_url=f"{installation.sandbox}/openai/control",
            timeout=30,
            limits=httpx2.Limits(max_keepalive_connections=0),
        )
        self._kinds: dict[str, Callable[[], Awaitable[str | None]]] = {
            "kill runner": self._kill_runner,
            "kill browser": self._kill_browser,
            "whatsapp outage": self._cut_whatsapp,
            "lost request": lambda: self._lose("request"),
            "lost answer": lambda: self._lose("answer"),
            **{f"openai {name}": self._provider(fault) for name, fault in PROVIDER_FAULTS.items()},
            **{f"restart {program}": self._restart(program) for program in PROGRAMS},
        }

    async def rage(self, until: asyncio.Event, *, every_s: float) -> None:
        """One fault after the other until the event is set, then let the sun shine."""
        queue: list[str] = []
        while not until.is_set():
            if not queue:
                queue = list(self._kinds)
                self._rng.shuffle(queue)
            kind = queue.pop()
            target = await self._kinds[kind]()
            if target is not None:
                self.done[kind] += 1
                self.log.append(f"{time.monotonic() - self._began:6.1f} s  {kind} {target}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(until.wait(), self._rng.uniform(0.5, 1.5) * every_s)
        response = await self._control.delete("/faults")
        response.raise_for_status()
        await self._control.aclose()

    # ------------------------------------------------------------------------------------------ kinds

    async def _kill_runner(self) -> str | None:
        tenant = self._rng.choice(self.tenants)
        runner = await asyncio.to_thread(self.installation.runner, tenant.id)
        if runner is None or self._kills[tenant.id] >= RUNNER_KILLS:
            return None
        self._kills[tenant.id] += 1
        with contextlib.suppress(psutil.NoSuchProcess):
            runner.kill()
        return tenant.id

    async def _kill_browser(self) -> str | None:
        tenant = self._rng.choice(self.tenants)
        browsers = await asyncio.to_thread(self.installation.browsers, tenant.id)
        for browser in browsers:
            with contextlib.suppress(psutil.NoSuchProcess):
                browser.kill()
        return tenant.id if browsers else None

    async def _cut_whatsapp(self) -> str | None:
        seconds = round(self._rng.uniform(1, 8), 1)
        response = await self.tenants[0].phone.post("/outage", json={"seconds": seconds})
        response.raise_for_status()
        return f"{seconds} s"

    async def _lose(self, part: str) -> str | None:
        tenant = self._rng.choice(self.tenants)
        body = {"operation": "send", "lose": part, "count": self._rng.choice((1, 2))}
        response = await tenant.phone.post(f"/{tenant.owner}/frames", json=body)
        response.raise_for_status()
        return f"{tenant.id} x {body['count']}"

    def _provider(self, fault: dict[str, Any]) -> Callable[[], Awaitable[str | None]]:
        async def add() -> str | None:
            tenant = self._rng.choice(self.tenants)
            body = {"path": "/responses$", "method": "POST", "key": tenant.key, **fault}
            response = await self._control.post("/faults", json=body)
            response.raise_for_status()
            return tenant.id

        return add

    def _restart(self, program: str) -> Callable[[], Awaitable[str | None]]:
        async def restart() -> str | None:
            # Half of them hard: a process that has no time to say goodbye.
            if self._rng.random() < 0.5:
                line = await asyncio.to_thread(self.installation.control, "signal", "KILL", program)
                return f"hard ({line.strip()})"
            await asyncio.to_thread(self.installation.control, "restart", program)
            return ""

        return restart
