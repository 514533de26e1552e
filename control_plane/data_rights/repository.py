"""The collection `erasures`, and what there is to export of one client."""

import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING, ReturnDocument

from control_plane.data_rights.models import (
    Deleted,
    Erasure,
    ErasureState,
    Holdings,
    PendingErasure,
    hash_address,
)
from control_plane.database import Database, Document

# A delivery that was on its way when an erasure ended arrives within minutes.
LATE_DELIVERY = timedelta(hours=1)
# The web process may still be writing what came before the request.
SETTLE = timedelta(seconds=6)
READ_AT_ONCE = 500
GROUP_SUFFIX = "@g.us"


class Erasures:
    """Erasures: asked for, tried, done.

    Args:
        only: the one client whose erasures whoever asks may see; None for all.
    """

    def __init__(self, database: Database, *, only: str | None = None) -> None:
        self._collection = database["erasures"]
        self._seen: Document = {} if only is None else {"client_id": only}

    async def request(
        self,
        client_id: str,
        chat_ids: tuple[str, ...],
        *,
        hint: str,
        requested_by: str,
        at: datetime,
        before: Holdings,
    ) -> Erasure:
        """Ask for a contact's erasure; one that waits already covers what came since."""
        of_client = {"subject": "contact", "client_id": client_id, "done_at": None}
        later = {"$max": {"requested_at": at, "next_attempt_at": at + SETTLE}}
        # Once its messages are gone nobody knows any more that two addresses are one person: the record does.
        waiting = await self._collection.find_one_and_update(
            {**of_client, "chat_ids": {"$all": list(chat_ids)}}, later, return_document=ReturnDocument.AFTER
        )
        if waiting is not None:
            return _erasure(waiting)
        key = {"subject": "contact", "client_id": client_id, "chat_ids": sorted(chat_ids)}
        salt = secrets.token_hex(16)
        new = {
            "_id": secrets.token_hex(8),
            "hint": hint,
            "salt": salt,
            "contact_hashes": [hash_address(salt, chat_id) for chat_id in sorted(chat_ids)],
            "requested_by": requested_by,
            "state": str(ErasureState.REQUESTED),
            "attempts": 0,
            "before": before.model_dump(),
            "deleted": Deleted().model_dump(),
        }
        document = await self._collection.find_one_and_update(
            key,
            {"$setOnInsert": new, **later},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return _erasure(document)

    async def request_client(self, client_id: str, *, requested_by: str | None, before: Holdings) -> None:
        """Note that a client is being deleted with everything it has; the reconciler does it. Once for each client."""
        now = datetime.now(UTC)
        new = {
            "subject": "client",
            "client_id": client_id,
            "requested_by": requested_by,
            "requested_at": now,
            "state": str(ErasureState.WAITING),
            "before": before.model_dump(),
        }
        await self._collection.update_one({"_id": f"client-{client_id}"}, {"$setOnInsert": new}, upsert=True)

    async def finish_client(self, client_id: str, after: Holdings) -> None:
        """A client is gone."""
        values = {"state": str(ErasureState.DONE), "done_at": datetime.now(UTC), "after": after.model_dump()}
        await self._collection.update_one({"_id": f"client-{client_id}", "done_at": None}, {"$set": values})

    async def due(self, now: datetime) -> list[PendingErasure]:
        """Contacts' erasures whose time has come, oldest first."""
        query = {"subject": "contact", "done_at": None, "next_attempt_at": {"$lte": now}}
        cursor = self._collection.find(query).sort("requested_at", ASCENDING)
        return [PendingErasure(id=document["_id"], **_rest(document)) async for document in cursor]

    async def add(self, erasure_id: str, deleted: Deleted) -> None:
        """Count what an attempt deleted."""
        increments = {f"deleted.{name}": value for name, value in deleted.model_dump().items()}
        await self._collection.update_one({"_id": erasure_id}, {"$inc": {"attempts": 1, **increments}})

    async def postpone(self, erasure_id: str, detail: str, until: datetime) -> None:
        """Something is left: say why, and when it is tried again."""
        values = {"state": str(ErasureState.WAITING), "detail": detail, "next_attempt_at": until}
        await self._collection.update_one({"_id": erasure_id}, {"$set": values})

    async def finish(self, erasure_id: str, after: Holdings) -> None:
        """Everything is gone: from here on the record does not know whose it was."""
        now = datetime.now(UTC)
        values = {"state": str(ErasureState.DONE), "done_at": now, "after": after.model_dump(), "detail": None}
        await self._collection.update_one(
            {"_id": erasure_id}, {"$set": values, "$unset": {"chat_ids": "", "next_attempt_at": ""}}
        )

    async def drop_pending(self, client_id: str) -> None:
        """The client itself is gone, and its contacts' data with it: what was asked for is done."""
        now = datetime.now(UTC)
        values = {"state": str(ErasureState.DONE), "done_at": now, "after": Holdings().model_dump(), "detail": None}
        await self._collection.update_many(
            {"client_id": client_id, "subject": "contact", "done_at": None},
            {"$set": values, "$unset": {"chat_ids": "", "next_attempt_at": ""}},
        )

    async def get(self, erasure_id: str) -> Erasure | None:
        """The record of that id."""
        document = await self._collection.find_one({"_id": erasure_id} | self._seen)
        return _erasure(document) if document else None

    async def list(self, limit: int = 200) -> list[Erasure]:
        """The last records, newest first."""
        cursor = self._collection.find(self._seen).sort("requested_at", DESCENDING).limit(limit)
        return [_erasure(document) async for document in cursor]

    async def tombstones(self, client_id: str, now: datetime) -> "Tombstones":
        """What must not come back to a client by events that are still on their way."""
        late = {"$or": [{"done_at": None}, {"done_at": {"$gt": now - LATE_DELIVERY}}]}
        cursor = self._collection.find({"client_id": client_id, "subject": "contact", **late})
        return Tombstones([_erasure(document) async for document in cursor])


class Tombstones:
    """The chats of a client that were erased lately, each up to the moment at which that was asked for."""

    def __init__(self, erasures: list[Erasure]) -> None:
        self._erasures = erasures

    def cover(self, chat_id: str | None, at: datetime) -> bool:
        """Whether something that happened in a chat at that moment was erased."""
        return chat_id is not None and any(
            at <= erasure.requested_at and hash_address(erasure.salt, chat_id) in erasure.contact_hashes
            for erasure in self._erasures
        )


class ClientData:
    """Everything that the database has of one client, as stored, read without holding it all in memory."""

    def __init__(self, database: Database, client_id: str) -> None:
        self._database = database
        self._key = {"client_id": client_id}

    async def addresses_of(self, chat_id: str) -> tuple[str, ...]:
        """Every chat of the person of a chat: WhatsApp knows one by a number, by an opaque id, or by both."""
        digits, _, kind = chat_id.partition("@")
        phones = {digits} if kind in ("c.us", "s.whatsapp.net") else set()
        addresses = {chat_id}
        if kind == "g.us":
            return (chat_id,)
        async for phone in self._distinct("contact_phone", {"chat_id": chat_id}):
            phones.add(phone)
        for phone in sorted(filter(None, phones)):
            addresses.add(f"{phone}@c.us")
            async for address in self._distinct("chat_id", {"contact_phone": phone}):
                addresses.add(address)
        return tuple(sorted(address for address in addresses if not address.endswith(GROUP_SUFFIX)))

    async def phone_of(self, chat_id: str) -> str | None:
        """The number of a chat's contact, if it is known."""
        document = await self._database["client_messages"].find_one(
            {**self._key, "chat_id": chat_id, "contact_phone": {"$ne": None}}, {"contact_phone": 1}
        )
        return document["contact_phone"] if document else None

    async def chat_ids(self) -> AsyncIterator[str]:
        """Every chat of which there is anything."""
        seen: set[str] = set()
        for collection in ("client_chats", "client_conversations", "client_threads"):
            async for chat_id in self._distinct("chat_id", {}, collection):
                if chat_id not in seen:
                    seen.add(chat_id)
                    yield chat_id

    async def _distinct(
        self, field: str, query: dict[str, Any], collection: str = "client_messages"
    ) -> AsyncIterator[str]:
        pipeline: list[dict[str, Any]] = [
            {"$match": {**self._key, **query, field: {"$ne": None}}},
            {"$group": {"_id": f"${field}"}},
            {"$sort": {"_id": ASCENDING}},
        ]
        async for group in await self._database[collection].aggregate(pipeline):
            yield str(group["_id"])

    async def messages(self, chat_id: str) -> AsyncIterator[Document]:
        """A chat's messages, oldest first."""
        order = [("sent_at", ASCENDING), ("sequence", ASCENDING)]
        cursor = self._database["client_messages"].find({**self._key, "chat_id": chat_id}).sort(order)
        async for document in cursor.batch_size(READ_AT_ONCE):
            yield document

    async def one(self, collection: str, chat_id: str) -> Document | None:
        """The document of a chat in `client_threads` or `client_conversations`."""
        return await self._database[collection].find_one({**self._key, "chat_id": chat_id})

    async def mails(self) -> AsyncIterator[Document]:
        """The client's mails, oldest first; their texts are not stored."""
        async for document in self._database["emails"].find(self._key).sort("created_at", ASCENDING):
            yield document

    async def count(self) -> Holdings:
        """How much there is of the client."""
        return Holdings(
            messages=await self._database["client_messages"].count_documents(self._key),
            threads=await self._database["client_threads"].count_documents(self._key),
            chat_statuses=await self._database["client_conversations"].count_documents(self._key),
            mails=await self._database["emails"].count_documents(self._key),
        )

    async def count_chats(self, chat_ids: tuple[str, ...], before: datetime) -> Holdings:
        """How much some chats have until a moment."""
        query = {**self._key, "chat_id": {"$in": list(chat_ids)}}
        past = {"$lte": before}
        return Holdings(
            messages=await self._database["client_messages"].count_documents({**query, "sent_at": past}),
            threads=await self._database["client_threads"].count_documents({**query, "last_activity_at": past}),
            chat_statuses=await self._database["client_conversations"].count_documents({**query, "at": past}),
        )

    async def delete_chats(self, chat_ids: tuple[str, ...], before: datetime) -> None:
        """Delete what some chats have until a moment; the assistant's threads whatever their age."""
        query = {**self._key, "chat_id": {"$in": list(chat_ids)}}
        await self._database["client_messages"].delete_many({**query, "sent_at": {"$lte": before}})
        await self._database["client_chats"].delete_many({**query, "newest.at": {"$lte": before}})
        await self._database["client_conversations"].delete_many({**query, "at": {"$lte": before}})
        await self._database["client_threads"].delete_many({**query, "last_activity_at": {"$lte": before}})


def _rest(document: Document) -> Document:
    return {name: value for name, value in document.items() if name != "_id"}


def _erasure(document: Document | None) -> Erasure:
    assert document is not None  # noqa: S101 - an upsert returns what it made
    return Erasure(id=document["_id"], **_rest(document))
