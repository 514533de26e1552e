"""What the control plane must still be told, numbered in the order in which it happened."""

import asyncio
import secrets

from pydantic import TypeAdapter

from tenant_runner.contract import Event, EventPayload
from tenant_runner.journal.database import Database, now, to_datetime

_OFFERED = "offered_through"
_PAYLOAD: TypeAdapter[EventPayload] = TypeAdapter(EventPayload)


class Outbox:
    """Events stay until the control plane said that it stored them.

    Attributes:
        news: set whenever an event was added; whoever delivers clears it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.news = asyncio.Event()

    async def add(self, payload: EventPayload) -> int:
        """Append one event; call it inside the transaction of the change that it tells of. Returns its number."""
        sequence = await self._database.insert(
            "INSERT INTO outbox (id, timestamp, payload) VALUES (?, ?, ?)",
            f"evt_{secrets.token_hex(16)}",
            now(),
            payload.model_dump_json(),
        )
        self.news.set()
        assert sequence is not None  # noqa: S101 (a plain insert either raises or inserts)
        return sequence

    async def next(self, limit: int) -> tuple[Event, ...]:
        """The oldest events, in order; none of a change that may still be taken back.

        Whoever was told of a number takes another event of that number for a repetition: so they are durable by now.
        """
        async with self._database.transaction():
            rows = await self._database.rows("SELECT * FROM outbox ORDER BY sequence LIMIT ?", limit)
            if rows and str(rows[-1]["sequence"]) != await self._database.fact(_OFFERED):
                await self._database.remember(_OFFERED, str(rows[-1]["sequence"]))
        return tuple(
            Event(
                id=row["id"],
                sequence=row["sequence"],
                timestamp=to_datetime(row["timestamp"]),
                payload=_PAYLOAD.validate_json(row["payload"]),
            )
            for row in rows
        )

    async def accepted(self, through: int) -> int:
        """Forget the events that the control plane stored; returns how many those were."""
        async with self._database.transaction(lazy=True):
            return await self._database.run("DELETE FROM outbox WHERE sequence <= ?", through)

    async def count(self) -> int:
        """How many events wait."""
        return int((await self._database.row("SELECT count(*) AS n FROM outbox"))["n"])
