"""Files that are wanted: which, not what is in them."""

import sqlite3
from dataclasses import dataclass
from typing import Literal

from tenant_runner.journal.database import Database, now

Sort = Literal["image", "voice"]


@dataclass(frozen=True)
class MediaJob:
    """A file that a turn waits for."""

    message_id: str
    chat_id: str
    sort: Sort
    mimetype: str | None


def _job(row: sqlite3.Row) -> MediaJob:
    return MediaJob(**{name: row[name] for name in MediaJob.__dataclass_fields__})


class Media:
    """A job ends when its message has a transcript, cannot have one, or its turn needs its picture no more."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, job: MediaJob) -> None:
        """Want a file; call it inside the transaction that stores its message."""
        await self._database.run(
            "INSERT OR IGNORE INTO media_jobs (message_id, chat_id, sort, mimetype, created_at) VALUES (?, ?, ?, ?, ?)",
            job.message_id,
            job.chat_id,
            job.sort,
            job.mimetype,
            now(),
        )

    async def of_chat(self, chat_id: str) -> list[MediaJob]:
        """The files that are wanted of a chat, oldest first."""
        rows = await self._database.rows("SELECT * FROM media_jobs WHERE chat_id = ? ORDER BY created_at", chat_id)
        return [_job(row) for row in rows]

    async def wanted(self) -> list[MediaJob]:
        """Every file that is wanted, oldest first."""
        return [_job(row) for row in await self._database.rows("SELECT * FROM media_jobs ORDER BY created_at")]

    async def done(self, message_id: str) -> None:
        """A file is wanted no more."""
        await self._database.run("DELETE FROM media_jobs WHERE message_id = ?", message_id)
