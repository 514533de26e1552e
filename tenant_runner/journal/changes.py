"""What happens to a message after it was stored: each change is told once."""

from datetime import datetime
from typing import Literal

from tenant_runner.contract import MAX_TEXT_CHARS, MessageChanged
from tenant_runner.journal.database import Database, now, to_datetime
from tenant_runner.journal.messages import NewMessage, Received, received
from tenant_runner.journal.outbox import Outbox

REVOKED = "revoked"
UNDECRYPTED = "undecrypted"
# An outcome that was told is taken back by an empty one.
NO_OUTCOME = ""


class Changes:
    """Edits, deletions, reactions, and what became known later."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def complete(self, message: NewMessage, *, outcome: str | None, pending: bool) -> bool:
        """The real form of a message that could not be decrypted; False when the journal does not wait for it."""
        text = message.text[:MAX_TEXT_CHARS]
        async with self._database.transaction():
            row = await self._database.first(
                "SELECT * FROM messages WHERE message_id = ? AND undecrypted > 0", message.message_id
            )
            if row is None:
                return False
            # It counts from now on: its turn waits for what else the customer writes.
            await self._database.run(
                "UPDATE messages SET kind = ?, text = ?, outcome = ?, pending = ?, quoted_id = ?, undecrypted = 0,"
                " recorded_at = ? WHERE message_id = ?",
                message.kind,
                text,
                outcome,
                int(pending),
                message.quoted_id,
                now(),
                message.message_id,
            )
            taken_back = NO_OUTCOME if row["outcome"] is not None else None
            await self._tell(
                "message.updated", received(row), kind=message.kind, text=text, outcome=outcome or taken_back
            )
        return True

    async def give_up_decryption(self, before: float) -> list[Received]:
        """Messages stored before a time whose real form did not come: they get their outcome."""
        async with self._database.transaction():
            rows = await self._database.rows(
                "SELECT * FROM messages WHERE undecrypted = 1 AND recorded_at <= ? ORDER BY sequence", before
            )
            for row in rows:
                await self._database.run(
                    "UPDATE messages SET undecrypted = 2, outcome = ? WHERE sequence = ?", UNDECRYPTED, row["sequence"]
                )
                await self._tell("message.updated", received(row), outcome=UNDECRYPTED)
        return [received(row) for row in rows]

    async def oldest_undecrypted(self) -> float | None:
        """When the oldest message whose real form is awaited was stored, in seconds since the epoch."""
        row = await self._database.row("SELECT min(recorded_at) AS oldest FROM messages WHERE undecrypted = 1")
        return None if row["oldest"] is None else float(row["oldest"])

    async def edit(self, message: Received, text: str, *, from_me: bool, at: datetime) -> bool:
        """A message has another text now; False when it had it already."""
        text = text[:MAX_TEXT_CHARS]
        async with self._database.transaction():
            changed = await self._database.run(
                "UPDATE messages SET text = ?1 WHERE message_id = ?2 AND text <> ?1 AND coalesce(outcome, '') <> ?3",
                text,
                message.message_id,
                REVOKED,
            )
            if changed:
                await self._tell("message.edited", message, text=text, from_me=from_me, at=at)
        return bool(changed)

    async def revoke(self, message: Received, *, from_me: bool, at: datetime) -> bool:
        """A message was taken back: its text goes, and nobody answers it any more; False when that is known."""
        async with self._database.transaction():
            changed = await self._database.run(
                "UPDATE messages SET text = '', outcome = ?1, pending = 0, undecrypted = 0"
                " WHERE message_id = ?2 AND coalesce(outcome, '') <> ?1",
                REVOKED,
                message.message_id,
            )
            if changed:
                await self._database.run("DELETE FROM media_jobs WHERE message_id = ?", message.message_id)
                await self._database.run("DELETE FROM reactions WHERE message_id = ?", message.message_id)
                await self._tell("message.revoked", message, text="", outcome=REVOKED, from_me=from_me, at=at)
        return bool(changed)

    async def react(self, message: Received, emoji: str, *, from_me: bool, at: datetime) -> bool:
        """Somebody reacted to a message, or took that back with an empty emoji; False when that is known."""
        emoji = emoji[:32]
        author = "owner" if from_me else "contact"
        async with self._database.transaction():
            row = await self._database.first(
                "SELECT emoji FROM reactions WHERE message_id = ? AND author = ?", message.message_id, author
            )
            if (row["emoji"] if row else "") == emoji:
                return False
            await self._database.run(
                "INSERT OR REPLACE INTO reactions (message_id, author, emoji) VALUES (?, ?, ?)",
                message.message_id,
                author,
                emoji,
            )
            await self._tell("message.reaction", message, text=emoji, from_me=from_me, at=at)
        return True

    async def update(self, message_id: str, *, text: str | None = None, outcome: str | None = None) -> None:
        """A message's transcript or outcome is known now; one that was taken back stays so."""
        text = None if text is None else text[:MAX_TEXT_CHARS]
        async with self._database.transaction():
            row = await self._database.first(
                "UPDATE messages SET text = coalesce(?, text), outcome = coalesce(?, outcome)"
                " WHERE message_id = ? AND coalesce(outcome, '') <> ? RETURNING *",
                text,
                outcome,
                message_id,
                REVOKED,
            )
            if row is not None:
                await self._tell("message.updated", received(row), text=text, outcome=outcome)

    async def conclude(self, turn_id: int, outcome: str) -> None:
        """Say why the messages of a turn have no answer, those for which that is not known yet."""
        async with self._database.transaction():
            rows = await self._database.rows(
                "SELECT message_id FROM messages WHERE turn_id = ? AND outcome IS NULL ORDER BY sequence", turn_id
            )
            for row in rows:
                await self.update(row["message_id"], outcome=outcome)

    async def _tell(
        self,
        event: Literal["message.edited", "message.revoked", "message.reaction", "message.updated"],
        message: Received,
        *,
        kind: str | None = None,
        text: str | None = None,
        outcome: str | None = None,
        from_me: bool | None = None,
        at: datetime | None = None,
    ) -> None:
        author = message.author if from_me is None else "owner" if from_me else "contact"
        await self._outbox.add(
            MessageChanged(
                event=event,
                message_id=message.message_id,
                chat_id=message.chat_id,
                author=author,
                kind=kind,
                text=text,
                outcome=outcome,
                at=at or to_datetime(now()),
            )
        )
