"""The collections `accounts`, `account_sessions` and `account_api_keys`."""

import secrets
from datetime import UTC, datetime

from pymongo.errors import DuplicateKeyError

from control_plane.accounts.models import Account, AccountSession
from control_plane.accounts.roles import Role
from control_plane.database import Database


class Accounts:
    """Who may log in, and who is."""

    def __init__(self, database: Database) -> None:
        self._accounts = database["accounts"]
        self._sessions = database["account_sessions"]
        self._api_keys = database["account_api_keys"]

    async def get(self, account_id: str) -> Account | None:
        """The account of that id."""
        document = await self._accounts.find_one({"_id": account_id})
        return Account(id=document["_id"], **_rest(document)) if document else None

    async def get_by_username(self, username: str) -> Account | None:
        """The account of that name."""
        document = await self._accounts.find_one({"username": username})
        return Account(id=document["_id"], **_rest(document)) if document else None

    async def insert(
        self,
        username: str,
        password_hash: str,
        *,
        must_change_password: bool,
        role: Role = Role.OWNER,
        client_id: str | None = None,
    ) -> bool:
        """Store a new account; False if the name is taken."""
        document = {
            "_id": secrets.token_hex(8),
            "username": username,
            "role": str(role),
            "client_id": client_id,
            "password_hash": password_hash,
            "must_change_password": must_change_password,
            "created_at": datetime.now(UTC),
        }
        try:
            await self._accounts.insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    async def set_password(self, account_id: str, password_hash: str, *, must_change_password: bool) -> None:
        """Replace the password and end every session of the account."""
        await self._accounts.update_one(
            {"_id": account_id},
            {"$set": {"password_hash": password_hash, "must_change_password": must_change_password}},
        )
        await self._sessions.delete_many({"account_id": account_id})

    async def insert_session(self, session: AccountSession) -> None:
        """Store a log-in."""
        document = session.model_dump()
        document["_id"] = document.pop("token_hash")
        await self._sessions.insert_one(document)

    async def get_session(self, token_hash: str, now: datetime) -> AccountSession | None:
        """The log-in of that token, if its time is not over."""
        document = await self._sessions.find_one({"_id": token_hash, "expires_at": {"$gt": now}})
        return AccountSession(token_hash=document["_id"], **_rest(document)) if document else None

    async def delete_session(self, token_hash: str) -> None:
        """End a log-in."""
        await self._sessions.delete_one({"_id": token_hash})

    async def insert_api_key(self, key_hash: str, account_id: str) -> None:
        """Store an API key's hash."""
        await self._api_keys.insert_one({"_id": key_hash, "account_id": account_id, "created_at": datetime.now(UTC)})

    async def get_by_api_key(self, key_hash: str) -> Account | None:
        """The account that an API key belongs to."""
        document = await self._api_keys.find_one({"_id": key_hash})
        return await self.get(document["account_id"]) if document else None


def _rest(document: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in document.items() if name != "_id"}
