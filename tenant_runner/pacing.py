"""How fast the assistant may write: accounts that write like machines get restricted."""

import asyncio
import random
from collections.abc import Callable

from tenant_runner.contract import RunnerConfig
from tenant_runner.journal import Journal
from tenant_runner.journal.database import now
from tenant_runner.journal.pace import DAY_S

MINUTE_S, HOUR_S = 60.0, 3600.0


class Pacing:
    """Gives each automatic message its time to leave; a person's own messages are never asked about here."""

    def __init__(self, journal: Journal, config: Callable[[], RunnerConfig]) -> None:
        self._journal = journal
        self._config = config
        self._lock = asyncio.Lock()

    async def is_exhausted(self) -> bool:
        """Whether the day's limit is reached."""
        nth = await self._journal.pace.nth_newest(self._config().pacing.per_day)
        return nth is not None and nth + DAY_S > now()

    async def slot(self, message_id: str) -> float | None:
        """When a promised message may leave, in seconds since the epoch; None when the day's limit is reached.

        A time that was given before a restart and is not over yet stands.
        """
        pace = self._journal.pace
        async with self._lock, self._journal.transaction(lazy=True):
            given = await pace.slot_of(message_id)
            if given is not None and given >= now():
                return given
            if given is not None:
                await pace.take_back(message_id)
            if await self.is_exhausted():
                return None
            limits = self._config().pacing
            at = now()
            for number, window_s in ((1, limits.gap_s), (limits.per_minute, MINUTE_S), (limits.per_hour, HOUR_S)):
                nth = await pace.nth_newest(number)
                if nth is not None and nth + window_s > at:
                    at = nth + window_s + random.uniform(0, limits.gap_s / 2)  # noqa: S311 (jitter)
            await pace.give(message_id, at)
        return at

    async def give_back(self, message_id: str) -> None:
        """A message that had a time does not leave."""
        await self._journal.pace.take_back(message_id)
