"""A client's page: its state, what can be done with it, its form, and how it is deleted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Form, Request, Response
from fastapi.responses import HTMLResponse

from control_plane.audit.act import current_act
from control_plane.audit.actions import KEY_CHECK
from control_plane.clients import service
from control_plane.clients.models import Client, Wanted
from control_plane.clients.service import NameDoesNotMatch
from control_plane.clients.stored_secrets import is_api_key_lost
from control_plane.conversations import service as conversations_service
from control_plane.conversations.repository import Conversations
from control_plane.data_rights.repository import ClientData
from control_plane.data_rights.service import note_client_deletion
from control_plane.database import Database
from control_plane.dependencies import (
    Asker,
    CipherDep,
    ClientsDep,
    DatabaseDep,
    ErasuresDep,
    GatewaysDep,
    MailsDep,
    SettingsDep,
)
from control_plane.errors import Problem
from control_plane.live import stream
from control_plane.mail import service as mail_service
from control_plane.mail.repository import Mails
from control_plane.portal.chat_views import make_chat_line
from control_plane.portal.client_form import Form as PageForm
from control_plane.portal.client_form import form_of_client, read_form, request_changes
from control_plane.portal.clients_list import HERE, blame, form_page, key_fragment, try_key
from control_plane.portal.page import ClientDep, portal_router, render_part, show
from control_plane.portal.views import make_invitation, make_row, still
from control_plane.runners.gateway import RunnerRefused, RunnerUnreachable
from control_plane.runners.repository import Runners
from control_plane.security import Cipher
from control_plane.session_text import N_
from control_plane.sessions.repository import ClientSession
from control_plane.settings import Settings
from control_plane.web import check_form, choose_language, redirect, translate
from tenant_runner.contract import ProcessMessageRequest

router = portal_router()
RECENT_CHATS = 5
_NO_STORE = {"Cache-Control": "no-store"}
_FORM = [Depends(check_form)]


@dataclass(frozen=True)
class Trial:
    """What the assistant was asked on this page, and its answer or why there is none."""

    text: str
    reply: str | None = None
    problem: str | None = None
    detail: str | None = None


async def _row(client: Client, database: Database, settings: Settings, cipher: Cipher) -> dict[str, Any]:
    session = await ClientSession(database, client.id).get()
    runner = await Runners(database).get(client.id)
    waiting = await Conversations(database, client.id).count_waiting()
    lost = is_api_key_lost(client, cipher)
    row = make_row(client, session, runner, settings=settings, waiting=waiting, key_lost=lost)
    return {"client": client, "row": row}


async def _page(
    request: Request,
    client: Client,
    database: Database,
    mails: Mails,
    settings: Settings,
    cipher: Cipher,
    *,
    trial: Trial | None = None,
) -> Response:
    chats = await conversations_service.list_chats(conversations=Conversations(database, client.id), limit=RECENT_CHATS)
    context = {
        **await _row(client, database, settings, cipher),
        "link": service.landing_url(client, settings),
        "environment": settings.environment(client.environment),
        "invitation": make_invitation(await mail_service.latest_invitation(client.id, mails=mails)),
        "chats": [make_chat_line(chat) for chat in chats.chats],
        "trial": trial,
    }
    return show(request, "client.html", context, here=HERE)


@router.get("/clients/{client_id}")
async def show_client(
    request: Request,
    client: ClientDep,
    database: DatabaseDep,
    mails: MailsDep,
    settings: SettingsDep,
    cipher: CipherDep,
) -> Response:
    """The whole page."""
    return await _page(request, client, database, mails, settings, cipher)


@router.get("/clients/{client_id}/fragment")
async def show_fragment(
    request: Request, client: ClientDep, database: DatabaseDep, settings: SettingsDep, cipher: CipherDep
) -> Response:
    """The part that changes, for browsers that get no events."""
    context = await _row(client, database, settings, cipher)
    return HTMLResponse(render_part(request, "client_live.html", context), headers=_NO_STORE)


@router.get("/clients/{client_id}/events")
async def send_events(
    request: Request,
    client: ClientDep,
    clients: ClientsDep,
    database: DatabaseDep,
    settings: SettingsDep,
    cipher: CipherDep,
) -> Response:
    """The part that changes, as server-sent events."""

    async def look() -> tuple[object, Callable[[], str]]:
        current = await service.get_client(client.id, clients=clients)
        context = await _row(current, database, settings, cipher)
        row = context["row"]
        return (still(row), row.session.heard_at), lambda: render_part(request, "client_live.html", context)

    return stream(request, look)


# ------------------------------------------------------------------------------------------------ its form


@router.get("/clients/{client_id}/edit")
async def show_form(request: Request, client: ClientDep) -> Response:
    """The form with what is stored, without the key."""
    return form_page(request, form_of_client(client), client)


@router.post("/clients/{client_id}/edit", dependencies=_FORM)
async def change_client(
    request: Request, client: ClientDep, clients: ClientsDep, cipher: CipherDep, settings: SettingsDep
) -> Response:
    """Store the changes, or show the form again with what is wrong."""
    data, language = await request.form(), choose_language(request)
    form = read_form(data, client)
    if data.get("action") == "add_rules":
        current_act().ignore()
        form.add_empty_rules()
        return form_page(request, form, client)
    if data.get("action") == "check_key":
        current_act().action = KEY_CHECK
        result = await try_key(form, client, cipher=cipher, settings=settings)
        return form_page(request, form, client, key_result=result)
    changes = request_changes(form, client, language)
    if changes is not None:
        try:
            await service.update_client(client.id, changes, clients=clients, cipher=cipher, settings=settings)
        except Problem as problem:
            blame(form, problem, language)
        else:
            return redirect(request, f"/admin/clients/{client.id}", "client-saved")
    return form_page(request, form, client)


@router.post("/clients/{client_id}/key-check", dependencies=_FORM)
async def check_key(request: Request, client: ClientDep, cipher: CipherDep, settings: SettingsDep) -> Response:
    """Whether the typed key, or else the stored one, works; as a fragment."""
    form = read_form(await request.form(), client)
    return key_fragment(request, await try_key(form, client, cipher=cipher, settings=settings))


# ------------------------------------------------------------------------------------------------ what can be done


@router.post("/clients/{client_id}/connect", dependencies=_FORM)
async def connect(request: Request, client: ClientDep, clients: ClientsDep) -> Response:
    """Have the client's runner started."""
    await service.set_wanted(client.id, Wanted.CONNECTED, clients=clients)
    return redirect(request, f"/admin/clients/{client.id}", "connecting")


@router.post("/clients/{client_id}/disconnect", dependencies=_FORM)
async def disconnect(request: Request, client: ClientDep, clients: ClientsDep) -> Response:
    """Have the client's runner stopped; the phone stays linked."""
    await service.set_wanted(client.id, Wanted.DISCONNECTED, clients=clients)
    return redirect(request, f"/admin/clients/{client.id}", "disconnecting")


@router.post("/clients/{client_id}/restart", dependencies=_FORM)
async def restart(request: Request, client: ClientDep, clients: ClientsDep) -> Response:
    """Have the client's runner restarted."""
    await service.restart(client.id, clients=clients)
    return redirect(request, f"/admin/clients/{client.id}", "restarting")


@router.post("/clients/{client_id}/unlink", dependencies=_FORM)
async def unlink(request: Request, client: ClientDep, gateways: GatewaysDep) -> Response:
    """Log the phone out."""
    try:
        await gateways.open(client).log_out()
    except Problem as problem:
        current_act().failed(problem)
        return redirect(request, f"/admin/clients/{client.id}", "unlink-failed")
    return redirect(request, f"/admin/clients/{client.id}", "unlinked")


@router.post("/clients/{client_id}/release-phone", dependencies=_FORM)
async def release_phone(
    request: Request, client: ClientDep, clients: ClientsDep, database: DatabaseDep, gateways: GatewaysDep
) -> Response:
    """Log the bound phone out and forget it."""
    session = ClientSession(database, client.id)
    try:
        await service.release_phone(client.id, clients=clients, session=session, open_gateway=gateways.open)
    except (RunnerUnreachable, RunnerRefused) as problem:
        current_act().failed(problem)
        return redirect(request, f"/admin/clients/{client.id}", "release-failed")
    return redirect(request, f"/admin/clients/{client.id}", "released")


@router.post("/clients/{client_id}/invitation", dependencies=_FORM)
async def invite(request: Request, client: ClientDep, mails: MailsDep) -> Response:
    """Queue the invitation again."""
    await mail_service.invite(client, mails=mails)
    return redirect(request, f"/admin/clients/{client.id}", "invitation-queued")


@router.post("/clients/{client_id}/rotate-link", dependencies=_FORM)
async def rotate_link(
    request: Request,
    client: ClientDep,
    clients: ClientsDep,
    mails: MailsDep,
    invite: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    """Give the landing page a new address, and mail it if that is ticked."""
    rotated = await service.rotate_link(client.id, clients=clients)
    if invite:
        await mail_service.invite(rotated, mails=mails)
    return redirect(request, f"/admin/clients/{client.id}", "link-rotated-invited" if invite else "link-rotated")


@router.post("/clients/{client_id}/try", dependencies=_FORM)
async def try_assistant(
    request: Request,
    client: ClientDep,
    asker: Asker,
    database: DatabaseDep,
    mails: MailsDep,
    gateways: GatewaysDep,
    settings: SettingsDep,
    cipher: CipherDep,
    text: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    """What would the assistant answer? A fragment for scripts, else the whole page."""
    trial = Trial(text.strip())
    if trial.text:
        # A contact of its own for each admin: they do not talk into each other's thread.
        question = ProcessMessageRequest(contact=f"portal-{asker.id}", text=trial.text)
        try:
            trial = Trial(text, reply=(await gateways.open(client).process_message(question)).reply)
        except Problem as problem:
            current_act().failed(problem)
            title = translate(choose_language(request), problem.title)
            trial = Trial(text, problem=title, detail=problem.detail)
    if "hx-request" in request.headers:
        html = render_part(request, "trial.html", {"trial": trial})
        return HTMLResponse(html, headers=_NO_STORE)
    return await _page(request, client, database, mails, settings, cipher, trial=trial)


# ------------------------------------------------------------------------------------------------ deletion


@router.get("/clients/{client_id}/delete")
async def show_deletion(request: Request, client: ClientDep) -> Response:
    """The form that asks for the name."""
    return show(request, "client_delete.html", {"client": client, "form": PageForm()}, here=HERE)


@router.post("/clients/{client_id}/delete", dependencies=_FORM)
async def delete_client(
    request: Request,
    client: ClientDep,
    clients: ClientsDep,
    asker: Asker,
    database: DatabaseDep,
    erasures: ErasuresDep,
    name: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Have the client deleted when the name was typed."""
    try:
        await service.request_deletion(client.id, name, clients=clients)
    except NameDoesNotMatch:
        text = N_("That is not the name; nothing was deleted.")
        form = PageForm({"name": name}, {"name": translate(choose_language(request), text)})
        return show(request, "client_delete.html", {"client": client, "form": form}, here=HERE, status=422)
    await note_client_deletion(
        client.id, requested_by=asker.username, data=ClientData(database, client.id), erasures=erasures
    )
    return redirect(request, "/admin", "client-deleted")
