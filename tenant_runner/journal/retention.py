"""Deleting what is past its time from the journal."""

from tenant_runner.journal.database import Database, now

_FINISHED = "('sent', 'failed', 'unknown', 'dropped')"


class Retention:
    """Only what the control plane has been told of goes, and nothing that a customer still waits for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def delete_messages(self, before: float) -> int:
        """Delete told messages stored before a time, with their closed turns; returns how many messages."""
        async with self._database.transaction():
            count = await self._database.run(
                "DELETE FROM messages WHERE recorded_at < ? AND pending = 0 AND undecrypted <> 1"
                " AND (event_sequence IS NULL OR event_sequence NOT IN (SELECT sequence FROM outbox))"
                " AND (turn_id IS NULL OR turn_id IN (SELECT turn_id FROM turns WHERE closed_at IS NOT NULL))",
                before,
            )
            await self._database.run(
                f"DELETE FROM outbound WHERE created_at < ? AND state IN {_FINISHED}"  # noqa: S608 (a constant)
                " AND (turn_id IS NULL OR turn_id IN (SELECT turn_id FROM turns WHERE closed_at IS NOT NULL))"
                " AND message_id NOT IN (SELECT message_id FROM messages)",
                before,
            )
            await self._database.run(
                "DELETE FROM turns WHERE closed_at < ? AND turn_id NOT IN"
                " (SELECT turn_id FROM messages WHERE turn_id IS NOT NULL)",
                before,
            )
            for table in ("reactions", "media_jobs"):
                await self._database.run(
                    f"DELETE FROM {table} WHERE message_id NOT IN (SELECT message_id FROM messages)"  # noqa: S608 (constants)
                )
            # An opt-out and a suspension hold for as long as nobody lifts them: they outlive what was written.
            await self._database.run(
                "DELETE FROM chats WHERE changed_at < ? AND coalesce(suspended, 0) = 0 AND opted_out_at IS NULL"
                " AND coalesce(taken_over_until, 0) < ? AND chat_id NOT IN (SELECT chat_id FROM messages)",
                before,
                now(),
            )
            # The page may show a deleted message as unread again; what is older than this is not taken in any more.
            # Channels give whole seconds: a message that comes right after must not look older.
            await self._database.remember("purged_before", str(max(int(before), await self.purged_before())))
        await self._database.fold_log()
        return count

    async def delete_everything(self) -> int:
        """Delete all messages and all that is known of chats, told or not; returns how many messages.

        Conversations that could not be deleted at the provider stay listed, and the outbox goes on counting.
        """
        async with self._database.transaction():
            count = await self._database.run("DELETE FROM messages")
            for table in ("outbound", "turns", "chats", "outbox", "reactions", "media_jobs", "sends"):
                await self._database.run(f"DELETE FROM {table}")  # noqa: S608 (constants)
            await self._database.remember("purged_before", str(int(now())))
        await self._database.fold_log()
        return count

    async def purged_before(self) -> float:
        """Messages sent before this time were deleted (seconds since the epoch)."""
        return float(await self._database.fact("purged_before") or 0)
