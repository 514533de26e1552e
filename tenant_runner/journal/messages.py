"""Messages in both directions, each stored once by the channel's id."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tenant_runner.contract import MAX_TEXT_CHARS, MediaFacts, MessageRecorded
from tenant_runner.journal.database import Database, marks, now
from tenant_runner.journal.outbox import Outbox

Author = Literal["contact", "assistant", "owner", "agent"]

# Kinds whose text is words: the content of others is data, or nothing.
_WORDED = ("chat", "ptt", "audio", "image", "video", "document")
WORDED_ANSWERS = ("buttons_response", "list_response", "template_button_reply")
WORDED_KINDS = _WORDED + WORDED_ANSWERS


@dataclass(frozen=True)
class NewMessage:
    """A message that the journal may or may not have yet.

    Attributes:
        undecrypted: it comes again under its id once it can be read.
    """

    message_id: str
    chat_id: str
    author: Author
    kind: str
    text: str
    sent_at: datetime
    contact_name: str | None = None
    contact_phone: str | None = None
    quoted_id: str | None = None
    media: MediaFacts | None = None
    undecrypted: bool = False


@dataclass(frozen=True)
class Received:
    """What is known of a stored message.

    Attributes:
        undecrypted: its content is still unknown.
    """

    message_id: str
    chat_id: str
    author: Author
    kind: str
    text: str
    sequence: int
    outcome: str | None
    undecrypted: bool


def received(row: sqlite3.Row) -> Received:
    """A row of `messages`."""
    facts = {name: row[name] for name in Received.__dataclass_fields__}
    return Received(**{**facts, "undecrypted": bool(row["undecrypted"])})


@dataclass(frozen=True)
class Line:
    """One line of a chat, as an assistant reads it.

    Attributes:
        sequence: orders lines and marks how far a thread has read.
        by_assistant: the assistant wrote it itself (`role` is `assistant` for people who answered too).
        note: what an assistant must know beside the text, in English; not the customer's words.
        image: data URL of a picture that came with the text.
    """

    sequence: int
    role: Literal["user", "assistant"]
    text: str
    by_assistant: bool = False
    note: str = ""
    image: str | None = None


class Messages:
    """The log of every chat, and which messages still wait for a turn."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def record(
        self,
        message: NewMessage,
        *,
        outcome: str | None = None,
        pending: bool = False,
        in_reply_to: tuple[str, ...] = (),
        told: bool = True,
    ) -> int | None:
        """Store a message and the event that tells of it, once.

        Args:
            message: what to store; a text longer than the contract allows is cut.
            outcome: why it is not answered, or None.
            pending: it waits for a turn.
            in_reply_to: ids of the messages that it answers.
            told: False keeps it between the runner and its caller (nothing was on the channel).

        Returns:
            Its place in the journal; None when the journal had it already, then nothing changed.
        """
        text = message.text[:MAX_TEXT_CHARS]
        async with self._database.transaction():
            sequence = await self._database.insert(
                "INSERT INTO messages (message_id, chat_id, author, kind, text, sent_at, recorded_at, outcome, pending,"
                " quoted_id, undecrypted) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (message_id) DO NOTHING",
                message.message_id,
                message.chat_id,
                message.author,
                message.kind,
                text,
                message.sent_at.timestamp(),
                now(),
                outcome,
                int(pending),
                message.quoted_id,
                int(message.undecrypted),
            )
            if sequence is None:
                return None
            if told:
                event = MessageRecorded(
                    message_id=message.message_id,
                    chat_id=message.chat_id,
                    author=message.author,
                    kind=message.kind,
                    text=text,
                    sent_at=message.sent_at,
                    contact_name=message.contact_name,
                    contact_phone=message.contact_phone,
                    in_reply_to=in_reply_to,
                    outcome=outcome,
                    quoted_id=message.quoted_id,
                    media=message.media,
                )
                await self._database.run(
                    "UPDATE messages SET event_sequence = ? WHERE sequence = ?", await self._outbox.add(event), sequence
                )
        return sequence

    async def has(self, message_id: str) -> bool:
        """Whether the journal knows the id, as a message or as one that it is about to send."""
        return (
            await self._database.first(
                "SELECT 1 FROM messages WHERE message_id = ?1 UNION ALL SELECT 1 FROM outbound WHERE message_id = ?1",
                message_id,
            )
            is not None
        )

    async def pending_window(self, chat_id: str) -> tuple[float, float] | None:
        """When the first and the last message that wait for a turn were stored; None when none waits."""
        row = await self._database.row(
            "SELECT min(recorded_at) AS first, max(recorded_at) AS last FROM messages"
            " WHERE chat_id = ? AND pending = 1",
            chat_id,
        )
        return None if row["first"] is None else (float(row["first"]), float(row["last"]))

    async def get(self, message_id: str) -> Received | None:
        """A stored message."""
        row = await self._database.first("SELECT * FROM messages WHERE message_id = ?", message_id)
        return None if row is None else received(row)

    async def history(self, chat_id: str, *, but_turn: int | None, limit: int) -> list[Line]:
        """The chat's newest lines, oldest first, without those of a turn and those that wait for one."""
        rows = await self._database.rows(
            f"SELECT sequence, author, kind, text FROM messages WHERE chat_id = ? AND kind IN ({marks(WORDED_KINDS)})"  # noqa: S608 (marks)
            " AND (text <> '' OR kind = 'image') AND coalesce(outcome, '') <> 'revoked'"
            " AND pending = 0 AND (? IS NULL OR turn_id IS NOT ?) ORDER BY sequence DESC LIMIT ?",
            chat_id,
            *WORDED_KINDS,
            but_turn,
            but_turn,
            limit,
        )
        return [
            Line(
                row["sequence"],
                "user" if row["author"] == "contact" else "assistant",
                row["text"],
                by_assistant=row["author"] == "assistant",
                note="a picture" if row["kind"] == "image" else "",
            )
            for row in reversed(rows)
        ]

    async def of_turn(self, turn_id: int) -> list[Received]:
        """What the customer wrote in one turn, oldest first."""
        rows = await self._database.rows("SELECT * FROM messages WHERE turn_id = ? ORDER BY sequence", turn_id)
        return [received(row) for row in rows]

    async def newest_of_turn(self, turn_id: int) -> float | None:
        """When the last message of a turn was stored, in seconds since the epoch."""
        row = await self._database.row("SELECT max(recorded_at) AS newest FROM messages WHERE turn_id = ?", turn_id)
        return None if row["newest"] is None else float(row["newest"])

    async def newest_sent_at_of_turn(self, turn_id: int) -> float | None:
        """When the last message of a turn was sent, in seconds since the epoch."""
        row = await self._database.row("SELECT max(sent_at) AS newest FROM messages WHERE turn_id = ?", turn_id)
        return None if row["newest"] is None else float(row["newest"])
