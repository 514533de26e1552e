"""The journal: what came in, what went out, what must still be told."""

import uuid
from pathlib import Path

from tenant_runner.journal.changes import Changes
from tenant_runner.journal.chats import Chats
from tenant_runner.journal.database import Database
from tenant_runner.journal.media import Media
from tenant_runner.journal.messages import Messages
from tenant_runner.journal.outbound import OutboundMessages
from tenant_runner.journal.outbox import Outbox
from tenant_runner.journal.pace import Pace
from tenant_runner.journal.retention import Retention
from tenant_runner.journal.threads import Threads
from tenant_runner.journal.turns import Turns
from tenant_runner.journal.watched import Watched


class Journal:
    """One client's journal; its parts share one file, so that `transaction` spans them.

    Attributes:
        id: names this journal; a new file numbers its events from 1 again under a new name.
    """

    def __init__(self, database: Database, journal_id: str) -> None:
        self.id = journal_id
        self.database = database
        self.transaction = database.transaction
        self.outbox = Outbox(database)
        self.messages = Messages(database, self.outbox)
        self.changes = Changes(database, self.outbox)
        self.media = Media(database)
        self.pace = Pace(database)
        self.turns = Turns(database)
        self.outbound = OutboundMessages(database, self.outbox, self.messages)
        self.chats = Chats(database, self.outbox)
        self.threads = Threads(database, self.outbox)
        self.retention = Retention(database)
        self.watched = Watched(database)

    @classmethod
    async def open(cls, path: Path) -> "Journal":
        """Open a client's journal; made on first use."""
        database = await Database.open(path)
        async with database.transaction():
            journal_id = await database.fact("journal_id")
            if journal_id is None:
                journal_id = uuid.uuid4().hex
                await database.remember("journal_id", journal_id)
        return cls(database, journal_id)

    async def close(self) -> None:
        """Close the file."""
        await self.database.close()
