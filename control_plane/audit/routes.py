"""The audit log over the JSON API."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BeforeValidator

from control_plane.audit import service
from control_plane.audit.models import AuditFilter, AuditPage, Outcome
from control_plane.audit.repository import AuditEvents, find_words
from control_plane.dependencies import DatabaseDep

router = APIRouter(prefix="/api/admin/audit", tags=["audit"])


def _none_if_empty(value: object) -> object:
    """A form sends what was not filled in, too."""
    return value or None


_OPTIONAL = BeforeValidator(_none_if_empty)
Text = Annotated[str | None, Query(max_length=200), _OPTIONAL]
Day = Annotated[date | None, Query(description="a day in UTC, such as 2026-03-31"), _OPTIONAL]
Cursor = Annotated[str | None, Query(pattern=r"^[0-9a-f]{1,24}$", description="`before` of the page that came before")]


def get_audit_events(database: DatabaseDep) -> AuditEvents:
    """The audit log."""
    return AuditEvents(database)


async def read_filter(
    who: Text = None,
    client: Text = None,
    action: Text = None,
    outcome: Annotated[Outcome | None, _OPTIONAL] = None,
    first: Annotated[Day, Query(alias="from")] = None,
    last: Annotated[Day, Query(alias="to")] = None,
    q: Annotated[Text, Query(description="words that are all in the event")] = None,
) -> AuditFilter:
    """Which events an address asks for; days are whole days in UTC."""
    return AuditFilter(
        who=who,
        client_id=client,
        action=action,
        outcome=outcome,
        since=datetime.combine(first, time(), UTC) if first else None,
        until=datetime.combine(last, time(), UTC) + timedelta(days=1) if last and last < date.max else None,
        words=tuple(sorted(find_words(q or ""))),
    )


AuditEventsDep = Annotated[AuditEvents, Depends(get_audit_events)]
AuditFilterDep = Annotated[AuditFilter, Depends(read_filter)]


@router.get("")
async def list_events(
    wanted: AuditFilterDep,
    events: AuditEventsDep,
    before: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=500)] = service.PAGE_SIZE,
) -> AuditPage:
    """Who did what, newest first."""
    return await service.list_events(wanted, before=before, events=events, limit=limit)
