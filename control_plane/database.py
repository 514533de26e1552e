"""The database: how to connect, and the indexes, each with the query that it serves."""

import asyncio
import logging
from typing import Any

from pymongo import ASCENDING, DESCENDING, AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from control_plane.settings import Settings, resolve_mongodb_uri

logger = logging.getLogger(__name__)

Document = dict[str, Any]
Database = AsyncDatabase[Document]

# How long a request waits for a server that is down before it answers 503.
SELECTION_TIMEOUT_MS = 3_000
SOCKET_TIMEOUT_MS = 20_000
RETRY_S = 2.0
DAY_S = 24 * 3600


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
        connectTimeoutMS=SELECTION_TIMEOUT_MS,
        socketTimeoutMS=SOCKET_TIMEOUT_MS,
        waitQueueTimeoutMS=SELECTION_TIMEOUT_MS,
    )


async def ensure_indexes(database: Database) -> None:
    """Make the indexes that are not there yet; safe to repeat.

    Raises:
        PyMongoError: the server is down, or an index contradicts what is stored.
    """
    # The landing page: which client has this link?
    await database.clients.create_index([("slug", ASCENDING)], unique=True)
    # Creating a client: the index is the lock that keeps two clients from one port.
    await database.clients.create_index([("port", ASCENDING)], unique=True)
    # The internal API: which client does this token belong to?
    await database.clients.create_index([("runner_token_hash", ASCENDING)], unique=True)

    # Events: record a message once however often it is delivered; acknowledgements find it by the same two.
    await database.client_messages.create_index([("client_id", ASCENDING), ("message_id", ASCENDING)], unique=True)
    # Cleanup and "last messages": a client's messages by age.
    await database.client_messages.create_index([("client_id", ASCENDING), ("sent_at", DESCENDING)])
    # A conversation, newest message first.
    await database.client_messages.create_index(
        [("client_id", ASCENDING), ("chat_id", ASCENDING), ("sent_at", DESCENDING)]
    )
    # Events: one thread for each chat.
    await database.client_threads.create_index([("client_id", ASCENDING), ("chat_id", ASCENDING)], unique=True)
    # Cleanup and the list of conversations: a client's threads by age.
    await database.client_threads.create_index([("client_id", ASCENDING), ("last_activity_at", DESCENDING)])
    # Who answers in a chat, and the cleanup.
    await database.client_conversations.create_index([("client_id", ASCENDING), ("chat_id", ASCENDING)], unique=True)
    # The portal: which chats wait for a person?
    await database.client_conversations.create_index([("status", ASCENDING), ("client_id", ASCENDING)])
    # A code that nobody scanned goes away by itself, also when its runner died. `_id` is the client.
    await database.client_qr_codes.create_index([("expires_at", ASCENDING)], expireAfterSeconds=60)
    await database.client_link_codes.create_index([("expires_at", ASCENDING)], expireAfterSeconds=60)

    # The scheduler: which mails are due?
    await database.emails.create_index([("state", ASCENDING), ("next_attempt_at", ASCENDING)])
    # The portal: a client's newest mail.
    await database.emails.create_index([("client_id", ASCENDING), ("created_at", DESCENDING)])
    # The portal: a person's newest mail.
    await database.emails.create_index([("account_id", ASCENDING), ("created_at", DESCENDING)])

    # Log-in: one account for each name.
    await database.accounts.create_index([("username", ASCENDING)], unique=True)
    # Log-in by email: one account for each address, for those that have one.
    await database.accounts.create_index(
        [("email", ASCENDING)], unique=True, partialFilterExpression={"email": {"$type": "string"}}
    )
    # The people of a client, or of the agency.
    await database.accounts.create_index([("client_id", ASCENDING), ("created_at", ASCENDING)])
    # "Log out everywhere" when the password changes.
    await database.account_sessions.create_index([("account_id", ASCENDING)])
    # Sessions that are over go away by themselves. `_id` is the token's hash.
    await database.account_sessions.create_index([("expires_at", ASCENDING)], expireAfterSeconds=DAY_S)

    # Links of mails and steps of log-ins that are over go away by themselves; removing an account takes its own along.
    await database.account_tokens.create_index([("expires_at", ASCENDING)], expireAfterSeconds=60)
    await database.account_tokens.create_index([("account_id", ASCENDING)])
    # The keys of a client, or of the agency. `_id` is the key's hash.
    await database.account_api_keys.create_index([("client_id", ASCENDING), ("created_at", DESCENDING)])
    # Wrong attempts are forgotten after a day. `_id` is the subject's hash.
    await database.login_failures.create_index([("expires_at", ASCENDING)], expireAfterSeconds=60)

    # The scheduler: is a cleanup asked for? When was the last one?
    await database.cleanup_runs.create_index([("state", ASCENDING), ("requested_at", ASCENDING)])
    # The audit log, newest first and a page at a time (`_id` sorts by time), by each of its filters: who did it,
    # to which client, what, with which outcome, with which words. Days and retention are ranges of `_id`.
    for field in ("who", "target.client_id", "action", "outcome", "words"):
        await database.audit_events.create_index([(field, ASCENDING), ("_id", DESCENDING)])

    # The portal: the last runs.
    await database.cleanup_runs.create_index([("requested_at", DESCENDING)])

    # Events: what must not come back to this client? The portal: the last records.
    await database.erasures.create_index([("client_id", ASCENDING), ("done_at", ASCENDING)])
    await database.erasures.create_index([("requested_at", DESCENDING)])


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
