"""The audit log as a file: CSV for spreadsheets, JSON lines for programs; written while it is read."""

import csv
import io
import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Literal

from control_plane.audit.models import AuditEvent
from control_plane.portal.audit_views import make_audit_line, say_change
from control_plane.web import Language

Format = Literal["csv", "jsonl"]
MEDIA_TYPES: dict[Format, str] = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
# A spreadsheet takes a cell that begins like this for a formula, and would run it.
_FORMULA = re.compile(r"^\s*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_COLUMNS = (
    "time",
    "summary",
    "outcome",
    "status",
    "action",
    "who",
    "kind",
    "role",
    "via",
    "client_id",
    "client_name",
    "chat_id",
    "target",
    "changes",
    "problem",
    "address",
    "user_agent",
    "request_id",
    "id",
)


async def write_csv(
    events: AsyncIterator[AuditEvent], language: Language, client_names: Mapping[str, str]
) -> AsyncIterator[str]:
    """Lines of a table, its head first; the mark before it tells spreadsheets that it is UTF-8."""
    yield "\ufeff" + _line(_COLUMNS)
    async for event in events:
        known = {"client_id", "client_name", "chat_id"}
        rest = {name: value for name, value in event.target.items() if name not in known}
        changes = [f"{change.field}: {say_change(change, language)}" for change in event.changes]
        cells = (
            event.at.isoformat(timespec="milliseconds"),
            make_audit_line(event, language, client_names).sentence,
            event.outcome,
            event.status,
            event.action,
            event.actor.name,
            event.actor.kind,
            event.actor.role,
            event.actor.via,
            event.target.get("client_id"),
            event.target.get("client_name"),
            event.target.get("chat_id"),
            "; ".join(f"{name}: {value}" for name, value in rest.items()),
            "; ".join(changes),
            event.problem,
            event.address,
            event.user_agent,
            event.request_id,
            event.id,
        )
        yield _line(tuple("" if cell is None else _disarm(str(cell)) for cell in cells))


async def write_json_lines(events: AsyncIterator[AuditEvent]) -> AsyncIterator[str]:
    """One event a line, as the JSON API answers it."""
    async for event in events:
        yield json.dumps(event.model_dump(mode="json"), ensure_ascii=False) + "\n"


def _disarm(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _line(cells: tuple[str, ...]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
