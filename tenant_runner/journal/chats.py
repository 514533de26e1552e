"""Who answers in each chat: the assistant or a person."""

from typing import Literal

from tenant_runner.contract import ConversationStatusChanged
from tenant_runner.journal.database import Database, now
from tenant_runner.journal.outbox import Outbox

_EVERY_CHAT = "*"


class Chats:
    """The owner's last word counts: for one chat, or for all of them (chat id None)."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def suspended(self, chat_id: str) -> bool:
        """Whether the assistant must be quiet in a chat now."""
        row = await self._database.first(
            "SELECT suspended FROM chats WHERE chat_id IN (?, ?) AND suspended IS NOT NULL"
            " ORDER BY suspended_at DESC LIMIT 1",
            chat_id,
            _EVERY_CHAT,
        )
        return row is not None and bool(row["suspended"])

    async def suspend(self, chat_id: str | None, *, suspended: bool, reason: str, said_at: float) -> None:
        """Keep the owner's word and tell of it; a later word that is known already stands.

        Args:
            chat_id: None for every chat.
            suspended: whether the assistant must be quiet.
            reason: what made it so.
            said_at: when the owner said it, seconds since the epoch.
        """
        status: Literal["automatic", "suspended"] = "suspended" if suspended else "automatic"
        async with self._database.transaction():
            changed = await self._database.run(
                "INSERT INTO chats (chat_id, suspended, suspended_at, changed_at) VALUES (?1, ?2, ?3, ?4)"
                " ON CONFLICT (chat_id) DO UPDATE"
                " SET suspended = ?2, suspended_at = ?3, changed_at = ?4, waiting = NULL"
                " WHERE suspended_at IS NULL OR suspended_at <= ?3",
                chat_id or _EVERY_CHAT,
                int(suspended),
                said_at,
                now(),
            )
            if changed:
                await self._outbox.add(ConversationStatusChanged(chat_id=chat_id, status=status, reason=reason))

    async def wait_for_human(self, chat_id: str, reason: str) -> None:
        """Somebody must look at a chat; told once for as long as the reason stays."""
        async with self._database.transaction():
            changed = await self._database.run(
                "INSERT INTO chats (chat_id, waiting, changed_at) VALUES (?1, ?2, ?3)"
                " ON CONFLICT (chat_id) DO UPDATE SET waiting = ?2, changed_at = ?3 WHERE waiting IS NOT ?2",
                chat_id,
                reason,
                now(),
            )
            if changed:
                await self._outbox.add(
                    ConversationStatusChanged(chat_id=chat_id, status="waiting_for_human", reason=reason)
                )

    async def answered(self, chat_id: str) -> None:
        """The assistant answers again in a chat that waited for somebody."""
        async with self._database.transaction():
            if await self._database.run(
                "UPDATE chats SET waiting = NULL, changed_at = ? WHERE chat_id = ? AND waiting IS NOT NULL",
                now(),
                chat_id,
            ):
                await self._outbox.add(ConversationStatusChanged(chat_id=chat_id, status="automatic"))
