"""Conversations, their items and stored responses, each owned by one key; in SQLite, so that a restart keeps them."""

import json
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.openai_api.keys import Key
from sandbox.sqlite_file import open_private

Item = dict[str, Any]

_TABLES = """
CREATE TABLE IF NOT EXISTS conversations (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, key_hint TEXT NOT NULL, created_at INTEGER NOT NULL,
    metadata TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS items (
    position INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, conversation_id TEXT NOT NULL, owner TEXT NOT NULL,
    body TEXT NOT NULL, UNIQUE (conversation_id, id)
) STRICT;
CREATE TABLE IF NOT EXISTS responses (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, key_hint TEXT NOT NULL, created_at INTEGER NOT NULL,
    body TEXT NOT NULL, context TEXT NOT NULL
) STRICT;
"""


@dataclass(frozen=True)
class Conversation:
    """A conversation without its items."""

    id: str
    owner: str
    key_hint: str
    created_at: int
    metadata: dict[str, str]

    @property
    def public(self) -> dict[str, Any]:
        """`ConversationResource` of OpenAI's specification."""
        return {
            "id": self.id,
            "object": "conversation",
            "created_at": self.created_at,
            "metadata": self.metadata,
        }


def _conversation(row: tuple[str, str, str, int, str]) -> Conversation:
    conversation_id, owner, hint, created_at, metadata = row
    return Conversation(conversation_id, owner, hint, created_at, json.loads(metadata))


def new_id(prefix: str) -> str:
    """An id as OpenAI makes them, `conv_…`."""
    return f"{prefix}_{secrets.token_hex(24)}"


class Store:
    """One SQLite file, 0600 (it holds what customers wrote), or memory; keys are in it as SHA-256 only.

    Every method commits before it returns. A conversation, item or response of another key does not exist here.
    """

    def __init__(self, file: Path | None) -> None:
        self._db = open_private(file, _TABLES)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    # ---------------------------------------------------------------------------------------------- conversations

    def create_conversation(self, key: Key, metadata: dict[str, str], items: Sequence[Item]) -> Conversation:
        """Store a conversation together with its first items."""
        made = Conversation(new_id("conv"), key.id, key.hint, int(time.time()), metadata)
        with self._db:
            self._db.execute(
                "INSERT INTO conversations VALUES (?, ?, ?, ?, ?)",
                (made.id, made.owner, made.key_hint, made.created_at, json.dumps(made.metadata)),
            )
            self._insert_items(made.id, key, items)
        return made

    def find_conversation(self, key: Key, conversation_id: str) -> Conversation | None:
        """The key's conversation of that id."""
        found = self._db.execute(
            "SELECT id, owner, key_hint, created_at, metadata FROM conversations WHERE id = ? AND owner = ?",
            (conversation_id, key.id),
        ).fetchone()
        return _conversation(found) if found else None

    def change_metadata(self, conversation_id: str, metadata: dict[str, str]) -> None:
        """Replace a conversation's metadata."""
        with self._db:
            self._db.execute(
                "UPDATE conversations SET metadata = ? WHERE id = ?", (json.dumps(metadata), conversation_id)
            )

    def delete_conversation(self, conversation_id: str) -> None:
        """Delete a conversation; its items stay behind, out of reach, as they do at OpenAI."""
        with self._db:
            self._db.execute("DELETE FROM conversations WHERE id = ?", (conversation_id,))

    # ---------------------------------------------------------------------------------------------- items

    def items(self, conversation_id: str) -> list[Item]:
        """A conversation's items, oldest first."""
        rows = self._db.execute(
            "SELECT body FROM items WHERE conversation_id = ? ORDER BY position", (conversation_id,)
        )
        return [json.loads(body) for (body,) in rows]

    def add_items(self, conversation_id: str, key: Key, items: Sequence[Item]) -> None:
        """Append items, all or none."""
        with self._db:
            self._insert_items(conversation_id, key, items)

    def delete_item(self, conversation_id: str, item_id: str) -> None:
        """Delete one item."""
        with self._db:
            self._db.execute("DELETE FROM items WHERE conversation_id = ? AND id = ?", (conversation_id, item_id))

    def _insert_items(self, conversation_id: str, key: Key, items: Iterable[Item]) -> None:
        self._db.executemany(
            "INSERT INTO items (id, conversation_id, owner, body) VALUES (?, ?, ?, ?)",
            [(item["id"], conversation_id, key.id, json.dumps(item)) for item in items],
        )

    # ---------------------------------------------------------------------------------------------- responses

    def commit_turn(
        self,
        key: Key,
        response: dict[str, Any],
        *,
        conversation_id: str | None,
        new_items: Sequence[Item],
        context: Sequence[Item],
        keep: bool,
    ) -> None:
        """Append a finished turn to its conversation and keep its response if told to, both or neither.

        `context` is all that a later `previous_response_id` brings back.
        """
        with self._db:
            if conversation_id is not None:
                self._insert_items(conversation_id, key, new_items)
            if keep:
                self._db.execute(
                    "INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        response["id"],
                        key.id,
                        key.hint,
                        response["created_at"],
                        json.dumps(response),
                        json.dumps(list(context)),
                    ),
                )

    def find_response(self, key: Key, response_id: str) -> dict[str, Any] | None:
        """The key's stored response of that id."""
        found = self._db.execute(
            "SELECT body FROM responses WHERE id = ? AND owner = ?", (response_id, key.id)
        ).fetchone()
        return dict(json.loads(found[0])) if found else None

    def response_context(self, key: Key, response_id: str) -> list[Item] | None:
        """Items up to and with a stored response, oldest first; None when there is no such response."""
        found = self._db.execute(
            "SELECT context FROM responses WHERE id = ? AND owner = ?", (response_id, key.id)
        ).fetchone()
        return list(json.loads(found[0])) if found else None

    def delete_response(self, response_id: str) -> None:
        """Delete a stored response."""
        with self._db:
            self._db.execute("DELETE FROM responses WHERE id = ?", (response_id,))

    # ---------------------------------------------------------------------------------------------- overview

    def conversations(self) -> list[Conversation]:
        """All keys' conversations, newest first; for the control API, which OpenAI does not have."""
        rows = self._db.execute(
            "SELECT id, owner, key_hint, created_at, metadata FROM conversations ORDER BY created_at DESC, rowid DESC"
        )
        return [_conversation(row) for row in rows]

    def orphaned_items(self) -> int:
        """Items whose conversation was deleted before them: what a sloppy clean-up leaves at OpenAI for ever."""
        query = "SELECT count(*) FROM items WHERE conversation_id NOT IN (SELECT id FROM conversations)"
        return int(self._db.execute(query).fetchone()[0])

    def response_count(self) -> int:
        """Stored responses of all keys."""
        return int(self._db.execute("SELECT count(*) FROM responses").fetchone()[0])

    def clear(self) -> None:
        """Forget everything."""
        with self._db:
            for statement in ("DELETE FROM conversations", "DELETE FROM items", "DELETE FROM responses"):
                self._db.execute(statement)
