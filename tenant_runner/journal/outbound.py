"""Messages that the runner sends: their id is on disk before the channel hears of them."""

import sqlite3
from dataclasses import dataclass
from typing import Literal

from tenant_runner.contract import MessageAcknowledged
from tenant_runner.journal.database import Database, now, to_datetime
from tenant_runner.journal.messages import Author, Messages, NewMessage
from tenant_runner.journal.outbox import Outbox

Ack = Literal["pending", "server", "delivered", "read", "failed", "unknown"]
_RANK: dict[str | None, int] = {
    None: 0,
    "pending": 1,
    "unknown": 2,
    "failed": 3,
    "server": 4,
    "delivered": 5,
    "read": 6,
}


@dataclass(frozen=True)
class Outbound:
    """A message on its way.

    Attributes:
        state: `prepared` (the channel has not heard of it), `sending` (it may have left), then `sent`, `failed`,
            `unknown` (its fate stayed unknown) or `dropped` (never handed to the channel).
        part: its place among the messages that answer one turn, from 0.
        slot_at: when it may leave, once pacing said so, in seconds since the epoch.
    """

    message_id: str
    chat_id: str
    author: Author
    text: str
    turn_id: int | None
    request_key: str | None
    state: str
    ack: Ack | None
    part: int = 0
    slot_at: float | None = None


def _outbound(row: sqlite3.Row) -> Outbound:
    return Outbound(**{name: row[name] for name in Outbound.__dataclass_fields__})


class OutboundMessages:
    """What was promised to be sent, and how far each got."""

    def __init__(self, database: Database, outbox: Outbox, messages: Messages) -> None:
        self._database = database
        self._outbox = outbox
        self._messages = messages

    async def prepare(
        self,
        *,
        message_id: str,
        chat_id: str,
        author: Author,
        text: str,
        turn_id: int | None = None,
        part: int = 0,
        request_key: str | None = None,
    ) -> Outbound:
        """Promise to send a text under this id; a repeated turn's part or request gives the first promise back."""
        async with self._database.transaction():
            await self._database.run(
                "INSERT INTO outbound (message_id, chat_id, author, text, turn_id, part, request_key, state,"
                " created_at) VALUES (?, ?, ?, ?, ?, ?, ?, 'prepared', ?) ON CONFLICT DO NOTHING",
                message_id,
                chat_id,
                author,
                text,
                turn_id,
                part,
                request_key,
                now(),
            )
            row = await self._database.row(
                "SELECT * FROM outbound WHERE message_id = ? OR (turn_id = ? AND part = ?) OR request_key = ?",
                message_id,
                turn_id,
                part,
                request_key,
            )
        return _outbound(row)

    async def get(self, message_id: str) -> Outbound | None:
        """The promise of an id."""
        row = await self._database.first("SELECT * FROM outbound WHERE message_id = ?", message_id)
        return None if row is None else _outbound(row)

    async def of_turn(self, turn_id: int) -> list[Outbound]:
        """The promises that answer a turn, in the order in which they leave."""
        rows = await self._database.rows("SELECT * FROM outbound WHERE turn_id = ? ORDER BY part", turn_id)
        return [_outbound(row) for row in rows]

    async def of_request(self, request_key: str) -> Outbound | None:
        """The promise that a request with this key got."""
        row = await self._database.first("SELECT * FROM outbound WHERE request_key = ?", request_key)
        return None if row is None else _outbound(row)

    async def unfinished_requests(self) -> list[Outbound]:
        """Promises beside the turns that are not kept yet, oldest first."""
        rows = await self._database.rows(
            "SELECT * FROM outbound WHERE turn_id IS NULL AND state IN ('prepared', 'sending') ORDER BY created_at"
        )
        return [_outbound(row) for row in rows]

    async def sending(self, outbound: Outbound, in_reply_to: tuple[str, ...]) -> None:
        """From here on it may have left; it becomes a line of the chat. Never lazy: nothing leaves twice."""
        async with self._database.transaction():
            await self._database.run(
                "UPDATE outbound SET state = 'sending' WHERE message_id = ? AND state = 'prepared'", outbound.message_id
            )
            message = NewMessage(
                message_id=outbound.message_id,
                chat_id=outbound.chat_id,
                author=outbound.author,
                kind="chat",
                text=outbound.text,
                # As whole as WhatsApp's own moments: within a second the order of recording counts.
                sent_at=to_datetime(int(now())),
            )
            await self._messages.record(message, in_reply_to=in_reply_to)

    async def drop(self, message_id: str) -> None:
        """A promise that the channel has not heard of is not kept; nobody is told, it was never sent."""
        await self._database.run(
            "UPDATE outbound SET state = 'dropped' WHERE message_id = ? AND state = 'prepared'", message_id
        )

    async def finish(self, message_id: str, state: Literal["failed", "unknown"]) -> None:
        """It will not arrive as far as is known."""
        async with self._database.transaction():
            await self._database.run(
                "UPDATE outbound SET state = ? WHERE message_id = ? AND state IN ('prepared', 'sending')",
                state,
                message_id,
            )
            await self.acknowledge(message_id, state)

    async def acknowledge(self, message_id: str, ack: Ack) -> bool:
        """Note how far a message got and tell of it; a step back or an unknown id changes nothing."""
        async with self._database.transaction(lazy=True):
            row = await self._database.first(
                "SELECT chat_id, ack, state FROM outbound WHERE message_id = ?", message_id
            )
            if row is None or row["state"] == "prepared" or _RANK[ack] <= _RANK[row["ack"]]:
                return False
            arrived = _RANK[ack] >= _RANK["server"]
            await self._database.run(
                "UPDATE outbound SET ack = ?, state = ? WHERE message_id = ?",
                ack,
                "sent" if arrived else "failed" if ack == "failed" else row["state"],
                message_id,
            )
            await self._outbox.add(MessageAcknowledged(message_id=message_id, chat_id=row["chat_id"], ack=ack))
        return True
