"""Exports, the form that erases a contact, and the records that prove erasures."""

from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Form, Request, Response
from fastapi.responses import JSONResponse

from control_plane.audit.act import current_act
from control_plane.conversations import service as conversations_service
from control_plane.conversations.repository import Conversations
from control_plane.data_rights import service
from control_plane.data_rights.downloads import download
from control_plane.data_rights.export import export_client, export_contact
from control_plane.data_rights.repository import ClientData, Erasures
from control_plane.data_rights.service import ConfirmationDoesNotMatch
from control_plane.dependencies import Asker, ClientsDep, DatabaseDep, ErasuresDep, SettingsDep
from control_plane.portal.chat_views import name_chat
from control_plane.portal.client_form import Form as PageForm
from control_plane.portal.clients_list import HERE
from control_plane.portal.page import ClientDep, portal_router, show
from control_plane.portal.texts import ERASURE_STATES
from control_plane.session_text import N_
from control_plane.sessions.repository import ClientSession
from control_plane.web import check_form, choose_language, redirect, translate

router = portal_router()


@router.get("/clients/{client_id}/export")
async def export_whole_client(client: ClientDep, database: DatabaseDep, settings: SettingsDep) -> Response:
    """Everything that is known of a client, as a download."""
    content = export_client(
        client,
        data=ClientData(database, client.id),
        session=await ClientSession(database, client.id).get(),
        erasures=await Erasures(database, only=client.id).list(),
        settings=settings,
    )
    return download(content, client.name)


@router.get("/clients/{client_id}/chats/{chat_id}/export")
async def export_one_contact(client: ClientDep, chat_id: str, database: DatabaseDep) -> Response:
    """Everything that is known of a chat's contact, as a download."""
    content = export_contact(client, chat_id, data=ClientData(database, client.id))
    return download(content, client.name, chat_id.partition("@")[0])


@router.get("/clients/{client_id}/chats/{chat_id}/erase")
async def show_erasure_form(request: Request, client: ClientDep, chat_id: str, database: DatabaseDep) -> Response:
    """The form that asks for the last digits."""
    return await _form(request, client, chat_id, database, PageForm())


@router.post("/clients/{client_id}/chats/{chat_id}/erase", dependencies=[Depends(check_form)])
async def erase_contact(
    request: Request,
    client: ClientDep,
    chat_id: str,
    asker: Asker,
    database: DatabaseDep,
    erasures: ErasuresDep,
    confirmation: Annotated[str, Form(max_length=256)] = "",
) -> Response:
    """Erase a chat's contact when the digits were typed."""
    data = ClientData(database, client.id)
    try:
        await service.request_erasure(
            client.id, chat_id, confirmation, requested_by=asker.username, data=data, erasures=erasures
        )
    except ConfirmationDoesNotMatch as problem:
        current_act().failed(problem)
        text = translate(choose_language(request), N_("That does not match; nothing was erased."))
        form = PageForm({"confirmation": confirmation}, {"confirmation": text})
        return await _form(request, client, chat_id, database, form, status=422)
    return redirect(request, "/admin/erasures", "erasure-asked")


async def _form(
    request: Request, client: ClientDep, chat_id: str, database: DatabaseDep, form: PageForm, *, status: int = 200
) -> Response:
    data, conversations = ClientData(database, client.id), Conversations(database, client.id)
    page = await conversations_service.show_chat(chat_id, before=None, conversations=conversations)
    contact = next((message for message in page.messages if message.author == "contact"), None)
    phone = await data.phone_of(chat_id)
    context = {
        "client": client,
        "address": f"/admin/clients/{client.id}/chats/{quote(chat_id, safe='')}",
        "chat_name": name_chat(chat_id, contact.contact_name if contact else None, phone),
        "expected": service.confirmation_of(chat_id, phone),
        "chat_id": chat_id,
        "form": form,
    }
    return show(request, "contact_erase.html", context, here=HERE, status=status)


@router.get("/erasures")
async def show_erasures(request: Request, erasures: ErasuresDep, clients: ClientsDep) -> Response:
    """The last erasures, newest first."""
    context = {
        "erasures": await erasures.list(),
        "names": {client.id: client.name for client in await clients.list()},
        "states": ERASURE_STATES,
    }
    return show(request, "erasures.html", context, here="erasures")


@router.get("/erasures/{erasure_id}")
async def download_record(erasure_id: str, erasures: ErasuresDep) -> Response:
    """One erasure's record, to hand out to whoever asked for it."""
    erasure = await service.get_erasure(erasure_id, erasures=erasures)
    headers = {
        "Content-Disposition": f'attachment; filename="erasure-{erasure.id}.json"',
        "Cache-Control": "no-store",
    }
    return JSONResponse(erasure.model_dump(mode="json"), headers=headers)
