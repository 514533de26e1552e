"""How much memory the runner and its browser take, and what to do when it is too much."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import psutil

logger = logging.getLogger(__name__)

MEASURE_S = 30.0
RECYCLE_GAP_S = 1800.0
MEGABYTE = 1_048_576


def measure_tree(process: psutil.Process | None = None) -> int:
    """Proportional set size of a process and all below it, in bytes: what would be free without them."""
    root = process or psutil.Process()
    total = 0
    for each in (root, *root.children(recursive=True)):
        with suppress(psutil.Error):
            try:
                info = each.memory_full_info()
                # Elsewhere than on Linux nothing tells how shared pages are shared.
                total += getattr(info, "pss", 0) or info.uss
            except psutil.AccessDenied:
                # A browser's process in its own sandbox tells no more than this.
                sizes = each.memory_info()
                total += sizes.rss - getattr(sizes, "shared", 0)
    return total


class MemoryWatch:
    """Measures at intervals; over its limit the channel begins anew, when nobody waits for an answer.

    Attributes:
        bytes: last measure, None before the first.
    """

    def __init__(
        self,
        *,
        limit_mb: Callable[[], int | None],
        idle: Callable[[], Awaitable[bool]],
        recycle: Callable[[], Awaitable[None]],
        measure: Callable[[], int] = measure_tree,
    ) -> None:
        self.bytes: int | None = None
        self._limit_mb = limit_mb
        self._idle = idle
        self._recycle = recycle
        self._measure = measure
        self._recycled: float | None = None

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            try:
                await self.look(time.monotonic())
            except Exception:
                # Of no matter to any customer: the next look may go better.
                logger.exception("memory not measured")
            await asyncio.sleep(MEASURE_S)

    async def look(self, now: float) -> None:
        """Measure once and act on it.

        Args:
            now: monotonic seconds.
        """
        self.bytes = await asyncio.to_thread(self._measure)
        limit_mb = self._limit_mb()
        if limit_mb is None or self.bytes <= limit_mb * MEGABYTE:
            return
        if self._recycled is not None and now - self._recycled < RECYCLE_GAP_S:
            # Beginning anew did not help: doing it again and again would only keep customers waiting.
            return
        if not await self._idle():
            return
        self._recycled = now
        logger.warning("memory over its limit", extra={"bytes": self.bytes, "limit_mb": limit_mb})
        await self._recycle()
