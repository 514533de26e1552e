"""The collections `client_messages`, `client_threads` and `client_conversations`, of one client."""

import contextlib
from datetime import datetime
from typing import Any

from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from control_plane.conversations.models import Chat, Message
from control_plane.database import Database
from tenant_runner.contract import MessageRecorded, ThreadChanged

# An acknowledgement only ever goes forward; a failure is final.
ACK_ORDER = ("pending", "unknown", "server", "delivered", "read", "failed")
CHATS_SHOWN = 50


class Conversations:
    """One client's messages, threads and chat statuses."""

    def __init__(self, database: Database, client_id: str) -> None:
        self._messages = database["client_messages"]
        self._threads = database["client_threads"]
        self._statuses = database["client_conversations"]
        self.client_id = client_id

    # ------------------------------------------------------------------------------------------ written by events

    async def record(self, message: MessageRecorded) -> None:
        """Store a message once; a repeated delivery may complete it (outcome, decrypted text), never double it."""
        values = message.model_dump(exclude={"event", "message_id"}, exclude_none=True)
        values["in_reply_to"] = list(message.in_reply_to)
        await self._messages.update_one(
            {"client_id": self.client_id, "message_id": message.message_id}, {"$set": values}, upsert=True
        )

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

    async def set_status(self, chat_id: str, status: str, reason: str | None, at: datetime) -> None:
        """Store who answers in a chat."""
        with contextlib.suppress(DuplicateKeyError):
            await self._statuses.update_one(
                {"client_id": self.client_id, "chat_id": chat_id, "at": {"$lte": at}},
                {"$set": {"status": status, "reason": reason, "at": at}},
                upsert=True,
            )

    # ------------------------------------------------------------------------------------------ read by pages

    async def list_chats(self, limit: int = CHATS_SHOWN) -> list[Chat]:
        """Chats with their last message, the newest first."""
        pipeline: list[dict[str, Any]] = [
            {"$match": {"client_id": self.client_id}},
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
            {"$sort": {"last.sent_at": DESCENDING}},
            {"$limit": limit},
        ]
        groups = [group async for group in await self._messages.aggregate(pipeline)]
        query = {"client_id": self.client_id, "chat_id": {"$in": [group["_id"] for group in groups]}}
        statuses = {document["chat_id"]: document["status"] async for document in self._statuses.find(query)}
        return [
            Chat(
                chat_id=group["_id"],
                contact_name=group["contact_name"],
                contact_phone=group["contact_phone"],
                messages=group["messages"],
                last=Message.model_validate(group["last"]),
                status=statuses.get(group["_id"], "automatic"),
            )
            for group in groups
        ]

    async def list_messages(self, chat_id: str, *, before: tuple[datetime, str] | None, limit: int) -> list[Message]:
        """A chat's messages, newest first, older than the cursor (moment, message id)."""
        query: dict[str, Any] = {"client_id": self.client_id, "chat_id": chat_id}
        if before is not None:
            moment, message_id = before
            query["$or"] = [{"sent_at": {"$lt": moment}}, {"sent_at": moment, "message_id": {"$lt": message_id}}]
        order = [("sent_at", DESCENDING), ("message_id", DESCENDING)]
        cursor = self._messages.find(query).sort(order).limit(limit)
        return [Message.model_validate(document) async for document in cursor]

    # ------------------------------------------------------------------------------------------ cleanup

    async def delete_before(self, cutoff: datetime) -> tuple[int, int]:
        """Delete what is older; returns how many messages and threads."""
        messages = await self._messages.delete_many({"client_id": self.client_id, "sent_at": {"$lt": cutoff}})
        threads = await self._threads.delete_many({"client_id": self.client_id, "last_activity_at": {"$lt": cutoff}})
        await self._statuses.delete_many({"client_id": self.client_id, "status": "automatic", "at": {"$lt": cutoff}})
        return messages.deleted_count, threads.deleted_count

    async def delete_all(self) -> None:
        """Delete everything of this client."""
        for collection in (self._messages, self._threads, self._statuses):
            await collection.delete_many({"client_id": self.client_id})
