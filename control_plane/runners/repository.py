"""The collections `runners` and `machines`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from control_plane.database import Database
from control_plane.runners.models import Isolation, Runner, RunnerState

# supervisord is on one machine; with more of them each will tell its own.
MACHINE = "here"


class Runners:
    """What the reconciler knows of each runner; only it writes here."""

    def __init__(self, database: Database) -> None:
        self._collection = database["runners"]

    async def list(self, client_ids: Sequence[str] | None = None) -> dict[str, Runner]:
        """By client id: of those clients, or all."""
        query = {} if client_ids is None else {"_id": {"$in": [*client_ids]}}
        return {d["_id"]: Runner(client_id=d["_id"], **_rest(d)) async for d in self._collection.find(query)}

    async def get(self, client_id: str) -> Runner:
        """One client's; an empty one before the reconciler saw it."""
        document = await self._collection.find_one({"_id": client_id})
        return Runner(client_id=client_id, **_rest(document or {}))

    async def remember(self, known: Runner, **values: Any) -> Runner:
        """Store fields that differ from what is known, and answer the runner with them."""
        runner = known.model_copy(update=values)
        if runner != known:
            document = runner.model_dump(include=set(values))
            document |= {name: str(value) for name, value in document.items() if isinstance(value, StrEnum)}
            await self._collection.update_one({"_id": known.client_id}, {"$set": document}, upsert=True)
        return runner

    async def show(self, known: Runner, state: RunnerState, message: str | None = None) -> Runner:
        """Store what the portal shows, if it is another thing than before, and answer the runner with it."""
        since = known.since if known.state == state and known.since else datetime.now(UTC)
        values: dict[str, Any] = {"state": state, "message": message, "waiting_since": None, "ahead": None}
        if all(getattr(known, name) == value for name, value in values.items()):
            return known
        return await self.remember(known, **values, since=since)

    async def show_waiting(self, known: Runner, ahead: int, now: datetime) -> Runner:
        """Store that it waits for its start, behind so many others, and answer the runner with it."""
        if known.state is RunnerState.WAITING and known.ahead == ahead:
            return known
        is_new = known.state is not RunnerState.WAITING
        return await self.remember(
            known,
            state=RunnerState.WAITING,
            message=None,
            since=now if is_new else known.since,
            waiting_since=known.waiting_since or now,
            ahead=ahead,
        )

    async def delete(self, client_id: str) -> None:
        """Forget a runner."""
        await self._collection.delete_one({"_id": client_id})


async def set_isolation(isolation: Isolation, *, database: Database) -> None:
    """Store how runners are walled off now."""
    values = isolation.model_dump(mode="json")
    await database["machines"].update_one({"_id": MACHINE}, {"$set": {"isolation": values}}, upsert=True)


async def get_isolation(*, database: Database) -> Isolation | None:
    """How runners are walled off; None before the scheduler's first word."""
    document = await database["machines"].find_one({"_id": MACHINE})
    return Isolation.model_validate(document["isolation"]) if document else None


def _rest(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "_id"}
