"""The list of clients, and the form of a new one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.responses import HTMLResponse

from control_plane.audit.act import current_act
from control_plane.audit.actions import KEY_CHECK
from control_plane.clients import service
from control_plane.clients.configuration import UnknownEnvironment
from control_plane.clients.models import Client
from control_plane.clients.openai_key import DEFAULT_MODEL
from control_plane.clients.repository import Clients
from control_plane.clients.service import KeyMissing, KeyRefused
from control_plane.database import Database
from control_plane.dependencies import CipherDep, ClientsDep, DatabaseDep, MailsDep, SettingsDep
from control_plane.errors import NotFound, Problem
from control_plane.live import stream
from control_plane.mail import service as mail_service
from control_plane.portal.client_form import ClientForm, blank_form, read_form, request_new_client
from control_plane.portal.overview import find_overview, make_rows, sum_up_rows
from control_plane.portal.page import portal_router, render_part, show
from control_plane.portal.texts import KEY_RESULTS, Label
from control_plane.portal.views import Row, explain_isolation, still
from control_plane.runners.repository import get_isolation
from control_plane.security import CannotDecrypt, Cipher
from control_plane.session_text import N_
from control_plane.settings import Settings
from control_plane.web import Language, check_form, choose_language, redirect, translate

router = portal_router()
HERE = "clients"


PAGE_SIZE = 25


@dataclass(frozen=True)
class ClientList:
    """A page of all clients as they are now; loaded anew each time that it is asked.

    Attributes:
        after: the last client of the page before; None for the first page.
    """

    clients: Clients
    database: Database
    settings: Settings
    cipher: Cipher
    after: str | None

    async def load(self) -> dict[str, Any]:
        """What the table shows: what needs a person comes first; the order within is that of the clients.

        Raises:
            NotFound: the client that the page comes after is gone (404).
        """
        overview = None
        if self.clients.are_all:
            overview = await find_overview(database=self.database, clients=self.clients)
        if overview is None:
            # Without a scheduler, and for a client's own people: everything is looked at.
            everything = await self._make_rows(await self.clients.list(), all_of_them=self.clients.are_all)
            overview = sum_up_rows(everything, datetime.now(UTC))
            ids = self._cut(overview.order)
            rows = [row for row in everything if row.client.id in set(ids)]
        else:
            ids = self._cut(overview.order)
            rows = await self._make_rows(await self.clients.list_some(ids))
        isolation = await get_isolation(database=self.database)
        more = bool(ids) and ids[-1] != overview.order[-1]
        return {
            "rows": rows,
            "totals": overview.totals,
            "walls": explain_isolation(isolation),
            "unlimited_reason": isolation.unlimited_reason if isolation else "",
            "here_page": f"?after={self.after}" if self.after else "",
            "next_page": f"/admin?after={ids[-1]}" if more else None,
            "first_page": "/admin" if self.after else None,
        }

    async def _make_rows(self, clients: Sequence[Client], *, all_of_them: bool = False) -> list[Row]:
        return await make_rows(
            clients, database=self.database, settings=self.settings, cipher=self.cipher, all_of_them=all_of_them
        )

    def _cut(self, order: tuple[str, ...]) -> tuple[str, ...]:
        if self.after is None:
            return order[:PAGE_SIZE]
        if self.after not in order:
            raise NotFound("this page of clients does not exist")
        start = order.index(self.after) + 1
        return order[start : start + PAGE_SIZE]


def _get_list(
    clients: ClientsDep, database: DatabaseDep, settings: SettingsDep, cipher: CipherDep, after: str | None = None
) -> ClientList:
    return ClientList(clients, database, settings, cipher, after)


ClientListDep = Annotated[ClientList, Depends(_get_list)]


@router.get("")
async def show_clients(request: Request, clients: ClientListDep) -> Response:
    """Totals and the table."""
    return show(request, "clients.html", await clients.load(), here=HERE)


@router.get("/fragment")
async def show_fragment(request: Request, clients: ClientListDep) -> Response:
    """The part that changes, for browsers that get no events."""
    return HTMLResponse(render_part(request, "clients_live.html", await clients.load()), headers=_NO_STORE)


@router.get("/events")
async def send_events(request: Request, clients: ClientListDep) -> Response:
    """The part that changes, as server-sent events."""

    async def look() -> tuple[object, Callable[[], str]]:
        context = await clients.load()
        rows: list[Row] = context["rows"]
        return ([still(row) for row in rows], context["totals"], context["walls"]), lambda: render_part(
            request, "clients_live.html", context
        )

    return stream(request, look)


_NO_STORE = {"Cache-Control": "no-store"}


# ------------------------------------------------------------------------------------------------ a new client


@router.get("/clients/new")
async def show_form(request: Request, settings: SettingsDep) -> Response:
    """An empty form."""
    return form_page(request, blank_form(settings))


@router.post("/clients/new", dependencies=[Depends(check_form)])
async def create_client(
    request: Request, clients: ClientsDep, mails: MailsDep, cipher: CipherDep, settings: SettingsDep
) -> Response:
    """Create the client and queue its invitation, or show the form again with what is wrong."""
    data, language = await request.form(), choose_language(request)
    form = read_form(data)
    if data.get("action") == "add_rules":
        current_act().ignore()
        form.add_empty_rules()
        return form_page(request, form)
    if data.get("action") == "check_key":
        current_act().action = KEY_CHECK
        result = await try_key(form, None, cipher=cipher, settings=settings)
        return form_page(request, form, key_result=result)
    wanted = request_new_client(form, language)
    if wanted is not None:
        try:
            client = await service.create_client(wanted, clients=clients, cipher=cipher, settings=settings)
        except Problem as problem:
            blame(form, problem, language)
        else:
            await mail_service.invite(client, mails=mails)
            return redirect(request, f"/admin/clients/{client.id}", "client-created")
    return form_page(request, form)


@router.post("/clients/key-check", dependencies=[Depends(check_form)])
async def check_key(request: Request, cipher: CipherDep, settings: SettingsDep) -> Response:
    """Whether the key typed for a new client works, as a fragment."""
    form = read_form(await request.form())
    return key_fragment(request, await try_key(form, None, cipher=cipher, settings=settings))


async def try_key(form: ClientForm, client: Client | None, *, cipher: Cipher, settings: Settings) -> Label:
    """Ask the provider about the key of the form, or about the stored one."""
    environment = form.values["environment"] or settings.all_environments[0].name
    try:
        check = await service.check_openai_key(
            form.api_key or None, environment, client=client, cipher=cipher, settings=settings
        )
    except KeyMissing:
        return KEY_RESULTS["missing"]
    except CannotDecrypt:
        return KEY_RESULTS["lost"]
    if check.problem:
        return KEY_RESULTS[check.problem]
    if form.values["model"] and check.models and form.values["model"] not in check.models:
        return KEY_RESULTS["model_not_found"]
    return KEY_RESULTS["ok"]


def key_fragment(request: Request, result: Label) -> Response:
    """The result of trying a key."""
    html = render_part(request, "key_result.html", {"key_result": result})
    return HTMLResponse(html, headers=_NO_STORE)


def blame(form: ClientForm, problem: Problem, language: Language) -> None:
    """Put a service's refusal beside the field that it is about."""
    current_act().failed(problem)
    match problem:
        case KeyMissing():
            form.errors["api_key"] = translate(language, N_("Write the OpenAI key."))
        case KeyRefused():
            text = N_("OpenAI refused this key. Check that it was copied whole and is active.")
            form.errors["api_key"] = translate(language, text)
        case UnknownEnvironment():
            form.errors["environment"] = translate(language, N_("Choose one of the list."))
        case _:
            form.errors["form"] = translate(language, problem.detail)


def form_page(
    request: Request, form: ClientForm, client: Client | None = None, key_result: Label | None = None
) -> Response:
    """The form of a client, new or stored."""
    context = {"form": form, "client": client, "key_result": key_result, "default_model": DEFAULT_MODEL}
    return show(request, "client_form.html", context, here=HERE, status=422 if form.errors else 200)
