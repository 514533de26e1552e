"""What the data of an older version lacks. Each step is done once, by the scheduler, and may be repeated."""

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from control_plane.conversations.repository import Conversations
from control_plane.database import Database

logger = logging.getLogger(__name__)


async def _list_chats(database: Database) -> None:
    """Chats whose messages were recorded before there was a list of them."""
    async for client in database["clients"].find({}, {"_id": 1}):
        await Conversations(database, client["_id"]).enlist_stored()


STEPS: dict[str, Callable[[Database], Awaitable[None]]] = {"list of chats": _list_chats}


async def upgrade(database: Database) -> None:
    """Do the steps that were not done yet.

    Raises:
        PyMongoError: the server is down; what was done so far counts.
    """
    done = {document["_id"] async for document in database["upgrades"].find()}
    for name, step in STEPS.items():
        if name not in done:
            await step(database)
            await database["upgrades"].replace_one({"_id": name}, {"_id": name, "at": datetime.now(UTC)}, upsert=True)
            logger.info("data was upgraded", extra={"step": name})
