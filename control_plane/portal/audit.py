"""The audit log: a page to search, one event, and what was found as a file."""

from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from control_plane.audit import service
from control_plane.audit.models import ActorKind, Outcome
from control_plane.audit.routes import AuditEventsDep, AuditFilterDep, Cursor
from control_plane.dependencies import ClientsDep
from control_plane.portal.audit_export import MEDIA_TYPES, Format, write_csv, write_json_lines
from control_plane.portal.audit_texts import ACTS, OUTCOMES, TARGETS, VIA, WHO
from control_plane.portal.audit_views import make_audit_line, say_action, say_change, say_field
from control_plane.portal.page import portal_router, show
from control_plane.web import choose_language, translate

router = portal_router()
HERE = "audit"
ADDRESS = "/admin/audit"
FILTERS = ("q", "who", "client", "action", "outcome", "from", "to")
_NAMELESS = (ActorKind.VISITOR, ActorKind.UNKNOWN, ActorKind.SYSTEM)


@router.get("/audit")
async def show_events(
    request: Request, wanted: AuditFilterDep, events: AuditEventsDep, clients: ClientsDep, before: Cursor = None
) -> Response:
    """What happened, newest first, and the form that asks for less of it."""
    language = choose_language(request)
    page = await service.list_events(wanted, before=before, events=events)
    names = {client.id: client.name for client in await clients.list()}
    lines = [make_audit_line(event, language, names) for event in page.events]
    chosen = {name: value for name in FILTERS if (value := request.query_params.get(name))}
    nameless = {f":{kind}": translate(language, WHO[kind]) for kind in _NAMELESS}
    # A client that is gone is asked for by what its events say.
    gone = {wanted.client_id: lines[0].what if lines else wanted.client_id} if wanted.client_id else {}
    context = {
        "lines": lines,
        "chosen": chosen,
        "who_choices": nameless | {name: name for name in await events.list_who() if not name.startswith(":")},
        "client_choices": dict(sorted((gone | names).items(), key=lambda item: item[1].casefold())),
        "action_choices": {action: say_action(action, language) for action in ACTS},
        "outcome_choices": {str(outcome): translate(language, OUTCOMES[outcome].text) for outcome in Outcome},
        "query": urlencode(chosen),
        "older_page": f"{ADDRESS}?{urlencode({**chosen, 'before': page.before})}" if page.before else None,
        "newest_page": f"{ADDRESS}?{urlencode(chosen)}" if before else None,
    }
    return show(request, "audit.html", context, here=HERE)


@router.get("/audit/export")
async def export_events(
    request: Request, wanted: AuditFilterDep, events: AuditEventsDep, clients: ClientsDep, format: Format = "csv"
) -> Response:
    """Everything that the filter finds, as a file."""
    found, language = events.stream(wanted), choose_language(request)
    names = {client.id: client.name for client in await clients.list()}
    body = write_csv(found, language, names) if format == "csv" else write_json_lines(found)
    file = f"audit-{datetime.now(UTC):%Y-%m-%d}.{format}"
    headers = {"Content-Disposition": f'attachment; filename="{file}"', "Cache-Control": "no-store"}
    return StreamingResponse(body, HTTPStatus.OK, headers, MEDIA_TYPES[format])


@router.get("/audit/{event_id}")
async def show_event(request: Request, event_id: str, events: AuditEventsDep, clients: ClientsDep) -> Response:
    """One event with all that is known of it."""
    language = choose_language(request)
    event = await service.get_event(event_id, events=events)
    names = {client.id: client.name for client in await clients.list()}
    context = {
        "line": make_audit_line(event, language, names),
        "client_exists": event.target.get("client_id") in names,
        "targets": TARGETS,
        "via": VIA,
        "changes": [(say_field(change, language), say_change(change, language)) for change in event.changes],
    }
    return show(request, "audit_event.html", context, here=HERE)
