"""The collections `client_sessions`, `client_qr_codes` and `client_link_codes`."""

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from control_plane.database import Database, Document
from control_plane.sessions.models import QRCode, Session, TypedCode

_NEWEST = "last_message_at"


class Sessions:
    """Every client's session: for lists and for the cleanup."""

    def __init__(self, database: Database) -> None:
        self._sessions = database["client_sessions"]
        self._codes = (database["client_qr_codes"], database["client_link_codes"])

    async def list(self, client_ids: Sequence[str] | None = None) -> dict[str, Session]:
        """Sessions by client id: of those clients, or all."""
        query = {} if client_ids is None else {"_id": {"$in": [*client_ids]}}
        return {document["_id"]: _session(document) async for document in self._sessions.find(query)}

    async def delete_expired_codes(self, now: datetime) -> int:
        """Delete codes past their time, to scan or to type; returns how many."""
        return sum([(await codes.delete_many({"expires_at": {"$lt": now}})).deleted_count for codes in self._codes])


class FenceOutdated(Exception):
    """A later process of the client's runner was given a greater number; nothing was written."""


class ClientSession:
    """One client's session; with a process's `fence` every write of the session is refused once a later one is known.

    Methods that write raise `FenceOutdated` then.
    """

    def __init__(self, database: Database, client_id: str, *, fence: int | None = None) -> None:
        self._fence = fence
        self._sessions = database["client_sessions"]
        self._codes = database["client_qr_codes"]
        self._link_codes = database["client_link_codes"]
        self.client_id = client_id

    async def get(self) -> Session:
        """The session; an empty one before the runner's first word."""
        document = await self._sessions.find_one({"_id": self.client_id})
        return _session(document) if document else Session(client_id=self.client_id)

    async def hand_out_fence(self) -> int:
        """A number greater than every earlier one."""
        own = {"_id": self.client_id}
        while True:
            known = await self._sessions.find_one(own, {"fence": 1})
            if known is None:
                # Its first one; made by another start at the same moment is as good.
                with contextlib.suppress(DuplicateKeyError):
                    await self._sessions.insert_one({**own, "fence": 0})
                continue
            before, fence = known.get("fence"), (known.get("fence") or 0) + 1
            raised = await self._sessions.update_one({**own, "fence": before}, {"$set": {"fence": fence}})
            if raised.matched_count:
                return int(fence)

    async def set(self, **values: Any) -> None:
        """Set fields and tell the pages; `last_message_at` only ever goes forward."""
        await self._set(values | {"updated_at": datetime.now(UTC)})

    async def hear(self, **values: Any) -> None:
        """Set fields that no page waits for, such as the heartbeat."""
        await self._set(values)

    async def _set(self, values: dict[str, Any]) -> None:
        document: dict[str, Any] = {"_id": self.client_id}
        if self._fence is not None:
            document["fence"] = {"$not": {"$gt": self._fence}}
            values = values | {"fence": self._fence}
        update = {"$set": {name: value for name, value in values.items() if name != _NEWEST}}
        if _NEWEST in values:
            update["$max"] = {_NEWEST: values[_NEWEST]}
        try:
            await self._sessions.update_one(document, update, upsert=True)
        except DuplicateKeyError as error:
            raise FenceOutdated from error

    async def get_code(self, now: datetime) -> QRCode | None:
        """The code that can still be scanned."""
        document = await self._codes.find_one({"_id": self.client_id, "expires_at": {"$gt": now}})
        return (
            QRCode(client_id=self.client_id, **{k: v for k, v in document.items() if k != "_id"}) if document else None
        )

    async def set_code(self, text: str, expires_at: datetime, version: int) -> None:
        """Replace the code."""
        await self._codes.update_one(
            {"_id": self.client_id},
            {"$set": {"text": text, "expires_at": expires_at, "version": version}},
            upsert=True,
        )

    async def delete_code(self) -> None:
        """Forget the code."""
        await self._codes.delete_one({"_id": self.client_id})

    async def get_link_code(self, now: datetime) -> TypedCode | None:
        """The code that can still be typed."""
        document = await self._link_codes.find_one({"_id": self.client_id, "expires_at": {"$gt": now}})
        return (
            TypedCode(client_id=self.client_id, text=document["text"], expires_at=document["expires_at"])
            if document
            else None
        )

    async def set_link_code(self, text: str, expires_at: datetime) -> None:
        """Replace the code to type."""
        await self._link_codes.update_one(
            {"_id": self.client_id}, {"$set": {"text": text, "expires_at": expires_at}}, upsert=True
        )

    async def delete_link_code(self) -> None:
        """Forget the code to type."""
        await self._link_codes.delete_one({"_id": self.client_id})

    async def delete(self) -> None:
        """Forget the session."""
        await self._sessions.delete_one({"_id": self.client_id})
        await self.delete_code()
        await self.delete_link_code()


def _session(document: Document) -> Session:
    return Session(client_id=document["_id"], **{name: value for name, value in document.items() if name != "_id"})
