"""Leases: who may do what only one process may do at a time, with a fencing number that grows with each holder."""

from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from control_plane.database import Database

SCHEDULER = "scheduler"


class Lease(BaseModel):
    """Held by `holder` until `until`; `token` grew when it changed hands, so a greater one is the newer holder."""

    model_config = ConfigDict(frozen=True)

    name: str
    holder: str
    token: int
    until: datetime


class Leases:
    """The collection `leases`."""

    def __init__(self, database: Database) -> None:
        self._leases = database.leases

    async def acquire(self, name: str, holder: str, ttl_s: float) -> Lease | None:
        """Take the lease, or prolong it when `holder` has it already.

        Returns:
            The lease, or None while another holder has it.
        """
        now = datetime.now(UTC)
        until = now + timedelta(seconds=ttl_s)
        prolonged = await self._leases.find_one_and_update(
            {"_id": name, "holder": holder, "until": {"$gt": now}},
            {"$set": {"until": until}},
            return_document=ReturnDocument.AFTER,
        )
        if prolonged is None:
            try:
                prolonged = await self._leases.find_one_and_update(
                    {"_id": name, "until": {"$lte": now}},
                    {"$set": {"holder": holder, "until": until}, "$inc": {"token": 1}},
                    upsert=True,
                    return_document=ReturnDocument.AFTER,
                )
            except DuplicateKeyError:
                return None
        return Lease.model_validate({**(prolonged or {}), "name": name}) if prolonged else None

    async def release(self, name: str, holder: str) -> None:
        """Give the lease back, so that another process need not wait for its end."""
        await self._leases.update_one(
            {"_id": name, "holder": holder}, {"$set": {"until": datetime.now(UTC) - timedelta(milliseconds=1)}}
        )

    async def find(self, name: str) -> Lease | None:
        """The lease as it is, also when it ran out."""
        found = await self._leases.find_one({"_id": name})
        return Lease.model_validate({**found, "name": name}) if found else None
