"""The page behind a client's link. The link's last part is the only credential; an unknown one tells nothing."""

from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import ValidationError
from sse_starlette import EventSourceResponse

from control_plane.accounts.service import TooManyAttempts
from control_plane.audit.act import current_act
from control_plane.clients.models import Client, Wanted
from control_plane.dependencies import ActionLimiterDep, ClientsDep, DatabaseDep, GatewaysDep, SettingsDep
from control_plane.errors import Problem
from control_plane.landing.api import PRIVATE, UnknownLink, find_linked_client, get_linked_client
from control_plane.landing.linking import NumberNotExpected, PhoneNumber, make_link_code
from control_plane.landing.views import NOTICES, LandingView, load_view
from control_plane.live import stream
from control_plane.session_text import N_
from control_plane.sessions.repository import ClientSession
from control_plane.web import FLASH_COOKIE, check_form, choose_language, redirect, render_fragment, render_page

router = APIRouter(prefix="/client", include_in_schema=False)


async def _find_client(slug: str, request: Request, clients: ClientsDep) -> Client | None:
    try:
        return await find_linked_client(slug, request, clients)
    except UnknownLink:
        return None


LinkedClient = Annotated[Client | None, Depends(_find_client)]


@router.get("/{slug}")
async def show_page(
    request: Request, client: LinkedClient, database: DatabaseDep, settings: SettingsDep, show: str = ""
) -> Response:
    """The whole page."""
    if client is None:
        return _unknown(request)
    view = await load_view(client, database=database, settings=settings, show=show)
    view = replace(view, notice=NOTICES.get(request.cookies.get(FLASH_COOKIE, "")))
    return _private(render_page(request, "landing/page.html", {"view": view}, language=client.language))


@router.get("/{slug}/fragment")
async def show_fragment(
    request: Request, client: LinkedClient, database: DatabaseDep, settings: SettingsDep, show: str = ""
) -> Response:
    """The part that changes, for browsers that get no events."""
    if client is None:
        # The link was withdrawn while the page was open: load it again, which says so.
        return _private(HTMLResponse("", HTTPStatus.NOT_FOUND, {"HX-Refresh": "true"}))
    view = await load_view(client, database=database, settings=settings, show=show)
    return _private(HTMLResponse(_render(request, view, client)))


@router.get("/{slug}/events")
async def send_events(
    request: Request,
    slug: str,
    client: LinkedClient,
    clients: ClientsDep,
    database: DatabaseDep,
    settings: SettingsDep,
    show: str = "",
) -> Response:
    """The part that changes, as server-sent events."""
    if client is None:
        return _private(Response(status_code=HTTPStatus.NOT_FOUND))

    async def look() -> tuple[object, Callable[[], str]]:
        current = await get_linked_client(slug, clients=clients)
        view = await load_view(current, database=database, settings=settings, show=show)
        return view, lambda: _render(request, view, current)

    response: EventSourceResponse = stream(request, look)
    return _private(response)


@router.post("/{slug}/refresh", dependencies=[Depends(check_form)])
async def refresh_code(
    request: Request,
    client: LinkedClient,
    gateways: GatewaysDep,
    limiter: ActionLimiterDep,
    show: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    """Have a new QR code made, because the visitor asked for one; `show` is `qr` for who had a code to type."""
    if client is None:
        return _unknown(request)
    if client.link_is_used:
        return _private(redirect(request, f"/client/{client.slug}"))
    outcome = "code-asked"
    try:
        await limiter.count(f"refresh:{client.id}")
        if client.wanted is Wanted.CONNECTED:
            await gateways.open(client).refresh_code()
    except TooManyAttempts as error:
        current_act().failed(error)
        outcome = "code-too-many"
    except Problem as error:
        current_act().failed(error)
        outcome = "code-failed"
    back = "?show=qr" if show == "qr" and outcome == "code-asked" else ""
    return _private(redirect(request, f"/client/{client.slug}{back}", flash=outcome))


@router.get("/{slug}/link-code")
async def show_number_form(
    request: Request, client: LinkedClient, database: DatabaseDep, settings: SettingsDep
) -> Response:
    """The form that asks for the number; a page of its own, so that no event takes away what is typed."""
    if client is None:
        return _unknown(request)
    view = await load_view(client, database=database, settings=settings)
    if not view.can_type or view.is_used:
        return _private(redirect(request, view.path))
    return _number_form(request, client, "")


@router.post("/{slug}/link-code", dependencies=[Depends(check_form)])
async def ask_for_link_code(
    request: Request,
    client: LinkedClient,
    database: DatabaseDep,
    gateways: GatewaysDep,
    limiter: ActionLimiterDep,
    phone: Annotated[str, Form(max_length=100)] = "",
) -> Response:
    """Have a code made to type on the phone, or show the form again with what is wrong."""
    if client is None:
        return _unknown(request)
    if client.link_is_used:
        return _private(redirect(request, f"/client/{client.slug}"))
    session = ClientSession(database, client.id)
    try:
        number = PhoneNumber(phone=phone)
        await make_link_code(number, client=client, gateways=gateways, session=session, limiter=limiter)
    except ValidationError:
        problem = N_("Write the number with its country code, 7 to 15 digits. Example: +54 9 11 5555 1190")
    except NumberNotExpected:
        problem = N_("That is not the number that this link waits for. Write the right one, or ask the agency.")
    except TooManyAttempts:
        problem = NOTICES["code-too-many"]
    except Problem:
        problem = N_("WhatsApp gave no code now. Wait a moment and try again, or scan the QR code.")
    else:
        return _private(redirect(request, f"/client/{client.slug}"))
    return _number_form(request, client, phone, problem)


def _number_form(request: Request, client: Client, phone: str, problem: str | None = None) -> Response:
    expected = client.expected_phone or client.bound_phone
    context = {
        "path": f"/client/{client.slug}",
        "name": client.name,
        "phone": phone,
        "problem": problem,
        "expected": expected,
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK
    return _private(render_page(request, "landing/link_code.html", context, status, language=client.language))


def _render(request: Request, view: LandingView, client: Client) -> str:
    language = choose_language(request, client.language)
    return render_fragment(request, "landing/state.html", {"view": view}, language=language)


def _unknown(request: Request) -> Response:
    return _private(render_page(request, "landing/unknown.html", status=HTTPStatus.NOT_FOUND))


def _private(response: Response) -> Response:
    response.headers.update(PRIVATE)
    return response
