"""Keys of programs: the collection `account_api_keys`, and what is done with it."""

import logging
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pymongo import DESCENDING, ReturnDocument

from control_plane.accounts.models import Account, ApiKey
from control_plane.accounts.roles import Role
from control_plane.audit.act import NOTHING, current_act
from control_plane.database import Database, Document
from control_plane.errors import NotFound
from control_plane.security import hash_token, hint, new_token

logger = logging.getLogger(__name__)

MAX_NAME_CHARS = 60
_USE_WRITTEN_EVERY = timedelta(seconds=60)


class ApiKeyNotFound(NotFound):
    """There is no such API key; it may have been revoked."""

    type = "/problems/api-key-not-found"
    title = "No such API key"


class ApiKeys:
    """The keys; each is stored as its hash."""

    def __init__(self, database: Database) -> None:
        self._keys = database["account_api_keys"]

    async def insert(self, key_hash: str, key: ApiKey) -> None:
        """Store a new key."""
        document = key.model_dump()
        document["scopes"] = None if key.scopes is None else sorted(key.scopes)
        await self._keys.insert_one({"_id": key_hash, **document})

    async def find(self, key_hash: str, now: datetime) -> ApiKey | None:
        """The key of that hash; notes that it was used."""
        key = _key(await self._keys.find_one({"_id": key_hash}))
        if key and (key.last_used_at is None or now - key.last_used_at > _USE_WRITTEN_EVERY):
            changed = {"$set": {"last_used_at": now}}
            return _key(
                await self._keys.find_one_and_update({"_id": key_hash}, changed, return_document=ReturnDocument.AFTER)
            )
        return key

    async def list(self, client_id: str | None) -> list[ApiKey]:
        """The keys of a client, or those of the whole agency; newest first."""
        cursor = self._keys.find({"client_id": client_id}).sort("created_at", DESCENDING)
        return [ApiKey.model_validate(document) async for document in cursor]

    async def delete(self, key_id: str, client_id: str | None) -> bool:
        """Forget a key of that client or of the agency; whether there was one."""
        return (await self._keys.delete_one({"id": key_id, "client_id": client_id})).deleted_count == 1

    async def delete_of_client(self, client_id: str) -> None:
        """Forget the keys of a client."""
        await self._keys.delete_many({"client_id": client_id})


def _key(document: Document | None) -> ApiKey | None:
    return ApiKey.model_validate(document) if document else None


async def create_api_key(
    *,
    keys: ApiKeys,
    name: str = "create-api-key",
    scopes: Iterable[str] | None = None,
    client_id: str | None = None,
    made_by: str | None = None,
) -> str:
    """Make a key; it is shown once and stored as a hash.

    Args:
        scopes: what it is good for; None for everything.
        client_id: the one client that it opens; None for the whole agency.
    """
    secret = f"flame_{new_token()}"
    key = ApiKey(
        id=secrets.token_hex(8),
        name=name,
        hint=hint(secret),
        scopes=None if scopes is None else frozenset(map(str, scopes)),
        client_id=client_id,
        made_by=made_by,
        created_at=datetime.now(UTC),
    )
    await keys.insert(hash_token(secret), key)
    current_act().about(key_id=key.id, key_name=name)
    current_act().changed(NOTHING, {"scopes": " ".join(sorted(key.scopes)) if key.scopes is not None else "*"})
    logger.info("API key was made", extra={"key_id": key.id, "client_id": client_id})
    return secret


async def authenticate_key(secret: str, *, keys: ApiKeys) -> ApiKey | None:
    """The key that was sent, if it is one."""
    return await keys.find(hash_token(secret), datetime.now(UTC))


async def revoke_key(key_id: str, client_id: str | None, *, keys: ApiKeys) -> None:
    """Have a key open nothing any more, from the next request on.

    Raises:
        ApiKeyNotFound: the client, or the agency, has no such key (404).
    """
    if not await keys.delete(key_id, client_id):
        raise ApiKeyNotFound
    logger.info("API key was revoked", extra={"key_id": key_id, "client_id": client_id})


def holder(key: ApiKey) -> Account:
    """Who asks when a key does: somebody with the client's highest role, or an admin of the agency."""
    return Account(
        id=f"key-{key.id}",
        username=f"API key {key.name}",
        role=Role.ADMIN if key.client_id is None else Role.CLIENT_ADMIN,
        client_id=key.client_id,
        password_hash=None,
        must_change_password=False,
        created_at=key.created_at,
    )
