"""Who answers in each chat: the assistant, or a person for a while or until somebody says otherwise."""

import math
import sqlite3
from datetime import datetime
from typing import Literal

from tenant_runner.contract import ConversationStatusChanged
from tenant_runner.journal.database import Database, now, to_datetime
from tenant_runner.journal.outbox import Outbox

_EVERY_CHAT = "*"

Silence = Literal["opted_out", "suspended", "taken_over", "loop"]
LOOP = "loop"


def _last_word(rows: list[sqlite3.Row]) -> sqlite3.Row | None:
    """The row with the owner's last word."""
    said = [row for row in rows if row["suspended"] is not None]
    return max(said, key=lambda row: float(row["suspended_at"]), default=None)


class Chats:
    """The owner's last word counts, for one chat or for all of them (chat id None); so does the customer's opt-out."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def silence(self, chat_id: str) -> Silence | None:
        """Why the assistant must be quiet in a chat now; None when it may answer."""
        rows = await self._of(chat_id)
        row = next((row for row in rows if row["chat_id"] == chat_id), None)
        if row is not None and row["opted_out_at"] is not None:
            return "opted_out"
        word = _last_word(rows)
        if word is not None and word["suspended"]:
            return "suspended"
        if row is not None and (row["taken_over_until"] or 0) > now():
            return "taken_over"
        return "loop" if row is not None and row["waiting"] == LOOP else None

    async def _of(self, chat_id: str) -> list[sqlite3.Row]:
        """What is known of a chat and of all chats."""
        return await self._database.rows("SELECT * FROM chats WHERE chat_id IN (?, ?)", chat_id, _EVERY_CHAT)

    async def suspend(self, chat_id: str | None, *, suspended: bool, reason: str, said_at: float) -> None:
        """Keep the owner's word and tell of it; a later word that is known already stands.

        Args:
            chat_id: None for every chat.
            suspended: whether the assistant must be quiet; False lifts whatever kept it quiet before.
            reason: what made it so.
            said_at: when the owner said it, seconds since the epoch.
        """
        status: Literal["automatic", "suspended"] = "suspended" if suspended else "automatic"
        async with self._database.transaction():
            changed = await self._database.run(
                "INSERT INTO chats (chat_id, suspended, suspended_at, changed_at) VALUES (?1, ?2, ?3, ?4)"
                " ON CONFLICT (chat_id) DO UPDATE"
                " SET suspended = ?2, suspended_at = ?3, changed_at = ?4, waiting = NULL, machine_like = 0"
                " WHERE suspended_at IS NULL OR suspended_at <= ?3",
                chat_id or _EVERY_CHAT,
                int(suspended),
                said_at,
                now(),
            )
            if not changed:
                return
            if not suspended:
                await self._lift(chat_id, reason, said_at)
            await self._outbox.add(ConversationStatusChanged(chat_id=chat_id, status=status, reason=reason))

    async def _lift(self, chat_id: str | None, reason: str, said_at: float) -> None:
        if chat_id is not None:
            # A customer's opt-out is lifted for this one alone, never by a word for all chats.
            await self._database.run(
                "UPDATE chats SET taken_over_at = NULL, taken_over_until = NULL, opted_out_at = NULL,"
                " opt_out_confirmed = 0 WHERE chat_id = ?",
                chat_id,
            )
            return
        for row in await self._database.rows(
            "UPDATE chats SET taken_over_at = NULL, taken_over_until = NULL WHERE taken_over_at <= ? RETURNING chat_id",
            said_at,
        ):
            await self._tell(row["chat_id"], reason)

    # ------------------------------------------------------------------------------------------------ a person writes

    async def take_over(self, chat_id: str, *, reason: str, said_at: float, for_s: float) -> None:
        """A person wrote in a chat: the assistant is quiet there for a while, counted from then.

        Args:
            chat_id: the chat.
            reason: who wrote.
            said_at: when, seconds since the epoch; the owner's word that came after it stands.
            for_s: how long; 0 changes nothing.
        """
        until = said_at + for_s
        if until <= now() or for_s <= 0:
            return
        async with self._database.transaction():
            word = _last_word(await self._of(chat_id))
            # Channels give whole seconds.
            if word is not None and math.floor(word["suspended_at"]) > said_at:
                return
            changed = await self._database.run(
                "INSERT INTO chats (chat_id, taken_over_at, taken_over_until, changed_at) VALUES (?1, ?2, ?3, ?4)"
                " ON CONFLICT (chat_id) DO UPDATE SET taken_over_at = ?2, taken_over_until = ?3, changed_at = ?4,"
                " waiting = NULL, machine_like = 0 WHERE coalesce(taken_over_until, 0) < ?3",
                chat_id,
                said_at,
                until,
                now(),
            )
            if changed:
                await self._tell(chat_id, reason)

    async def give_back(self) -> list[str]:
        """The assistant answers again where a person's time is over; returns those chats."""
        async with self._database.transaction():
            rows = await self._database.rows(
                "UPDATE chats SET taken_over_at = NULL, taken_over_until = NULL, changed_at = ?1"
                " WHERE taken_over_until <= ?1 RETURNING chat_id",
                now(),
            )
            for row in rows:
                await self._tell(row["chat_id"], "time")
        return [str(row["chat_id"]) for row in rows]

    async def next_give_back(self) -> float | None:
        """When the next person's time is over, in seconds since the epoch."""
        row = await self._database.row("SELECT min(taken_over_until) AS next FROM chats")
        return None if row["next"] is None else float(row["next"])

    # ------------------------------------------------------------------------------------------------ the customer

    async def opt_out(self, chat_id: str, said_at: float) -> None:
        """The customer wants no automatic answers, until the owner or an agent lifts that."""
        async with self._database.transaction():
            changed = await self._database.run(
                "INSERT INTO chats (chat_id, opted_out_at, changed_at) VALUES (?1, ?2, ?3)"
                " ON CONFLICT (chat_id) DO UPDATE SET opted_out_at = ?2, changed_at = ?3 WHERE opted_out_at IS NULL",
                chat_id,
                said_at,
                now(),
            )
            if changed:
                await self._tell(chat_id, "opted_out")

    async def confirm_opt_out(self, chat_id: str) -> bool:
        """Whether an opt-out must be confirmed; True once."""
        return bool(
            await self._database.run(
                "UPDATE chats SET opt_out_confirmed = 1 WHERE chat_id = ? AND opted_out_at IS NOT NULL"
                " AND opt_out_confirmed = 0",
                chat_id,
            )
        )

    async def apologise(self, chat_id: str) -> bool:
        """Whether a chat is owed an apology; True once, until it was answered again."""
        return bool(
            await self._database.run(
                "INSERT INTO chats (chat_id, apologised_at, changed_at) VALUES (?1, ?2, ?2)"
                " ON CONFLICT (chat_id) DO UPDATE SET apologised_at = ?2 WHERE apologised_at IS NULL",
                chat_id,
                now(),
            )
        )

    async def count_exchange(self, chat_id: str, *, machine_like: bool) -> int:
        """Count one more exchange that looks like a machine's, or begin again; returns how many in a row."""
        if not machine_like:
            await self._database.run(
                "UPDATE chats SET machine_like = 0 WHERE chat_id = ? AND machine_like > 0", chat_id
            )
            return 0
        async with self._database.transaction():
            await self._database.run(
                "INSERT INTO chats (chat_id, machine_like, changed_at) VALUES (?1, 1, ?2)"
                " ON CONFLICT (chat_id) DO UPDATE SET machine_like = machine_like + 1",
                chat_id,
                now(),
            )
            return int(
                (await self._database.row("SELECT machine_like FROM chats WHERE chat_id = ?", chat_id))["machine_like"]
            )

    # ------------------------------------------------------------------------------------------------ who must look

    async def wait_for_human(self, chat_id: str, reason: str) -> None:
        """Somebody must look at a chat; told once for as long as the reason stays."""
        async with self._database.transaction():
            changed = await self._database.run(
                "INSERT INTO chats (chat_id, waiting, changed_at) VALUES (?1, ?2, ?3)"
                " ON CONFLICT (chat_id) DO UPDATE SET waiting = ?2, changed_at = ?3"
                " WHERE waiting IS NOT ?2 AND waiting IS NOT ?4",
                chat_id,
                reason,
                now(),
                LOOP,
            )
            if changed:
                await self._tell(chat_id, None)

    async def answered(self, chat_id: str) -> None:
        """The assistant answered: nobody has to look any more, and a later outage has its own apology."""
        async with self._database.transaction():
            await self._database.run(
                "UPDATE chats SET apologised_at = NULL WHERE chat_id = ? AND apologised_at IS NOT NULL", chat_id
            )
            if await self._database.run(
                "UPDATE chats SET waiting = NULL, changed_at = ? WHERE chat_id = ? AND waiting IS NOT NULL",
                now(),
                chat_id,
            ):
                await self._tell(chat_id, None)

    async def _tell(self, chat_id: str, reason: str | None) -> None:
        """Tell who answers in one chat now; the chat's own reason goes before the occasion's."""
        silence = await self.silence(chat_id)
        row = await self._database.row("SELECT waiting, taken_over_until FROM chats WHERE chat_id = ?", chat_id)
        status: Literal["automatic", "suspended", "waiting_for_human"] = "automatic"
        until: datetime | None = None
        if silence == "opted_out":
            status, reason = "suspended", "opted_out"
        elif silence == "taken_over":
            status, until = "suspended", to_datetime(row["taken_over_until"])
        elif silence == "suspended":
            status = "suspended"
        if status == "suspended" and reason is None:
            # Told already, with its reason; who waits is told when the silence ends.
            return
        if status == "automatic" and row["waiting"] is not None:
            status, reason = "waiting_for_human", row["waiting"]
        await self._outbox.add(ConversationStatusChanged(chat_id=chat_id, status=status, reason=reason, until=until))
