"""The landing page's JSON API. The link's last part is the credential; an unknown one gets the same 404 always."""

import io
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

import segno
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict

from control_plane.addresses import client_address, subject_of
from control_plane.audit.act import current_act
from control_plane.clients.models import Client, Wanted
from control_plane.clients.repository import Clients
from control_plane.dependencies import ActionLimiterDep, ClientsDep, DatabaseDep, GatewaysDep
from control_plane.errors import NotFound, Problem
from control_plane.http.rates import Rates
from control_plane.landing.linking import PhoneNumber, make_link_code
from control_plane.sessions.repository import ClientSession
from control_plane.web import mask_phone
from tenant_runner.contract import SessionReason, SessionState

router = APIRouter(prefix="/api/client", tags=["landing"])

PRIVATE = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex", "Referrer-Policy": "no-referrer"}


class UnknownLink(NotFound):
    """This link does not work; ask the agency that sent it for a new one."""

    type = "/problems/unknown-link"
    title = "Unknown link"


class LinkUsed(Problem):
    """A phone was linked with this link, and it was for one use; ask the agency for a new one to link again."""

    status = HTTPStatus.GONE
    type = "/problems/link-used"
    title = "The link was used"


class NoCode(NotFound):
    """There is no QR code to scan now."""

    type = "/problems/no-qr-code"
    title = "No QR code"


class LandingStatus(BaseModel):
    """What the client's own page may know: no whole number, no code."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: SessionState
    reason: SessionReason
    since: datetime | None
    phase: str | None
    progress: int | None
    phone: str | None
    qr_expires_at: datetime | None
    link_code_expires_at: datetime | None
    attempt: int | None
    next_attempt_at: datetime | None
    refused_phone: str | None
    expected_phone: str | None


class LandingLinkCode(BaseModel):
    """A code to type on the phone, as WhatsApp writes it (ABCD-1234)."""

    model_config = ConfigDict(frozen=True)

    code: str
    expires_at: datetime


async def get_linked_client(slug: str, *, clients: Clients) -> Client:
    """The client of a landing link.

    Raises:
        UnknownLink: none, or one that is being deleted (404).
    """
    client = await clients.get_by_slug(slug)
    if client is None or client.deleting_since is not None:
        raise UnknownLink
    current_act().about(client_id=client.id, client_name=client.name)
    return client


async def find_linked_client(slug: str, request: Request, clients: ClientsDep) -> Client:
    """The client of the address's link; whoever tries many links that lead nowhere has to wait.

    Raises:
        UnknownLink: see there (404).
        TooManyRequests: too many unknown links from this address (429).
    """
    rates: Rates = request.app.state.rates
    subject = subject_of(client_address(request))
    await rates.unknown_links.check(subject)
    try:
        return await get_linked_client(slug, clients=clients)
    except UnknownLink:
        await rates.unknown_links.count(subject)
        raise


async def find_usable_client(client: Annotated[Client, Depends(find_linked_client)]) -> Client:
    """The client of the address's link, which is still good for linking.

    Raises:
        LinkUsed: it was for one use (410).
        UnknownLink, TooManyRequests: see there.
    """
    if client.link_is_used:
        raise LinkUsed
    return client


UsableClient = Annotated[Client, Depends(find_usable_client)]


@router.get("/{slug}/status")
async def show_status(client: UsableClient, response: Response, database: DatabaseDep) -> LandingStatus:
    """The session's state."""
    response.headers.update(PRIVATE)
    sessions = ClientSession(database, client.id)
    session = await sessions.get()
    now = datetime.now(UTC)
    code, typed = await sessions.get_code(now), await sessions.get_link_code(now)
    expected = client.expected_phone or client.bound_phone
    paused = client.wanted is Wanted.DISCONNECTED
    return LandingStatus(
        name=client.name,
        state=SessionState.STOPPED if paused else session.state,
        reason=SessionReason.STOPPED if paused else session.reason,
        since=session.since,
        phase=session.phase,
        progress=session.progress,
        phone=mask_phone(session.phone) if session.phone and session.state is SessionState.WORKING else None,
        qr_expires_at=code.expires_at if code else None,
        link_code_expires_at=typed.expires_at if typed else None,
        attempt=session.attempt,
        next_attempt_at=session.next_attempt_at,
        refused_phone=mask_phone(session.refused_phone) if session.refused_phone else None,
        expected_phone=mask_phone(expected) if expected else None,
    )


@router.get("/{slug}/qr", response_class=Response, responses={200: {"content": {"image/png": {}}}})
async def show_code(client: UsableClient, database: DatabaseDep) -> Response:
    """The QR code that waits for a scan, as a picture."""
    code = await ClientSession(database, client.id).get_code(datetime.now(UTC))
    if code is None or client.wanted is Wanted.DISCONNECTED:
        raise NoCode(headers=PRIVATE)
    picture = io.BytesIO()
    segno.make(code.text, error="l", micro=False).save(picture, kind="png", scale=6, border=4)
    return Response(picture.getvalue(), media_type="image/png", headers=PRIVATE)


@router.post("/{slug}/refresh", status_code=HTTPStatus.ACCEPTED)
async def refresh_code(client: UsableClient, gateways: GatewaysDep, limiter: ActionLimiterDep) -> None:
    """Have new QR codes made, after the last ones expired."""
    await limiter.count(f"refresh:{client.id}")
    await gateways.open(client).refresh_code()


@router.post("/{slug}/link-code")
async def ask_for_link_code(
    client: UsableClient,
    number: PhoneNumber,
    response: Response,
    database: DatabaseDep,
    gateways: GatewaysDep,
    limiter: ActionLimiterDep,
) -> LandingLinkCode:
    """A code to type on the phone of that number, instead of scanning."""
    response.headers.update(PRIVATE)
    made = await make_link_code(
        number, client=client, gateways=gateways, session=ClientSession(database, client.id), limiter=limiter
    )
    return LandingLinkCode(code=made.shown, expires_at=made.expires_at)
