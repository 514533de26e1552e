"""The collection `cleanup_runs`."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Literal

from pymongo import ASCENDING, DESCENDING, ReturnDocument

from control_plane.database import Database, Document
from control_plane.retention.models import CleanupRun, Counts, Failure, RunState

# A run whose process died is taken up again after this long.
CLAIM = timedelta(hours=1)


class CleanupRuns:
    """Cleanups: asked for, running, done."""

    def __init__(self, database: Database) -> None:
        self._collection = database["cleanup_runs"]

    async def request(self, trigger: Literal["scheduled", "forced"]) -> CleanupRun:
        """Ask for a cleanup; one that waits already is enough for everybody."""
        document = await self._collection.find_one_and_update(
            {"state": str(RunState.REQUESTED)},
            {
                "$setOnInsert": {
                    "_id": secrets.token_hex(8),
                    "trigger": trigger,
                    "requested_at": datetime.now(UTC),
                }
            },
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return _run(document)

    async def claim(self, now: datetime) -> CleanupRun | None:
        """Take the run that waits, or one whose process died."""
        document = await self._collection.find_one_and_update(
            {
                "$or": [
                    {"state": str(RunState.REQUESTED)},
                    {"state": str(RunState.RUNNING), "started_at": {"$lt": now - CLAIM}},
                ]
            },
            {"$set": {"state": str(RunState.RUNNING), "started_at": now}},
            sort=[("requested_at", ASCENDING)],
            return_document=ReturnDocument.AFTER,
        )
        return _run(document) if document else None

    async def finish(
        self, run_id: str, *, state: RunState, clients: int, counts: Counts, failures: list[Failure]
    ) -> None:
        """Store a run's figures."""
        values = {
            "state": str(state),
            "finished_at": datetime.now(UTC),
            "clients": clients,
            "counts": counts.model_dump(),
            "failures": [failure.model_dump() for failure in failures],
        }
        await self._collection.update_one({"_id": run_id}, {"$set": values})

    async def get(self, run_id: str) -> CleanupRun | None:
        """The run of that id."""
        document = await self._collection.find_one({"_id": run_id})
        return _run(document) if document else None

    async def list(self, limit: int = 20) -> list[CleanupRun]:
        """The last runs, newest first."""
        cursor = self._collection.find().sort("requested_at", DESCENDING).limit(limit)
        return [_run(document) async for document in cursor]

    async def last_requested_at(self) -> datetime | None:
        """When the newest run was asked for."""
        document = await self._collection.find_one(sort=[("requested_at", DESCENDING)])
        return document["requested_at"] if document else None


def _run(document: Document | None) -> CleanupRun:
    assert document is not None  # noqa: S101 - an upsert returns what it made
    return CleanupRun(id=document["_id"], **{name: value for name, value in document.items() if name != "_id"})
