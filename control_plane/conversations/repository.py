"""The collections `client_messages`, `client_chats`, `client_threads` and `client_conversations`, of one client."""

import contextlib
from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, DuplicateKeyError

from control_plane.conversations.models import Chat, ChatStatus, Message
from control_plane.conversations.pace import Pace
from control_plane.database import Database, Document
from tenant_runner.contract import MessageAcknowledged, MessageChanged, MessageRecorded, ThreadChanged

# An acknowledgement only ever goes forward; what was given up may still turn out to have arrived.
ACK_ORDER = ("pending", "unknown", "failed", "server", "delivered", "read")
WAITING = "waiting_for_human"
EMOJI_CHARS = 32
DUPLICATE_KEY = 11_000
END_OF_TIME = datetime.max.replace(tzinfo=UTC)


async def count_waiting(database: Database, client_ids: Sequence[str] | None = None) -> dict[str, int]:
    """How many chats wait for a person, by client id: of those clients, or all."""
    which: Document = {} if client_ids is None else {"client_id": {"$in": [*client_ids]}}
    pipeline: list[dict[str, Any]] = [
        {"$match": {"status": WAITING, **which}},
        {"$group": {"_id": "$client_id", "chats": {"$sum": 1}}},
    ]
    return {group["_id"]: group["chats"] async for group in await database["client_conversations"].aggregate(pipeline)}


class Conversations:
    """One client's messages, chats, threads and chat statuses."""

    def __init__(self, database: Database, client_id: str) -> None:
        self._messages = database["client_messages"]
        self._chats = database["client_chats"]
        self._threads = database["client_threads"]
        self._statuses = database["client_conversations"]
        self.client_id = client_id

    # ------------------------------------------------------------------------------------------ written by events

    async def record(
        self, messages: Sequence[tuple[MessageRecorded, int]], acknowledged: Sequence[MessageAcknowledged] = ()
    ) -> None:
        """Store messages once, and move acknowledgements forward, of these and of others.

        A repeated delivery may complete a message, never double it nor undo what changed since.

        Args:
            messages: each with the sequence of the event that told it first, which orders messages of one second: the
                clock of WhatsApp is no finer.
        """
        acks: dict[str, int] = {}
        for each in acknowledged:
            acks[each.message_id] = max(acks.get(each.message_id, 0), ACK_ORDER.index(each.ack))
        if messages:
            await self._record([self._to_document(message, sequence) for message, sequence in messages], acks)
        await self._acknowledge(acks)

    async def _record(self, documents: list[Document], acks: dict[str, int]) -> None:
        """Store documents; those that are new take their acknowledgement along, which is a write less for each."""
        for document in documents:
            if (rank := acks.get(document["message_id"])) is not None:
                document["ack"] = ACK_ORDER[rank]
        repeated: set[int] = set()
        try:
            await self._messages.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            errors = error.details["writeErrors"]
            if any(each["code"] != DUPLICATE_KEY for each in errors):
                raise
            repeated = {each["index"] for each in errors}
        for index, document in enumerate(documents):
            if index not in repeated:
                acks.pop(document["message_id"], None)
                continue
            # The first delivery numbered it, and it may have got further since.
            values = {name: value for name, value in document.items() if name not in ("_id", "sequence", "ack")}
            key = self._key(document["message_id"])
            await self._messages.update_one({**key, "changed": {"$ne": True}}, {"$set": values})
        await self.enlist(documents)

    def _key(self, message_id: str) -> Document:
        # In the order of the index: there are databases that look at the first field alone.
        return {"message_id": message_id, "client_id": self.client_id}

    def _to_document(self, message: MessageRecorded, sequence: int) -> Document:
        values = message.model_dump(exclude={"event", "message_id"}, exclude_none=True)
        return {
            **self._key(message.message_id),
            **values,
            "in_reply_to": list(message.in_reply_to),
            "sequence": sequence,
        }

    async def enlist(self, documents: Sequence[Document]) -> None:
        """Have the list of chats know messages as stored: of each chat the newest one, and who the contact is."""
        chats: dict[str, Document] = {}
        for document in documents:
            newest = {"at": document["sent_at"], "sequence": document.get("sequence", 0), "id": document["message_id"]}
            known = chats.setdefault(document["chat_id"], {"newest": newest})
            if _rank(newest) > _rank(known["newest"]):
                known["newest"] = newest
            known |= {name: document[name] for name in ("contact_name", "contact_phone") if document.get(name)}
        updates = [
            UpdateOne(
                {"_id": f"{self.client_id} {chat_id}"},
                {
                    "$max": {"newest": chat.pop("newest")},
                    "$set": {"client_id": self.client_id, "chat_id": chat_id, **chat},
                },
                upsert=True,
            )
            for chat_id, chat in chats.items()
        ]
        await self._chats.bulk_write(updates, ordered=False)

    async def enlist_stored(self) -> None:
        """Have the list of chats know every message that is stored."""
        pipeline: list[Document] = [
            {"$match": {"client_id": self.client_id}},
            # In the order of an index.
            {"$sort": {"client_id": ASCENDING, "chat_id": ASCENDING, "sent_at": DESCENDING, "sequence": DESCENDING}},
            {
                "$group": {
                    "_id": "$chat_id",
                    "newest": {"$first": "$$ROOT"},
                    "contact_name": {"$max": "$contact_name"},
                    "contact_phone": {"$max": "$contact_phone"},
                }
            },
        ]
        async for group in await self._messages.aggregate(pipeline):
            contact = {name: group[name] for name in ("contact_name", "contact_phone")}
            await self.enlist([{**group["newest"], **contact}])

    async def change(self, change: MessageChanged) -> None:
        """Store what happened to a message; of one that is not there any more nothing is kept."""
        key = self._key(change.message_id)
        kept = {**key, "revoked_at": None}
        outcome = {} if change.outcome is None else {"outcome": change.outcome or None}
        match change.event:
            case "message.revoked":
                gone = {"text": "", "revoked_at": change.at, "changed": True}
                update = {"$set": {**gone, **outcome}, "$unset": {"media": "", "reactions": ""}}
                await self._messages.update_one(key, update)
            case "message.edited":
                values = {"text": change.text or "", "edited_at": change.at, "changed": True, **outcome}
                await self._messages.update_one({**kept, **_not_after("edited_at", change.at)}, {"$set": values})
            case "message.reaction":
                name = f"reactions.{change.author}"
                reaction = {"emoji": (change.text or "")[:EMOJI_CHARS], "at": change.at}
                await self._messages.update_one(
                    {**kept, **_not_after(f"{name}.at", change.at)}, {"$set": {name: reaction}}
                )
            case "message.updated":
                known = {"kind": change.kind, "text": change.text}
                values = {name: value for name, value in known.items() if value is not None}
                await self._messages.update_one(kept, {"$set": {**values, **outcome, "changed": True}})

    async def _acknowledge(self, acks: dict[str, int]) -> None:
        updates = [
            UpdateOne(
                {**self._key(message_id), "ack": {"$in": [None, *ACK_ORDER[:rank]]}}, {"$set": {"ack": ACK_ORDER[rank]}}
            )
            for message_id, rank in acks.items()
        ]
        if updates:
            await self._messages.bulk_write(updates, ordered=False)

    async def set_thread(self, thread: ThreadChanged) -> None:
        """Store the assistant's thread of a chat; one that was forgotten is removed."""
        key = {"client_id": self.client_id, "chat_id": thread.chat_id}
        older = {**key, "last_activity_at": {"$lte": thread.last_activity_at}}
        if thread.conversation_id is None:
            await self._threads.delete_one(older)
            return
        values = thread.model_dump(exclude={"event", "chat_id"})
        with contextlib.suppress(DuplicateKeyError):
            # A late delivery meets a newer thread: the query misses it, the unique index refuses a second one.
            await self._threads.update_one(older, {"$set": values}, upsert=True)

    async def set_status(
        self, chat_id: str, status: str, reason: str | None, at: datetime, *, until: datetime | None = None
    ) -> str | None:
        """Store who answers in a chat; returns the status before, None if there was none or a newer one is stored."""
        with contextlib.suppress(DuplicateKeyError):
            before = await self._statuses.find_one_and_update(
                {"client_id": self.client_id, "chat_id": chat_id, "at": {"$lte": at}},
                {"$set": {"status": status, "reason": reason, "at": at, "until": until}},
                upsert=True,
            )
            return before["status"] if before else None
        return None

    # ------------------------------------------------------------------------------------------ read by pages

    async def list_chats(self, *, before: tuple[datetime, str] | None, waiting: bool, limit: int) -> list[Chat]:
        """Chats with their last message, the newest first, older than the cursor (moment, chat id)."""
        wanted: Document = {"client_id": self.client_id}
        if waiting:
            statuses_waiting = self._statuses.find({"client_id": self.client_id, "status": WAITING})
            wanted["chat_id"] = {"$in": [document["chat_id"] async for document in statuses_waiting]}
        found = await _read_page(self._chats, wanted, ("newest.at", "chat_id"), before, limit)
        ids = [document["newest"]["id"] for document in found]
        cursor = self._messages.find({"message_id": {"$in": ids}, "client_id": self.client_id})
        last = {document["message_id"]: Message.model_validate(document) async for document in cursor}
        query = {"client_id": self.client_id, "chat_id": {"$in": [document["chat_id"] for document in found]}}
        now = datetime.now(UTC)
        statuses = {
            document["chat_id"]: ChatStatus.model_validate(document).now(now)
            async for document in self._statuses.find(query)
        }
        return [
            Chat(
                chat_id=document["chat_id"],
                contact_name=document.get("contact_name"),
                contact_phone=document.get("contact_phone"),
                last=last[document["newest"]["id"]],
                status=statuses.get(document["chat_id"], ChatStatus()),
            )
            for document in found
            # What a cleanup deletes at this moment is not shown.
            if document["newest"]["id"] in last
        ]

    async def list_messages(self, chat_id: str, *, before: tuple[datetime, int] | None, limit: int) -> list[Message]:
        """A chat's messages, newest first, older than the cursor (moment, sequence)."""
        wanted = {"client_id": self.client_id, "chat_id": chat_id}
        found = await _read_page(self._messages, wanted, ("sent_at", "sequence"), before, limit)
        return [Message.model_validate(document) for document in found]

    async def get_messages(self, chat_id: str, message_ids: set[str]) -> dict[str, Message]:
        """Those of a chat's messages that are there, by id."""
        query = {"message_id": {"$in": sorted(message_ids)}, "client_id": self.client_id, "chat_id": chat_id}
        return {
            document["message_id"]: Message.model_validate(document) async for document in self._messages.find(query)
        }

    async def get_status(self, chat_id: str, now: datetime) -> ChatStatus:
        """Who answers in a chat."""
        document = await self._statuses.find_one({"client_id": self.client_id, "chat_id": chat_id})
        return ChatStatus.model_validate(document or {}).now(now)

    async def count_waiting(self) -> int:
        """How many chats wait for a person."""
        return await self._statuses.count_documents({"client_id": self.client_id, "status": WAITING})

    # ------------------------------------------------------------------------------------------ cleanup

    async def delete_threads_before(self, cutoff: datetime) -> int:
        """Delete threads that were last used before; returns how many."""
        query = {"client_id": self.client_id, "last_activity_at": {"$lt": cutoff}}
        return (await self._threads.delete_many(query)).deleted_count

    async def delete_before(self, cutoff: datetime) -> int:
        """Delete messages that are older, chat by chat and some at a time, and what is left of their chats.

        Returns:
            How many messages.
        """
        messages, pace = 0, Pace()
        for chat_id in await self._list_chat_ids():
            messages += await self._delete_messages_before(cutoff, {"chat_id": chat_id}, pace)
        # Those of chats that are in no list: recorded before there was one, or told of at this moment.
        messages += await self._delete_messages_before(cutoff, {}, pace)
        await self._chats.delete_many({"client_id": self.client_id, "newest.at": {"$lt": cutoff}})
        past = {"client_id": self.client_id, "at": {"$lt": cutoff}}
        await self._statuses.delete_many({**past, "status": "automatic"})
        # Nobody can look at a chat of which nothing is left.
        await self._statuses.delete_many({**past, "status": WAITING, "chat_id": {"$nin": await self._list_chat_ids()}})
        return messages

    async def _list_chat_ids(self) -> list[str]:
        cursor = self._chats.find({"client_id": self.client_id}, {"chat_id": 1})
        return [document["chat_id"] async for document in cursor]

    async def _delete_messages_before(self, cutoff: datetime, which: Document, pace: Pace) -> int:
        query = {"client_id": self.client_id, **which, "sent_at": {"$lt": cutoff}}
        # Ranges of an index, each with its end known: there are databases that read all that matches before a limit.
        moments: list[datetime] = []
        async with pace.turn():
            async for document in self._messages.find(query, {"_id": 0, "sent_at": 1}).sort("sent_at", ASCENDING):
                moments.append(document["sent_at"])
        deleted = done = 0
        while done < len(moments):
            last = moments[min(done + pace.size, len(moments)) - 1]
            upto = bisect_right(moments, last)
            async with pace.step(upto - done):
                gone = await self._messages.delete_many({**query, "sent_at": {"$lte": last}})
            deleted += gone.deleted_count
            done = upto
        return deleted

    async def delete_all(self) -> None:
        """Delete everything of this client, the messages some at a time; safe to give up and to repeat."""
        pace = Pace()
        for chat_id in await self._list_chat_ids():
            await self._delete_messages_before(END_OF_TIME, {"chat_id": chat_id}, pace)
            # Whoever goes on with it need not look at this chat again.
            await self._chats.delete_one({"client_id": self.client_id, "chat_id": chat_id})
        await self._delete_messages_before(END_OF_TIME, {}, pace)
        for collection in (self._messages, self._chats, self._threads, self._statuses):
            await collection.delete_many({"client_id": self.client_id})


async def _read_page(
    collection: AsyncCollection[Document],
    wanted: Document,
    order: tuple[str, str],
    before: tuple[datetime, str | int] | None,
    limit: int,
) -> list[Document]:
    """Documents by a moment and by a rank within it, greatest first, after the cursor: two ranges of an index."""
    moment_field, rank_field = order
    ranges: list[Document] = [{}]
    if before is not None:
        moment, rank = before
        ranges = [{moment_field: moment, rank_field: {"$lt": rank}}, {moment_field: {"$lt": moment}}]
    found: list[Document] = []
    for each in ranges:
        # The rank may be what is wanted too: both count.
        query = {**wanted, **each} if not wanted.keys() & each.keys() else {"$and": [wanted, each]}
        sort = [(moment_field, DESCENDING), (rank_field, DESCENDING)]
        if left := limit - len(found):
            found += await collection.find(query).sort(sort).limit(left).to_list()
    return found


def _rank(newest: Document) -> tuple[datetime, int, str]:
    return newest["at"], newest["sequence"], newest["id"]


def _not_after(field: str, moment: datetime) -> dict[str, Any]:
    """Matches where nothing newer is stored."""
    return {field: {"$not": {"$gt": moment}}}
