"""From when on the linked number's messages are this runner's business, and up to when it has seen them all."""

from datetime import datetime, timedelta

from tenant_runner.journal.database import Database, now, to_datetime

# Messages may come later than others that were sent after them.
OVERLAP = timedelta(minutes=10)

_PHONE = "watched_phone"
_SINCE = "watched_since"
_THROUGH = "watched_through"


class Watched:
    """Kept apart from what was recorded: an event may tell of a message before older ones are read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def catch_up_from(self, phone: str) -> datetime:
        """From when on messages may be missing; never from before this number was first connected.

        What a person wrote and read before they had an assistant is none of its business.
        """
        async with self._database.transaction():
            if await self._database.fact(_PHONE) != phone:
                await self._database.remember(_PHONE, phone)
                await self._database.remember(_SINCE, str(now()))
                await self._database.remember(_THROUGH, None)
            since = to_datetime(float(await self._database.fact(_SINCE) or now()))
            through = await self._database.fact(_THROUGH)
        return since if through is None else max(since, to_datetime(float(through)) - OVERLAP)

    async def caught_up(self, phone: str, through: datetime) -> None:
        """Every message that was sent until then is known; nothing is taken back."""
        async with self._database.transaction():
            if await self._database.fact(_PHONE) != phone:
                return
            known = float(await self._database.fact(_THROUGH) or 0)
            await self._database.remember(_THROUGH, str(max(known, through.timestamp())))
