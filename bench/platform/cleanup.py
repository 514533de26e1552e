"""A long cleanup, and what others feel of it."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bench.platform.clocks import Figures, clock, get, spread
from bench.platform.runner_side import RunnerSide
from bench.results import say
from bench.site import Site, make_messages, take
from control_plane.clients.models import Client
from control_plane.conversations.repository import Conversations
from control_plane.database import Document

WATCHED_EVENTS = 20
WATCH_EVERY_S = 0.5


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
                self.portal.append(await get(self.site.admin, "/admin"))
                await asyncio.sleep(WATCH_EVERY_S)

        async def deliver() -> None:
            while not until.is_set():
                events = self.runner.number(take(self.documents, WATCHED_EVENTS))
                self.ingest.append(await clock(self.runner.deliver(events)))
                await asyncio.sleep(WATCH_EVERY_S)

        await asyncio.gather(visit(), deliver())

    def read(self) -> Figures:
        """The figures since the last reading."""
        figures = {"portal": spread(self.portal), "ingest": spread(self.ingest)}
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
