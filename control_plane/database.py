"""The database: one client over MongoDB's wire protocol, and the indexes that its queries need."""

import asyncio
import logging
from typing import Any

from pymongo import ASCENDING, DESCENDING, AsyncMongoClient, IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from control_plane import embedded_database
from control_plane.settings import Settings

logger = logging.getLogger(__name__)

Document = dict[str, Any]
Database = AsyncDatabase[Document]

SELECTION_TIMEOUT_MS = 3_000
OPERATION_TIMEOUT_MS = 20_000
RETRY_INTERVAL_S = 2.0

# Each index names the query that it is for.
INDEXES: dict[str, list[IndexModel]] = {
    "clients": [
        IndexModel([("slug", ASCENDING)], unique=True, name="slug"),  # a landing page's address finds its client
        IndexModel([("port", ASCENDING)], unique=True, name="port"),  # the lock of port allocation
        # a runner's token finds its client, once per delivery
        IndexModel([("runner_token_hash", ASCENDING)], unique=True, name="runner_token"),
        IndexModel([("created_at", DESCENDING)], name="newest"),  # the portal's list
    ],
    "client_messages": [
        # recorded exactly once, however often it is delivered; acknowledgements find their message
        IndexModel([("client_id", ASCENDING), ("message_id", ASCENDING)], unique=True, name="message"),
        # a chat's page, newest first, and the cursor behind it
        IndexModel([("client_id", ASCENDING), ("chat_id", ASCENDING), ("sent_at", DESCENDING)], name="chat"),
        # the list of chats, and the cleanup of what is past its time
        IndexModel([("client_id", ASCENDING), ("sent_at", DESCENDING)], name="newest"),
    ],
    "client_threads": [
        # one thread per chat
        IndexModel([("client_id", ASCENDING), ("chat_id", ASCENDING)], unique=True, name="chat"),
        # the cleanup
        IndexModel([("client_id", ASCENDING), ("last_activity_at", ASCENDING)], name="oldest"),
    ],
    "client_conversations": [
        # who answers in a chat
        IndexModel([("client_id", ASCENDING), ("chat_id", ASCENDING)], unique=True, name="chat"),
    ],
    "client_qr_codes": [IndexModel([("expires_at", ASCENDING)], name="expired")],  # the cleanup
    "emails": [
        IndexModel([("state", ASCENDING), ("next_attempt_at", ASCENDING)], name="due"),  # the scheduler's next mail
        IndexModel([("client_id", ASCENDING), ("created_at", DESCENDING)], name="client"),  # a client's page
    ],
    "accounts": [IndexModel([("username", ASCENDING)], unique=True, name="username")],  # log-in
    "account_sessions": [
        IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=0, name="expired"),  # gone when past their time
        IndexModel([("account_id", ASCENDING)], name="account"),  # a changed password ends the other sessions
    ],
    "cleanup_runs": [
        IndexModel([("requested_at", DESCENDING)], name="newest"),  # the portal's list
        IndexModel([("state", ASCENDING), ("requested_at", ASCENDING)], name="due"),  # the scheduler's next run
    ],
}


def resolve_mongodb_uri(settings: Settings) -> str:
    """The connection string: the settings', else the embedded database's.

    Raises:
        EmbeddedDatabaseError: neither is there; says what to do.
    """
    if settings.mongodb_uri is not None:
        return settings.mongodb_uri.get_secret_value()
    file = embedded_database.uri_file(settings.data_directory / "database")
    if not file.exists():
        raise embedded_database.EmbeddedDatabaseError(
            "no database: set MONGODB_URI, or start the platform by ./scripts/start, which prepares the embedded one"
        )
    return file.read_text().strip()


def connect(settings: Settings) -> AsyncMongoClient[Document]:
    """A client for the configured database; it connects at the first query, and again after every outage."""
    return AsyncMongoClient(
        resolve_mongodb_uri(settings),
        tz_aware=True,
        serverSelectionTimeoutMS=SELECTION_TIMEOUT_MS,
        timeoutMS=OPERATION_TIMEOUT_MS,
        appname="flame-assistant",
    )


async def ensure_indexes(database: Database) -> None:
    """Make the indexes that are missing; safe to repeat."""
    for collection, indexes in INDEXES.items():
        await database[collection].create_indexes(indexes)


async def ensure_indexes_when_up(database: Database) -> None:
    """Make the indexes as soon as the database answers; waits for it as long as it takes."""
    told = False
    while True:
        try:
            await ensure_indexes(database)
        except PyMongoError as error:
            if not told:
                logger.warning("database did not answer", extra={"error": type(error).__name__})
                told = True
            await asyncio.sleep(RETRY_INTERVAL_S)
        else:
            logger.info("database was ready")
            return


async def is_up(database: Database) -> bool:
    """Whether the database answers a ping."""
    try:
        await database.command("ping")
    except PyMongoError:
        return False
    return True
