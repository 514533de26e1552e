"""Turns: what a customer wrote until they paused, and how far its answer got."""

import sqlite3
from dataclasses import dataclass

from tenant_runner.journal.database import Database, now


@dataclass(frozen=True)
class Turn:
    """A turn that is not closed.

    Attributes:
        failing_since: when its first failed attempt was, seconds since the epoch.
        reply: the answer, once there is one; `replied_at` is when it was made.
        notice: which of the client's own texts the answer is (`fallback`, `unsupported`, `too_old`, `opt_out`), None
            for an answer of the assistant.
    """

    turn_id: int
    chat_id: str
    opened_at: float
    attempts: int
    failing_since: float | None
    reply: str | None
    replied_at: float | None
    notice: str | None


def _turn(row: sqlite3.Row) -> Turn:
    return Turn(**{name: row[name] for name in Turn.__dataclass_fields__})


class Turns:
    """At most one open turn for each chat (a unique index sees to it)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_of(self, chat_id: str) -> Turn | None:
        """The chat's open turn."""
        row = await self._database.first("SELECT * FROM turns WHERE chat_id = ? AND closed_at IS NULL", chat_id)
        return None if row is None else _turn(row)

    async def begin(self, chat_id: str) -> Turn | None:
        """Make all waiting messages of a chat one turn; None when none waits."""
        async with self._database.transaction():
            if not await self._database.first("SELECT 1 FROM messages WHERE chat_id = ? AND pending = 1", chat_id):
                return None
            turn_id = await self._database.insert(
                "INSERT INTO turns (chat_id, opened_at) VALUES (?, ?)", chat_id, now()
            )
            await self._adopt(turn_id, chat_id)
            return await self.open_of(chat_id)

    async def adopt_pending(self, turn: Turn) -> None:
        """Let messages that came meanwhile join a turn that has no answer yet."""
        async with self._database.transaction(lazy=True):
            await self._adopt(turn.turn_id, turn.chat_id)

    async def _adopt(self, turn_id: int | None, chat_id: str) -> None:
        await self._database.run(
            "UPDATE messages SET pending = 0, turn_id = ? WHERE chat_id = ? AND pending = 1", turn_id, chat_id
        )

    async def failed(self, turn: Turn) -> Turn:
        """Count a failed attempt."""
        async with self._database.transaction():
            await self._database.run(
                "UPDATE turns SET attempts = attempts + 1, failing_since = coalesce(failing_since, ?)"
                " WHERE turn_id = ?",
                now(),
                turn.turn_id,
            )
            row = await self._database.row("SELECT * FROM turns WHERE turn_id = ?", turn.turn_id)
        return _turn(row)

    async def replied(self, turn: Turn, reply: str, *, notice: str | None = None) -> Turn:
        """Keep the answer before anything is done with it."""
        async with self._database.transaction(lazy=True):
            await self._database.run(
                "UPDATE turns SET reply = ?, replied_at = ?, notice = ? WHERE turn_id = ?",
                reply,
                now(),
                notice,
                turn.turn_id,
            )
            await self._drop_media(turn)
            row = await self._database.row("SELECT * FROM turns WHERE turn_id = ?", turn.turn_id)
        return _turn(row)

    async def _drop_media(self, turn: Turn) -> None:
        await self._database.run(
            "DELETE FROM media_jobs WHERE message_id IN (SELECT message_id FROM messages WHERE turn_id = ?)",
            turn.turn_id,
        )

    async def close(self, turn: Turn, outcome: str) -> None:
        """The turn is done with."""
        async with self._database.transaction():
            await self._database.run(
                "UPDATE turns SET closed_at = ?, outcome = ? WHERE turn_id = ? AND closed_at IS NULL",
                now(),
                outcome,
                turn.turn_id,
            )
            await self._drop_media(turn)

    async def message_ids(self, turn_id: int) -> tuple[str, ...]:
        """Ids of the customer's messages of a turn, oldest first, without those that were taken back."""
        rows = await self._database.rows(
            "SELECT message_id FROM messages WHERE turn_id = ? AND coalesce(outcome, '') <> 'revoked'"
            " ORDER BY sequence",
            turn_id,
        )
        return tuple(str(row["message_id"]) for row in rows)

    async def unfinished_chats(self) -> list[str]:
        """Chats in which somebody waits: an open turn or messages without one."""
        rows = await self._database.rows(
            "SELECT chat_id FROM turns WHERE closed_at IS NULL UNION SELECT chat_id FROM messages WHERE pending = 1"
        )
        return [str(row["chat_id"]) for row in rows]

    async def count_open(self) -> int:
        """How many turns are open."""
        return int((await self._database.row("SELECT count(*) AS n FROM turns WHERE closed_at IS NULL"))["n"])

    async def since_reply(self, turn: Turn) -> float | None:
        """Seconds from the assistant's last message in the chat to the turn's first one; None when there is none."""
        row = await self._database.row(
            "SELECT min(recorded_at) - (SELECT max(recorded_at) FROM messages WHERE chat_id = ?2"
            " AND author = 'assistant' AND sequence < (SELECT min(sequence) FROM messages WHERE turn_id = ?1)) AS since"
            " FROM messages WHERE turn_id = ?1",
            turn.turn_id,
            turn.chat_id,
        )
        return None if row["since"] is None else float(row["since"])

    async def texts_of(self, turn: Turn, *, before: bool = False) -> list[str]:
        """What the customer wrote in a turn, or in the one before it in the same chat."""
        rows = await self._database.rows(
            "SELECT text FROM messages WHERE turn_id = CASE WHEN ?3 THEN"
            " (SELECT max(turn_id) FROM turns WHERE chat_id = ?2 AND turn_id < ?1) ELSE ?1 END ORDER BY sequence",
            turn.turn_id,
            turn.chat_id,
            before,
        )
        return [str(row["text"]) for row in rows]
