"""The collections `accounts`, `account_sessions` and `account_tokens`."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from control_plane.accounts.models import Account, AccountSession, TokenKind
from control_plane.accounts.roles import Role
from control_plane.database import Database, Document

# A session's last use is worth a write once in a minute.
USE_WRITTEN_EVERY = timedelta(seconds=60)
KNOWN_ADDRESSES = 5


class Accounts:
    """Who may log in, and who is."""

    def __init__(self, database: Database) -> None:
        self._accounts = database["accounts"]
        self._sessions = database["account_sessions"]
        self._tokens = database["account_tokens"]

    # -------------------------------------------------------------------------------------------- people

    async def get(self, account_id: str) -> Account | None:
        """The account of that id."""
        return _account(await self._accounts.find_one({"_id": account_id}))

    async def get_by_username(self, username: str) -> Account | None:
        """The account of that name."""
        return _account(await self._accounts.find_one({"username": username}))

    async def get_by_email(self, email: str) -> Account | None:
        """The account of that address, in lower case."""
        return _account(await self._accounts.find_one({"email": email}))

    async def list_people(self, client_id: str | None) -> list[Account]:
        """The people of a client, or the agency's; in the order in which they came."""
        cursor = self._accounts.find({"client_id": client_id}).sort("created_at", ASCENDING)
        return [Account(id=document["_id"], **_rest(document)) async for document in cursor]

    async def count_active_owners(self, *, without: str) -> int:
        """How many owners can log in, that one left aside."""
        query = {"role": str(Role.OWNER), "_id": {"$ne": without}, "password_hash": {"$ne": None}}
        return await self._accounts.count_documents({**query, "disabled": {"$ne": True}})

    async def insert(
        self,
        username: str,
        password_hash: str | None,
        *,
        must_change_password: bool,
        role: Role = Role.OWNER,
        client_id: str | None = None,
        email: str | None = None,
        language: str = "es",
    ) -> bool:
        """Store a new account; False if the name or the address is taken."""
        document = {
            "_id": secrets.token_hex(8),
            "username": username,
            "email": email,
            "role": str(role),
            "client_id": client_id,
            "password_hash": password_hash,
            "must_change_password": must_change_password,
            "language": language,
            "created_at": datetime.now(UTC),
        }
        try:
            await self._accounts.insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    async def update(self, account_id: str, **values: Any) -> bool:
        """Store values; False if a name or an address of theirs is taken."""
        try:
            await self._accounts.update_one({"_id": account_id}, {"$set": values})
        except DuplicateKeyError:
            return False
        return True

    async def accept(self, account_id: str, username: str, password_hash: str) -> bool | None:
        """Give an invited person a name and a password, once.

        Returns:
            Whether the name was free; None if the invitation was accepted before.
        """
        values = {"username": username, "password_hash": password_hash, "must_change_password": False}
        try:
            done = await self._accounts.update_one({"_id": account_id, "password_hash": None}, {"$set": values})
        except DuplicateKeyError:
            return False
        return True if done.matched_count else None

    async def set_password(self, account_id: str, password_hash: str, *, must_change_password: bool) -> None:
        """Replace the password and end every session of the account."""
        await self.update(account_id, password_hash=password_hash, must_change_password=must_change_password)
        await self.delete_sessions(account_id)

    async def delete(self, account_id: str) -> None:
        """Forget the account and all that opens it."""
        await self.delete_sessions(account_id)
        await self._tokens.delete_many({"account_id": account_id})
        await self._accounts.delete_one({"_id": account_id})

    async def delete_of_client(self, client_id: str) -> None:
        """Forget the people of a client."""
        for account in await self.list_people(client_id):
            await self.delete(account.id)

    async def remember_address(self, account_id: str, address: str) -> None:
        """The account logged in from there."""
        await self._accounts.update_one({"_id": account_id}, {"$pull": {"known_addresses": address}})
        newest = {"$each": [address], "$slice": -KNOWN_ADDRESSES}
        await self._accounts.update_one({"_id": account_id}, {"$push": {"known_addresses": newest}})

    async def use_totp_step(self, account_id: str, step: int) -> bool:
        """Mark the code of that half minute as used; False if it, or a later one, was."""
        unused = {"_id": account_id, "$or": [{"totp_step": None}, {"totp_step": {"$lt": step}}]}
        return (await self._accounts.update_one(unused, {"$set": {"totp_step": step}})).matched_count == 1

    async def use_recovery_code(self, account_id: str, code_hash: str) -> bool:
        """Mark a recovery code as used; False if it is none that is left."""
        query = {"_id": account_id, "recovery_hashes": code_hash}
        return (await self._accounts.update_one(query, {"$pull": {"recovery_hashes": code_hash}})).modified_count == 1

    # -------------------------------------------------------------------------------------------- sessions

    async def insert_session(self, session: AccountSession) -> None:
        """Store a log-in."""
        document = session.model_dump()
        document["_id"] = document.pop("token_hash")
        await self._sessions.insert_one(document)

    async def get_session(self, token_hash: str, now: datetime) -> AccountSession | None:
        """The log-in of that token, if its time is not over; notes that it was used."""
        query = {"_id": token_hash, "expires_at": {"$gt": now}}
        session = _session(await self._sessions.find_one(query))
        if session and (session.last_used_at is None or now - session.last_used_at > USE_WRITTEN_EVERY):
            await self._sessions.update_one(query, {"$set": {"last_used_at": now}})
        return session

    async def list_sessions(self, account_id: str, now: datetime) -> list[AccountSession]:
        """The log-ins of an account that are not over, newest first."""
        query = {"account_id": account_id, "expires_at": {"$gt": now}}
        cursor = self._sessions.find(query).sort("created_at", DESCENDING)
        return [AccountSession(token_hash=document["_id"], **_rest(document)) async for document in cursor]

    async def rotate_refresh(
        self, session_id: str, old_hash: str, new_hash: str, now: datetime
    ) -> AccountSession | None:
        """Exchange a program's refresh token, once; None if that is not the current one."""
        query = {"_id": session_id, "refresh_hash": old_hash, "expires_at": {"$gt": now}}
        change = {"$set": {"refresh_hash": new_hash, "last_used_at": now}}
        return _session(await self._sessions.find_one_and_update(query, change, return_document=ReturnDocument.AFTER))

    async def delete_session(self, token_hash: str) -> bool:
        """End a log-in; whether there was one."""
        return (await self._sessions.delete_one({"_id": token_hash})).deleted_count == 1

    async def delete_sessions(self, account_id: str, *, but: str | None = None) -> None:
        """End the log-ins of an account, all or all but one."""
        await self._sessions.delete_many({"account_id": account_id, "_id": {"$ne": but}})

    # -------------------------------------------------------------------------------------------- one-time tokens

    async def insert_token(self, token_hash: str, kind: TokenKind, account_id: str, expires_at: datetime) -> None:
        """Store the hash of a one-time token."""
        await self._tokens.insert_one(
            {"_id": token_hash, "kind": str(kind), "account_id": account_id, "expires_at": expires_at}
        )

    async def find_token(self, token_hash: str, kind: TokenKind, now: datetime) -> str | None:
        """The account of a token that still works."""
        query = {"_id": token_hash, "kind": str(kind), "expires_at": {"$gt": now}}
        document = await self._tokens.find_one(query)
        return str(document["account_id"]) if document else None

    async def take_token(self, token_hash: str, kind: TokenKind, now: datetime) -> str | None:
        """Use a token up: the account that it was for, for one of those who ask at once."""
        query = {"_id": token_hash, "kind": str(kind), "expires_at": {"$gt": now}}
        document = await self._tokens.find_one_and_delete(query)
        return str(document["account_id"]) if document else None

    async def delete_tokens(self, account_id: str) -> None:
        """None of the account's one-time tokens works any more."""
        await self._tokens.delete_many({"account_id": account_id})


def _account(document: Document | None) -> Account | None:
    return Account(id=document["_id"], **_rest(document)) if document else None


def _session(document: Document | None) -> AccountSession | None:
    return AccountSession(token_hash=document["_id"], **_rest(document)) if document else None


def _rest(document: Document) -> Document:
    return {name: value for name, value in document.items() if name != "_id"}
