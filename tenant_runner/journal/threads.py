"""The assistant's side of each chat, and every conversation that exists at a provider until it is proven deleted."""

import json
import sqlite3
from dataclasses import dataclass, replace

from tenant_runner.contract import ThreadChanged
from tenant_runner.journal.database import Database, marks, now, to_datetime
from tenant_runner.journal.outbox import Outbox


@dataclass(frozen=True)
class Thread:
    """How an assistant goes on in a chat.

    Attributes:
        conversation_id: the provider's conversation, or None when it must be built again.
        key_fingerprint: tells which API key owns the conversation.
        generation: grows each time the conversation is built again.
        synced_through: the last line of the chat that the conversation has.
    """

    chat_id: str
    conversation_id: str | None
    key_fingerprint: str
    generation: int
    synced_through: int


@dataclass(frozen=True)
class RemoteConversation:
    """A conversation at the provider with the responses stored beside it; there is no way to list them there."""

    conversation_id: str
    chat_id: str
    key_fingerprint: str
    response_ids: tuple[str, ...]


def _remote(row: sqlite3.Row) -> RemoteConversation:
    return RemoteConversation(
        row["conversation_id"], row["chat_id"], row["key_fingerprint"], tuple(json.loads(row["response_ids"]))
    )


class Threads:
    """Threads by chat; forgetting one is told to the control plane as a conversation id of None."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def get(self, chat_id: str) -> Thread | None:
        """The thread of a chat."""
        row = await self._database.first("SELECT * FROM threads WHERE chat_id = ?", chat_id)
        return None if row is None else Thread(**{name: row[name] for name in Thread.__dataclass_fields__})

    async def created(self, chat_id: str, conversation_id: str, key_fingerprint: str, *, synced_through: int) -> Thread:
        """Keep a new conversation's id the moment that it exists; the one before stays listed for deletion."""
        at = now()
        async with self._database.transaction():
            await self._database.run(
                "INSERT INTO remote_conversations (conversation_id, chat_id, key_fingerprint, response_ids,"
                " last_activity_at) VALUES (?, ?, ?, '[]', ?)",
                conversation_id,
                chat_id,
                key_fingerprint,
                at,
            )
            await self._database.run(
                "INSERT INTO threads (chat_id, conversation_id, key_fingerprint, generation, synced_through,"
                " last_activity_at) VALUES (?1, ?2, ?3, 1, ?5, ?4) ON CONFLICT (chat_id) DO UPDATE SET"
                " conversation_id = ?2, key_fingerprint = ?3, generation = generation + 1, synced_through = ?5,"
                " last_activity_at = ?4",
                chat_id,
                conversation_id,
                key_fingerprint,
                at,
                synced_through,
            )
            thread = await self.get(chat_id)
            assert thread is not None  # noqa: S101 (inserted above, in the same transaction)
            await self._tell(thread, at)
        return thread

    async def used(self, thread: Thread, *, response_ids: tuple[str, ...], synced_through: int) -> Thread:
        """The conversation has the chat's lines up to `synced_through` and these further stored responses."""
        at = now()
        async with self._database.transaction():
            row = await self._database.first(
                "SELECT response_ids FROM remote_conversations WHERE conversation_id = ?", thread.conversation_id
            )
            if row is not None:
                ids = json.dumps([*json.loads(row["response_ids"]), *response_ids])
                await self._database.run(
                    "UPDATE remote_conversations SET response_ids = ?, last_activity_at = ? WHERE conversation_id = ?",
                    ids,
                    at,
                    thread.conversation_id,
                )
            await self._database.run(
                "UPDATE threads SET synced_through = max(synced_through, ?), last_activity_at = ?"
                " WHERE chat_id = ? AND conversation_id = ?",
                synced_through,
                at,
                thread.chat_id,
                thread.conversation_id,
            )
            await self._tell(thread, at)
        return replace(thread, synced_through=max(thread.synced_through, synced_through))

    async def _tell(self, thread: Thread, at: float) -> None:
        await self._outbox.add(
            ThreadChanged(
                chat_id=thread.chat_id,
                conversation_id=thread.conversation_id,
                generation=thread.generation,
                last_activity_at=to_datetime(at),
            )
        )

    async def remote(self, before: float | None, key_fingerprint: str | None = None) -> list[RemoteConversation]:
        """Conversations that exist at the provider, oldest first: not used since `before`, of one key."""
        rows = await self._database.rows(
            "SELECT * FROM remote_conversations WHERE (?1 IS NULL OR last_activity_at < ?1)"
            " AND (?2 IS NULL OR key_fingerprint = ?2) ORDER BY last_activity_at",
            before,
            key_fingerprint,
        )
        return [_remote(row) for row in rows]

    async def remote_of(self, chat_ids: tuple[str, ...]) -> list[RemoteConversation]:
        """Conversations of some chats that exist at the provider, oldest first."""
        rows = await self._database.rows(
            f"SELECT * FROM remote_conversations WHERE chat_id IN ({marks(chat_ids)}) ORDER BY last_activity_at",  # noqa: S608 (marks)
            *chat_ids,
        )
        return [_remote(row) for row in rows]

    async def erase(self, chat_ids: tuple[str, ...]) -> int:
        """Drop the threads of chats; returns how many. Conversations at the provider stay listed until they are gone.

        Nobody is told: whoever erases a chat erases it on the other side too.
        """
        return await self._database.run(
            f"DELETE FROM threads WHERE chat_id IN ({marks(chat_ids)})",  # noqa: S608 (marks)
            *chat_ids,
        )

    async def gone(self, conversation_id: str) -> None:
        """The provider has it no more: strike it off the list; a thread that used it is built again when needed."""
        async with self._database.transaction():
            await self._database.run("DELETE FROM remote_conversations WHERE conversation_id = ?", conversation_id)
            await self._database.run(
                "UPDATE threads SET conversation_id = NULL WHERE conversation_id = ?", conversation_id
            )

    async def forget(self, before: float | None) -> int:
        """Drop threads not used since `before` (None: all) whose conversations are gone; returns how many."""
        async with self._database.transaction():
            rows = await self._database.rows(
                "DELETE FROM threads WHERE (?1 IS NULL OR last_activity_at < ?1) AND conversation_id IS NULL"
                " RETURNING chat_id, generation, last_activity_at",
                before,
            )
            for row in rows:
                await self._outbox.add(
                    ThreadChanged(
                        chat_id=row["chat_id"],
                        conversation_id=None,
                        generation=row["generation"],
                        last_activity_at=to_datetime(row["last_activity_at"]),
                    )
                )
        return len(rows)
