"""The database: how to connect, and the indexes, each with the query that it serves."""

import asyncio
import logging
import sys
from collections.abc import Awaitable
from typing import Any

import pymongo.lock
from pymongo import ASCENDING, DESCENDING, AsyncMongoClient, IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from control_plane.settings import Settings, resolve_mongodb_uri

logger = logging.getLogger(__name__)

Document = dict[str, Any]
Database = AsyncDatabase[Document]

# How long a request waits for a server that is down before it answers 503.
SELECTION_TIMEOUT_MS = 3_000
# A server that has too much to do for some seconds is not down: whoever needs another connection waits for it.
CONNECT_TIMEOUT_MS = 10_000
QUEUE_TIMEOUT_MS = 10_000
SOCKET_TIMEOUT_MS = 20_000
RETRY_S = 2.0
DAY_S = 24 * 3600


async def _wait_for(awaitable: Awaitable[Any], timeout: float | None) -> Any:  # noqa: ASYNC109 (its name there)
    async with asyncio.timeout(timeout):
        return await awaitable


if sys.version_info < (3, 12):
    # Python's own has a task wait for the driver's condition until 3.12. Whoever is cancelled while that task takes the
    # driver's lock again leaves it behind with the lock: no query of this process is ever answered any more.
    pymongo.lock.wait_for = _wait_for  # type: ignore[attr-defined, assignment]


def connect(settings: Settings) -> AsyncMongoClient[Document]:
    """A client of the database's server; connects with the first query, so it may be down now.

    Raises:
        DatabaseNotPrepared: no address is known.
    """
    return AsyncMongoClient(
        resolve_mongodb_uri(settings),
        tz_aware=True,
        appname="flame-assistant",
        serverSelectionTimeoutMS=SELECTION_TIMEOUT_MS,
        connectTimeoutMS=CONNECT_TIMEOUT_MS,
        socketTimeoutMS=SOCKET_TIMEOUT_MS,
        waitQueueTimeoutMS=QUEUE_TIMEOUT_MS,
    )


def _index(*fields: str, **options: Any) -> IndexModel:
    """An index by fields in this order; a minus before one means newest first."""
    keys = [(field.lstrip("-"), DESCENDING if field.startswith("-") else ASCENDING) for field in fields]
    return IndexModel(keys, **options)


INDEXES: dict[str, list[IndexModel]] = {
    "clients": [
        # The landing page: which client has this link?
        _index("slug", unique=True),
        # Creating a client: the index is the lock that keeps two clients from one port.
        _index("port", unique=True),
        # The internal API: which client does this token belong to?
        _index("runner_token_hash", unique=True),
        # The list of clients: who was made or changed since the last overview?
        _index("updated_at"),
    ],
    "client_messages": [
        # Events: record a message once however often it is delivered; acknowledgements find it by the same two.
        _index("message_id", "client_id", unique=True),
        # Cleanup: a client's messages by age.
        _index("client_id", "-sent_at"),
        # A conversation, newest message first; cleanup, chat by chat.
        _index("client_id", "chat_id", "-sent_at", "-sequence"),
    ],
    # The list of chats, the one with the newest message first; cleanup and erasure.
    "client_chats": [_index("client_id", "-newest.at", "-chat_id")],
    "client_threads": [
        # Events: one thread for each chat.
        _index("client_id", "chat_id", unique=True),
        # Cleanup and the list of conversations: a client's threads by age.
        _index("client_id", "-last_activity_at"),
    ],
    "client_conversations": [
        # Who answers in a chat, and the cleanup.
        _index("client_id", "chat_id", unique=True),
        # The portal: which chats wait for a person?
        _index("status", "client_id"),
    ],
    # A code that nobody scanned goes away by itself, also when its runner died. `_id` is the client.
    "client_qr_codes": [_index("expires_at", expireAfterSeconds=60)],
    "client_link_codes": [_index("expires_at", expireAfterSeconds=60)],
    "emails": [
        # The scheduler: which mails are due?
        _index("state", "next_attempt_at"),
        # The portal: a client's newest mail, a person's newest mail.
        _index("client_id", "-created_at"),
        _index("account_id", "-created_at"),
    ],
    "accounts": [
        # Log-in: one account for each name.
        _index("username", unique=True),
        # Log-in by email: one account for each address, for those that have one.
        _index("email", unique=True, partialFilterExpression={"email": {"$type": "string"}}),
        # The people of a client, or of the agency.
        _index("client_id", "created_at"),
    ],
    "account_sessions": [
        # "Log out everywhere" when the password changes.
        _index("account_id"),
        # Sessions that are over go away by themselves. `_id` is the token's hash.
        _index("expires_at", expireAfterSeconds=DAY_S),
    ],
    "account_tokens": [
        # Links of mails and steps of log-ins that are over go away by themselves; an account takes its own along.
        _index("expires_at", expireAfterSeconds=60),
        _index("account_id"),
    ],
    # The keys of a client, or of the agency. `_id` is the key's hash.
    "account_api_keys": [_index("client_id", "-created_at")],
    # Wrong attempts are forgotten after a day. `_id` is the subject's hash.
    "login_failures": [_index("expires_at", expireAfterSeconds=60)],
    "cleanup_runs": [
        # The scheduler: is a cleanup asked for? When was the last one?
        _index("state", "requested_at"),
        # The portal: the last runs.
        _index("-requested_at"),
    ],
    # The audit log, newest first and a page at a time (`_id` sorts by time), by each of its filters: who did it,
    # to which client, what, with which outcome, with which words. Days and retention are ranges of `_id`.
    "audit_events": [_index(field, "-_id") for field in ("who", "target.client_id", "action", "outcome", "words")],
    "erasures": [
        # Events: what must not come back to this client?
        _index("client_id", "done_at"),
        # The portal: the last records.
        _index("-requested_at"),
    ],
}

# Those of older versions that no query uses any more, by name.
RETIRED_INDEXES = {"client_messages": ("client_id_1_message_id_1", "client_id_1_chat_id_1_sent_at_-1")}


async def ensure_indexes(database: Database) -> None:
    """Make the indexes that are not there yet, then drop the retired ones; safe to repeat.

    Raises:
        PyMongoError: the server is down, or an index contradicts what is stored.
    """
    for collection, indexes in INDEXES.items():
        await database[collection].create_indexes(indexes)
    for collection, names in RETIRED_INDEXES.items():
        for name in (await database[collection].index_information()).keys() & set(names):
            await database[collection].drop_index(name)


async def ensure_indexes_in_time(database: Database) -> None:
    """Make the indexes as soon as the server answers; retries for ever."""
    while True:
        try:
            await ensure_indexes(database)
        except PyMongoError as error:
            logger.warning("indexes could not be made yet", extra={"error": type(error).__name__})
            await asyncio.sleep(RETRY_S)
        else:
            logger.info("indexes were ensured")
            return
