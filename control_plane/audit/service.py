"""Writing the audit log, and reading it a page at a time."""

import asyncio
import contextlib
import getpass
import logging
import re
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.errors import PyMongoError

from control_plane.audit.act import NOTHING, Act, Facts, current
from control_plane.audit.models import Actor, ActorKind, AuditEvent, AuditFilter, AuditPage, Outcome
from control_plane.audit.repository import AuditEvents, new_id
from control_plane.database import Database
from control_plane.errors import NotFound

logger = logging.getLogger(__name__)

PAGE_SIZE = 50
# An answer waits this long for its record: with a database that does not answer the act failed anyway.
WRITE_S = 4.0
# Of a contact's number the last digits stay: who had it erased must not find it here.
_ADDRESS = re.compile(r"\d+(?=\d{4}@)")


class EventNotFound(NotFound):
    """There is no such entry in the audit log; it may be past its time."""

    type = "/problems/audit-event-not-found"
    title = "No such entry"


def make_event(act: Act, outcome: Outcome, **more: Any) -> AuditEvent:
    """The event of an act that is over."""
    at = datetime.now(UTC)
    return AuditEvent(
        id=new_id(at),
        at=at,
        outcome=outcome,
        action=act.action,
        actor=act.actor,
        target={name: _ADDRESS.sub("…", value) for name, value in act.target.items()},
        changes=tuple(act.changes),
        problem=act.failure.type if act.failure else None,
        **more,
    )


async def write(event: AuditEvent, *, events: AuditEvents) -> None:
    """Add the event; if that cannot be, an error line of the log has the same facts."""
    try:
        async with asyncio.timeout(WRITE_S):
            await events.add(event)
    except (PyMongoError, TimeoutError) as error:
        facts = event.model_dump(mode="json", exclude_none=True)
        logger.error("audit event could not be written", extra={"error": type(error).__name__, "event": facts})


async def write_system(
    action: str,
    *,
    database: Database,
    outcome: Outcome = Outcome.DONE,
    target: dict[str, str],
    before: Facts = NOTHING,
    after: Facts = NOTHING,
) -> None:
    """Record what the platform did by itself."""
    act = Act(action, Actor(kind=ActorKind.SYSTEM), target)
    act.changed(before, after)
    await write(make_event(act, outcome), events=AuditEvents(database))


@contextlib.asynccontextmanager
async def as_operator(command: str, *, database: Database) -> AsyncIterator[Act]:
    """Record a command that somebody typed on the machine, also when it fails."""
    act = Act(f"operator.{command}", Actor(kind=ActorKind.OPERATOR, name=_user()))
    token, outcome = current.set(act), Outcome.FAILED
    try:
        yield act
        outcome = act.outcome
    finally:
        current.reset(token)
        if not act.is_ignored:
            await write(make_event(act, outcome, address=socket.gethostname()), events=AuditEvents(database))


async def list_events(
    wanted: AuditFilter, *, before: str | None, events: AuditEvents, limit: int = PAGE_SIZE
) -> AuditPage:
    """A page of events, newest first; `before` is the cursor that the page before gave."""
    found = await events.list(wanted, before=before, limit=limit + 1)
    return AuditPage(events=tuple(found[:limit]), before=found[limit - 1].id if len(found) > limit else None)


async def get_event(event_id: str, *, events: AuditEvents) -> AuditEvent:
    """One event.

    Raises:
        EventNotFound: there is none (404).
    """
    event = await events.get(event_id)
    if event is None:
        raise EventNotFound
    return event


async def delete_old(kept: timedelta, *, database: Database) -> int:
    """Remove events older than `kept`; returns how many."""
    return await AuditEvents(database).delete_before(datetime.now(UTC) - kept)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A user id without a name, as containers have them.
        return "operator"
