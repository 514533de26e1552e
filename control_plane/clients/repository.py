"""The collection `clients`."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from control_plane.clients.models import Client, Wanted
from control_plane.database import Database, Document


class PortTaken(Exception):
    """Another client owns this port (the unique index said so)."""


class Clients:
    """Every client; the only queries on `clients`.

    Args:
        only: the one client that whoever asks may see; None for all.
    """

    def __init__(self, database: Database, *, only: str | None = None) -> None:
        self._collection = database["clients"]
        self._seen: Document = {} if only is None else {"_id": only}

    async def insert(self, client: Client) -> None:
        """Store a new client.

        Raises:
            PortTaken: lost a race for the port.
        """
        try:
            await self._collection.insert_one(_to_document(client))
        except DuplicateKeyError as error:
            if "port" in str(error.details or error):
                raise PortTaken from error
            raise

    async def get(self, client_id: str) -> Client | None:
        """The client of that id."""
        if self._seen.get("_id", client_id) != client_id:
            return None
        # By nothing but its id: the embedded database reads every client for a query in an `$and`.
        return _from_document(await self._collection.find_one({"_id": client_id}))

    async def get_by_slug(self, slug: str) -> Client | None:
        """The client of that landing page."""
        return _from_document(await self._collection.find_one({"slug": slug}))

    async def get_by_token_hash(self, token_hash: str) -> Client | None:
        """The client whose runner has that token."""
        return _from_document(await self._collection.find_one({"runner_token_hash": token_hash}))

    async def list(self) -> list[Client]:
        """Every client that may be seen, newest first, those being deleted too."""
        cursor = self._collection.find(self._seen).sort("created_at", DESCENDING)
        return [Client.model_validate(_rename(document)) async for document in cursor]

    @property
    def are_all(self) -> bool:
        """Whoever asks may see every client."""
        return not self._seen

    async def list_some(self, client_ids: Sequence[str]) -> Sequence[Client]:
        """Those that are there, in the order of `client_ids`."""
        found = {c.id: c async for c in self._read({"_id": {"$in": [*client_ids]}})}
        return [found[client_id] for client_id in client_ids if client_id in found]

    async def list_changed_since(self, moment: datetime) -> Sequence[Client]:
        """Clients that were made or changed at `moment` or later, newest first."""
        found = [client async for client in self._read({"updated_at": {"$gte": moment}})]
        return sorted(found, key=lambda client: client.created_at, reverse=True)

    async def _read(self, query: Document) -> AsyncIterator[Client]:
        async for document in self._collection.find(query | self._seen):
            yield Client.model_validate(_rename(document))

    async def used_ports(self) -> set[int]:
        """Ports that are owed to a client."""
        return {document["port"] async for document in self._collection.find({}, {"port": 1})}

    async def greatest_port(self, first: int, last: int) -> int | None:
        """The greatest port from `first` to `last` that is owed to a client; one look at the index."""
        query = {"port": {"$gte": first, "$lte": last}}
        document = await self._collection.find_one(query, {"port": 1}, sort=[("port", DESCENDING)])
        return document["port"] if document else None

    async def update(self, client_id: str, changes: dict[str, Any], *, runner_must_know: bool) -> Client | None:
        """Set fields; `runner_must_know` also raises the revision, so that the runner pulls its configuration."""
        update: dict[str, Any] = {"$set": {**changes, "updated_at": datetime.now(UTC)}}
        if runner_must_know:
            update["$inc"] = {"revision": 1}
        return await self._change({"_id": client_id}, update)

    async def want(self, client_id: str, wanted: Wanted) -> Client | None:
        """Store what the admin wants of the runner."""
        return await self._change(
            {"_id": client_id, "deleting_since": None}, {"$set": {"wanted": wanted, "updated_at": datetime.now(UTC)}}
        )

    async def ask_for_restart(self, client_id: str) -> Client | None:
        """Count one more restart that somebody asked for."""
        return await self._change(
            {"_id": client_id, "deleting_since": None},
            {"$inc": {"restarts": 1}, "$set": {"updated_at": datetime.now(UTC)}},
        )

    async def bind_phone(self, client_id: str, phone: str) -> Client | None:
        """Bind the first phone that linked; None if one was bound before."""
        return await self._change(
            {"_id": client_id, "bound_phone": None},
            {"$set": {"bound_phone": phone, "updated_at": datetime.now(UTC)}, "$inc": {"revision": 1}},
        )

    async def use_link(self, client_id: str, moment: datetime) -> None:
        """Remember that a phone linked."""
        await self._collection.update_one({"_id": client_id}, {"$set": {"link_used_at": moment}})

    async def set_slug(self, client_id: str, slug: str) -> Client | None:
        """Give the landing page another address, not used yet; the old one is nothing from now on."""
        return await self._change(
            {"_id": client_id, "deleting_since": None},
            {"$set": {"slug": slug, "link_used_at": None, "updated_at": datetime.now(UTC)}},
        )

    async def release_phone(self, client_id: str) -> Client | None:
        """Forget the bound phone: the next one that links is bound."""
        return await self._change(
            {"_id": client_id, "deleting_since": None},
            {
                "$set": {"bound_phone": None, "link_used_at": None, "updated_at": datetime.now(UTC)},
                "$inc": {"revision": 1},
            },
        )

    async def mark_deleting(self, client_id: str) -> Client | None:
        """Have the client removed; the record stays until everything else is gone."""
        now = datetime.now(UTC)
        return await self._change(
            {"_id": client_id, "deleting_since": None},
            {"$set": {"deleting_since": now, "updated_at": now, "wanted": Wanted.DISCONNECTED}},
        )

    async def delete(self, client_id: str) -> None:
        """Remove the record; its port is free again."""
        await self._collection.delete_one({"_id": client_id})

    async def _change(self, query: dict[str, Any], update: dict[str, Any]) -> Client | None:
        # Two commands: the embedded database reads every client for one that finds and updates.
        changed = await self._collection.update_one(query, update)
        return await self.get(query["_id"]) if changed.matched_count else None


def _to_document(client: Client) -> Document:
    document = client.model_dump()
    document["_id"] = document.pop("id")
    document["wanted"] = str(client.wanted)
    return document


def _rename(document: Document) -> Document:
    return {**{name: value for name, value in document.items() if name != "_id"}, "id": document["_id"]}


def _from_document(document: Document | None) -> Client | None:
    return Client.model_validate(_rename(document)) if document else None
