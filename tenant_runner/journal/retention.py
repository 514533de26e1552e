"""Deleting from the journal: what is past its time, a chat that is erased, everything."""

import hashlib
import math
import secrets

from tenant_runner.journal.database import Database, marks, now

_FINISHED = "('sent', 'failed', 'unknown', 'dropped')"
# What a chat has beside its messages, and which of its moments counts.
_MOMENTS = {"outbound": "created_at", "turns": "opened_at", "chats": "changed_at", "media_jobs": "created_at"}


class Retention:
    """By time, only what the control plane has been told of goes, and nothing that a customer still waits for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def delete_messages(self, before: float) -> int:
        """Delete told messages stored before a time, with their closed turns; returns how many messages."""
        async with self._database.transaction():
            count = await self._database.run_on_many(
                "DELETE FROM messages WHERE recorded_at < ? AND pending = 0 AND undecrypted <> 1"
                " AND (event_sequence IS NULL OR event_sequence NOT IN (SELECT sequence FROM outbox))"
                " AND (turn_id IS NULL OR turn_id IN (SELECT turn_id FROM turns WHERE closed_at IS NOT NULL))",
                before,
            )
            await self._database.run_on_many(
                f"DELETE FROM outbound WHERE created_at < ? AND state IN {_FINISHED}"  # noqa: S608 (a constant)
                " AND (turn_id IS NULL OR turn_id IN (SELECT turn_id FROM turns WHERE closed_at IS NOT NULL))"
                " AND message_id NOT IN (SELECT message_id FROM messages)",
                before,
            )
            await self._database.run_on_many(
                "DELETE FROM turns WHERE closed_at < ? AND turn_id NOT IN"
                " (SELECT turn_id FROM messages WHERE turn_id IS NOT NULL)",
                before,
            )
            for table in ("reactions", "media_jobs"):
                await self._database.run_on_many(
                    f"DELETE FROM {table} WHERE message_id NOT IN (SELECT message_id FROM messages)"  # noqa: S608 (constants)
                )
            # An opt-out and a suspension hold for as long as nobody lifts them: they outlive what was written.
            await self._database.run_on_many(
                "DELETE FROM chats WHERE changed_at < ? AND coalesce(suspended, 0) = 0 AND opted_out_at IS NULL"
                " AND coalesce(taken_over_until, 0) < ? AND chat_id NOT IN (SELECT chat_id FROM messages)",
                before,
                now(),
            )
            # The page may show a deleted message as unread again; what is older than this is not taken in any more.
            # Channels give whole seconds: a message that comes right after must not look older.
            boundary = max(int(before), await self.purged_before())
            await self._database.remember("purged_before", str(boundary))
            await self._database.run("DELETE FROM erased WHERE before <= ?", boundary)
        await self._database.fold_log()
        return count

    async def delete_everything(self) -> int:
        """Delete all messages and all that is known of chats, told or not; returns how many messages.

        Conversations that could not be deleted at the provider stay listed, and the outbox goes on counting.
        """
        async with self._database.transaction():
            count = await self._database.run_on_many("DELETE FROM messages")
            for table in ("outbound", "turns", "chats", "outbox", "reactions", "media_jobs", "sends", "erased"):
                await self._database.run_on_many(f"DELETE FROM {table}")  # noqa: S608 (constants)
            await self._database.remember("purged_before", str(int(now())))
        await self._database.fold_log()
        return count

    async def erase_chats(self, chat_ids: tuple[str, ...], before: float) -> int:
        """Delete what chats have until a time, told or not, waiting or not; returns how many messages.

        What the page shows again of it later is not taken in: `erased_before` knows until when. Conversations that
        could not be deleted at the provider stay listed. Until the log is folded in, the file still holds all of it.
        """
        which = f"chat_id IN ({marks(chat_ids)})"
        async with self._database.transaction():
            for chat_id in chat_ids:
                await self._bury(chat_id, before)
            await self._database.run_on_many(
                f"DELETE FROM reactions WHERE message_id IN (SELECT message_id FROM messages WHERE {which}"  # noqa: S608 (marks)
                " AND recorded_at <= ?)",
                *chat_ids,
                before,
            )
            count = await self._database.run_on_many(
                f"DELETE FROM messages WHERE {which} AND recorded_at <= ?",  # noqa: S608 (marks)
                *chat_ids,
                before,
            )
            for table, moment in _MOMENTS.items():
                await self._database.run_on_many(
                    f"DELETE FROM {table} WHERE {which} AND {moment} <= ?",  # noqa: S608 (constants, marks)
                    *chat_ids,
                    before,
                )
            await self._database.run_on_many(
                f"DELETE FROM outbox WHERE json_extract(payload, '$.chat_id') IN ({marks(chat_ids)})"  # noqa: S608 (marks)
                " AND timestamp <= ?",
                *chat_ids,
                before,
            )
            # What came after in a turn that began before waits for one of its own.
            await self._database.run_on_many(
                f"UPDATE messages SET turn_id = NULL, pending = 1 WHERE {which} AND author = 'contact'"  # noqa: S608 (marks)
                " AND outcome IS NULL AND turn_id NOT IN (SELECT turn_id FROM turns)",
                *chat_ids,
            )
        return count

    async def _bury(self, chat_id: str, before: float) -> None:
        row = await self._database.row(
            "SELECT max(sent_at) AS newest FROM messages WHERE chat_id = ? AND recorded_at <= ?", chat_id, before
        )
        newest = -1.0 if row["newest"] is None else float(row["newest"])
        # Channels give whole seconds: the newest erased message must look older, one that comes after must not.
        await self._database.run(
            "INSERT INTO erased (chat_hash, before) VALUES (?1, ?2)"
            " ON CONFLICT (chat_hash) DO UPDATE SET before = max(before, ?2)",
            await self._hash(chat_id),
            max(math.floor(before), math.floor(newest) + 1),
        )

    async def purged_before(self) -> float:
        """Messages sent before this time were deleted (seconds since the epoch)."""
        return float(await self._database.fact("purged_before") or 0)

    async def erased_before(self, chat_id: str) -> float:
        """Messages of this chat sent before this time were erased (seconds since the epoch)."""
        row = await self._database.first("SELECT before FROM erased WHERE chat_hash = ?", await self._hash(chat_id))
        return 0.0 if row is None else float(row["before"])

    async def _hash(self, chat_id: str) -> str:
        salt = await self._database.fact("erased_salt")
        if salt is None:
            salt = secrets.token_hex(16)
            await self._database.remember("erased_salt", salt)
        return hashlib.sha256(f"{salt}:{chat_id}".encode()).hexdigest()
