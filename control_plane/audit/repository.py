"""The collection `audit_events`: events are added and read; nothing changes one, and only age removes them."""

import re
import secrets
import unicodedata
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from pymongo import DESCENDING

from control_plane.audit.models import AuditEvent, AuditFilter
from control_plane.database import Database, Document

_WORD = re.compile(r"[\w@.:/+-]+")
MAX_WORDS = 200


class AuditEvents:
    """The audit log."""

    def __init__(self, database: Database) -> None:
        self._collection = database["audit_events"]

    async def add(self, event: AuditEvent) -> None:
        """Write one more."""
        document = event.model_dump(mode="python")
        document["_id"] = document.pop("id")
        document |= {"outcome": str(event.outcome), "who": event.actor.label, "words": sorted(_words_of(event))}
        document["actor"]["kind"] = str(event.actor.kind)
        await self._collection.insert_one(document)

    async def get(self, event_id: str) -> AuditEvent | None:
        """The event of that id."""
        document = await self._collection.find_one({"_id": event_id})
        return _event(document) if document else None

    async def list_who(self) -> list[str]:
        """Everybody who ever did something, by label."""
        return sorted(await self._collection.distinct("who"))

    async def list(self, wanted: AuditFilter, *, before: str | None, limit: int) -> list[AuditEvent]:
        """Events, newest first, older than the event `before`."""
        cursor = self._collection.find(_query(wanted, before)).sort("_id", DESCENDING).limit(limit)
        return [_event(document) async for document in cursor]

    async def stream(self, wanted: AuditFilter) -> AsyncIterator[AuditEvent]:
        """All of them, newest first, without having them in memory."""
        async for document in self._collection.find(_query(wanted, None)).sort("_id", DESCENDING):
            yield _event(document)

    async def delete_before(self, cutoff: datetime) -> int:
        """Retention, the only thing that removes events; returns how many."""
        return (await self._collection.delete_many({"_id": {"$lt": _bound(cutoff)}})).deleted_count


def new_id(at: datetime) -> str:
    """An id that sorts by time."""
    return _bound(at) + secrets.token_hex(6)


def find_words(text: str) -> set[str]:
    """The text's words without case and accents: whole ones (`gpt-5`, `ana@example.com`) and their parts."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in folded if not unicodedata.combining(letter))
    whole = {word.strip(".:/+-") for word in _WORD.findall(plain)}
    return {part for word in whole for part in (word, *re.findall(r"\w+", word))} - {""}


def _bound(at: datetime) -> str:
    return f"{int(at.timestamp() * 1000):012x}"


def _words_of(event: AuditEvent) -> set[str]:
    values: list[Any] = [event.action, event.actor.name, event.actor.role, event.address, event.request_id]
    values += [event.problem, event.status, *event.target.values()]
    for change in event.changes:
        values += [change.field, *((change.before, change.after) if change.unit == "value" else ())]
    found = find_words(" ".join(str(value) for value in values if value is not None))
    return set(sorted(found)[:MAX_WORDS])


def _query(wanted: AuditFilter, before: str | None) -> Document:
    bounds = {"$lt": before} if before else {}
    if wanted.until is not None:
        until = _bound(wanted.until)
        bounds["$lt"] = min(until, before) if before else until
    if wanted.since is not None:
        bounds["$gte"] = _bound(wanted.since)
    query: Document = {"_id": bounds} if bounds else {}
    if wanted.outcome is not None:
        query["outcome"] = str(wanted.outcome)
    equal = {"who": wanted.who, "target.client_id": wanted.client_id, "action": wanted.action}
    query |= {name: value for name, value in equal.items() if value is not None}
    if wanted.words:
        query["words"] = {"$all": list(wanted.words)}
    return query


def _event(document: Document) -> AuditEvent:
    at: datetime = document["at"]
    return AuditEvent.model_validate({**document, "id": document["_id"], "at": at.astimezone(UTC)})
