"""When automatic messages left or will leave: what pacing counts, across restarts."""

from tenant_runner.journal.database import Database

DAY_S = 86_400.0


class Pace:
    """Times of sends, newest last; times alone, so that counting keeps nothing of anybody."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def nth_newest(self, number: int) -> float | None:
        """When the send with this number from the end was (1: the last one), None when there were fewer."""
        row = await self._database.first("SELECT at FROM sends ORDER BY at DESC LIMIT 1 OFFSET ?", number - 1)
        return None if row is None else float(row["at"])

    async def slot_of(self, message_id: str) -> float | None:
        """The time that a promised message was given."""
        row = await self._database.first("SELECT slot_at FROM outbound WHERE message_id = ?", message_id)
        return None if row is None or row["slot_at"] is None else float(row["slot_at"])

    async def give(self, message_id: str, at: float) -> None:
        """Give a promised message its time to leave."""
        async with self._database.transaction():
            await self._database.run("UPDATE outbound SET slot_at = ? WHERE message_id = ?", at, message_id)
            await self._database.run("DELETE FROM sends WHERE at < ?", at - 2 * DAY_S)
            await self._database.run("INSERT INTO sends (at) VALUES (?)", at)

    async def take_back(self, message_id: str) -> None:
        """A promised message does not leave after all: its time is somebody else's."""
        async with self._database.transaction():
            at = await self.slot_of(message_id)
            if at is not None:
                await self._database.run("DELETE FROM sends WHERE rowid = (SELECT rowid FROM sends WHERE at = ?)", at)
                await self._database.run("UPDATE outbound SET slot_at = NULL WHERE message_id = ?", message_id)
