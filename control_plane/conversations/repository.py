"""The collections `client_messages`, `client_threads` and `client_conversations`, of one client."""

import contextlib
from datetime import UTC, datetime
from typing import Any

from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from control_plane.conversations.models import Chat, ChatStatus, Message
from control_plane.database import Database
from tenant_runner.contract import MessageChanged, MessageRecorded, ThreadChanged

# An acknowledgement only ever goes forward; what was given up may still turn out to have arrived.
ACK_ORDER = ("pending", "unknown", "failed", "server", "delivered", "read")
WAITING = "waiting_for_human"
EMOJI_CHARS = 32


async def count_waiting(database: Database) -> dict[str, int]:
    """How many chats wait for a person, by client id."""
    pipeline: list[dict[str, Any]] = [
        {"$match": {"status": WAITING}},
        {"$group": {"_id": "$client_id", "chats": {"$sum": 1}}},
    ]
    return {group["_id"]: group["chats"] async for group in await database["client_conversations"].aggregate(pipeline)}


class Conversations:
    """One client's messages, threads and chat statuses."""

    def __init__(self, database: Database, client_id: str) -> None:
        self._messages = database["client_messages"]
        self._threads = database["client_threads"]
        self._statuses = database["client_conversations"]
        self.client_id = client_id

    # ------------------------------------------------------------------------------------------ written by events

    async def record(self, message: MessageRecorded, *, sequence: int) -> None:
        """Store a message once; a repeated delivery may complete it, never double it nor undo what changed since.

        Args:
            sequence: of the event that told it first; orders messages of one second, as WhatsApp's clock is no finer.
        """
        values = message.model_dump(exclude={"event", "message_id"}, exclude_none=True)
        values["in_reply_to"] = list(message.in_reply_to)
        key = {"client_id": self.client_id, "message_id": message.message_id}
        with contextlib.suppress(DuplicateKeyError):
            # One that changed is missed by the query, and the unique index refuses a second one.
            update = {"$set": values, "$setOnInsert": {"sequence": sequence}}
            await self._messages.update_one({**key, "changed": {"$ne": True}}, update, upsert=True)

    async def change(self, change: MessageChanged) -> None:
        """Store what happened to a message; of one that is not there any more nothing is kept."""
        key = {"client_id": self.client_id, "message_id": change.message_id}
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

    async def acknowledge(self, message_id: str, ack: str) -> None:
        """Move a message's acknowledgement forward."""
        behind: list[str | None] = [None, *ACK_ORDER[: ACK_ORDER.index(ack)]]
        await self._messages.update_one(
            {"client_id": self.client_id, "message_id": message_id, "ack": {"$in": behind}}, {"$set": {"ack": ack}}
        )

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
        wanted: dict[str, Any] = {"client_id": self.client_id}
        if waiting:
            statuses_waiting = self._statuses.find({"client_id": self.client_id, "status": WAITING})
            wanted["chat_id"] = {"$in": [document["chat_id"] async for document in statuses_waiting]}
        older = [{"$match": _older("last.sent_at", "_id", *before)}] if before is not None else []
        pipeline: list[dict[str, Any]] = [
            {"$match": wanted},
            {"$sort": {"sent_at": DESCENDING}},
            {
                "$group": {
                    "_id": "$chat_id",
                    "last": {"$first": "$$ROOT"},
                    "messages": {"$sum": 1},
                    "contact_name": {"$max": "$contact_name"},
                    "contact_phone": {"$max": "$contact_phone"},
                }
            },
            *older,
            {"$sort": {"last.sent_at": DESCENDING, "_id": DESCENDING}},
            {"$limit": limit},
        ]
        groups = [group async for group in await self._messages.aggregate(pipeline)]
        query = {"client_id": self.client_id, "chat_id": {"$in": [group["_id"] for group in groups]}}
        now = datetime.now(UTC)
        statuses = {
            document["chat_id"]: ChatStatus.model_validate(document).now(now)
            async for document in self._statuses.find(query)
        }
        return [
            Chat(
                chat_id=group["_id"],
                contact_name=group["contact_name"],
                contact_phone=group["contact_phone"],
                messages=group["messages"],
                last=Message.model_validate(group["last"]),
                status=statuses.get(group["_id"], ChatStatus()),
            )
            for group in groups
        ]

    async def list_messages(self, chat_id: str, *, before: tuple[datetime, int] | None, limit: int) -> list[Message]:
        """A chat's messages, newest first, older than the cursor (moment, sequence)."""
        query: dict[str, Any] = {"client_id": self.client_id, "chat_id": chat_id}
        if before is not None:
            query |= _older("sent_at", "sequence", *before)
        order = [("sent_at", DESCENDING), ("sequence", DESCENDING)]
        cursor = self._messages.find(query).sort(order).limit(limit)
        return [Message.model_validate(document) async for document in cursor]

    async def get_messages(self, chat_id: str, message_ids: set[str]) -> dict[str, Message]:
        """Those of a chat's messages that are there, by id."""
        query = {"client_id": self.client_id, "chat_id": chat_id, "message_id": {"$in": sorted(message_ids)}}
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

    async def delete_before(self, cutoff: datetime) -> tuple[int, int]:
        """Delete what is older; returns how many messages and threads."""
        messages = await self._messages.delete_many({"client_id": self.client_id, "sent_at": {"$lt": cutoff}})
        threads = await self._threads.delete_many({"client_id": self.client_id, "last_activity_at": {"$lt": cutoff}})
        past = {"client_id": self.client_id, "at": {"$lt": cutoff}}
        await self._statuses.delete_many({**past, "status": "automatic"})
        # Nobody can look at a chat of which nothing is left.
        groups = await self._messages.aggregate(
            [{"$match": {"client_id": self.client_id}}, {"$group": {"_id": "$chat_id"}}]
        )
        left = [group["_id"] async for group in groups]
        await self._statuses.delete_many({**past, "status": WAITING, "chat_id": {"$nin": left}})
        return messages.deleted_count, threads.deleted_count

    async def delete_all(self) -> None:
        """Delete everything of this client."""
        for collection in (self._messages, self._threads, self._statuses):
            await collection.delete_many({"client_id": self.client_id})


def _older(moment_field: str, rank_field: str, moment: datetime, rank: str | int) -> dict[str, Any]:
    """Matches what comes after the cursor in a list whose newest is first."""
    return {"$or": [{moment_field: {"$lt": moment}}, {moment_field: moment, rank_field: {"$lt": rank}}]}


def _not_after(field: str, moment: datetime) -> dict[str, Any]:
    """Matches where nothing newer is stored."""
    return {"$or": [{field: None}, {field: {"$lte": moment}}]}
