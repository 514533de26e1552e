"""All clients in a few figures and an order, made every few seconds: a page of the list reads only what it shows."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict

from control_plane.clients.models import Client
from control_plane.clients.repository import Clients
from control_plane.clients.stored_secrets import is_api_key_lost
from control_plane.conversations.repository import count_waiting
from control_plane.database import Database
from control_plane.portal.views import Row, Totals, make_row, sum_up
from control_plane.runners.models import Runner
from control_plane.runners.repository import Runners
from control_plane.security import Cipher
from control_plane.sessions.models import Session
from control_plane.sessions.repository import Sessions
from control_plane.settings import Settings

# The scheduler makes it at every pass; an older one is of a scheduler that does not run.
FRESH = timedelta(seconds=30)
_ID = "clients"


class Overview(BaseModel):
    """One document of `overviews`.

    Attributes:
        made_at: what changed since then is read beside it.
        order: every client's id, those that need a person first, within both the newest first.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    made_at: datetime
    order: tuple[str, ...]
    totals: Totals


async def make_rows(
    clients: Sequence[Client], *, database: Database, settings: Settings, cipher: Cipher, all_of_them: bool = False
) -> list[Row]:
    """Clients as a person sees them now, what needs a person first.

    Args:
        all_of_them: these are all that there are, so that what belongs to them needs not be looked for.
    """
    ids = None if all_of_them else [client.id for client in clients]
    sessions = await Sessions(database).list(ids)
    runners = await Runners(database).list(ids)
    waiting = await count_waiting(database, ids)
    return arrange(clients, sessions, runners, waiting, settings=settings, cipher=cipher)


def arrange(
    clients: Sequence[Client],
    sessions: Mapping[str, Session],
    runners: Mapping[str, Runner],
    waiting: Mapping[str, int],
    *,
    settings: Settings,
    cipher: Cipher,
) -> list[Row]:
    """The rows of clients, what needs a person first; else in the order in which they come."""
    rows = [
        make_row(
            client,
            sessions.get(client.id) or Session(client_id=client.id),
            runners.get(client.id) or Runner(client_id=client.id),
            settings=settings,
            waiting=waiting.get(client.id, 0),
            key_lost=is_api_key_lost(client, cipher),
        )
        for client in clients
    ]
    return sorted(rows, key=lambda row: not row.needs_attention)


def sum_up_rows(rows: list[Row], made_at: datetime) -> Overview:
    """The overview of all rows, in their order."""
    return Overview(made_at=made_at, order=tuple(row.client.id for row in rows), totals=sum_up(rows))


async def keep_overview(
    clients: Sequence[Client],
    sessions: Mapping[str, Session],
    *,
    read_at: datetime,
    database: Database,
    settings: Settings,
    cipher: Cipher,
) -> None:
    """Store the overview of all clients.

    Args:
        clients: everybody, newest first.
        sessions: of all of them.
        read_at: a moment before these were read.
    """
    runners, waiting = await Runners(database).list(), await count_waiting(database)
    overview = sum_up_rows(arrange(clients, sessions, runners, waiting, settings=settings, cipher=cipher), read_at)
    await database["overviews"].replace_one({"_id": _ID}, {**overview.model_dump(), "_id": _ID}, upsert=True)


async def find_overview(*, database: Database, clients: Clients) -> Overview | None:
    """The stored overview with the clients that were made since, the newest first; None when there is no fresh one."""
    document = await database["overviews"].find_one({"_id": _ID})
    overview = Overview.model_validate(document) if document else None
    if overview is None or overview.made_at < datetime.now(UTC) - FRESH:
        return None
    known = set(overview.order)
    news = [client.id for client in await clients.list_changed_since(overview.made_at) if client.id not in known]
    return overview.model_copy(update={"order": (*news, *overview.order)})
