"""Clients over the JSON API."""

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Header
from pydantic import BaseModel, ConfigDict

from control_plane.audit.act import current_act
from control_plane.clients import service
from control_plane.clients.models import Client, ClientChanges, NewClient
from control_plane.clients.service import ClientView
from control_plane.conversations import service as conversations_service
from control_plane.conversations.repository import Conversations
from control_plane.data_rights.repository import ClientData
from control_plane.data_rights.service import note_client_deletion
from control_plane.dependencies import (
    Asker,
    CipherDep,
    ClientsDep,
    DatabaseDep,
    ErasuresDep,
    GatewaysDep,
    MailsDep,
    MayInvite,
    SettingsDep,
)
from control_plane.mail import service as mail_service
from control_plane.mail.models import Mail
from control_plane.sessions.repository import ClientSession
from tenant_runner.contract import (
    IDEMPOTENCY_HEADER,
    ConversationRequest,
    ProcessMessageReply,
    ProcessMessageRequest,
    SendAccepted,
    SendRequest,
)

router = APIRouter(tags=["clients"])

IdempotencyKey = Annotated[str | None, Header(alias=IDEMPOTENCY_HEADER, min_length=8, max_length=128)]


async def _get_view(settings: SettingsDep, with_link: MayInvite) -> Callable[[Client], ClientView]:
    return partial(service.view, settings=settings, with_link=with_link)


View = Annotated[Callable[[Client], ClientView], Depends(_get_view)]


class Deletion(BaseModel):
    """The client's name, typed by whoever deletes it."""

    model_config = ConfigDict(extra="forbid")

    name: str


class LinkRotation(BaseModel):
    """Whether the client gets the new address by mail."""

    model_config = ConfigDict(extra="forbid")

    invite: bool = False


@router.get("/api/admin/clients")
async def list_clients(clients: ClientsDep, view: View) -> list[ClientView]:
    """Every client, newest first."""
    return [view(client) for client in await clients.list()]


@router.post("/api/admin/clients", status_code=HTTPStatus.CREATED)
async def create_client(
    new: NewClient, clients: ClientsDep, mails: MailsDep, cipher: CipherDep, settings: SettingsDep, view: View
) -> ClientView:
    """Create a client, reserve its port, queue its invitation and have its runner started."""
    client = await service.create_client(new, clients=clients, cipher=cipher, settings=settings)
    await mail_service.invite(client, mails=mails)
    return view(client)


@router.get("/api/admin/clients/{client_id}")
async def show_client(client_id: str, clients: ClientsDep, view: View) -> ClientView:
    """One client."""
    return view(await service.get_client(client_id, clients=clients))


@router.patch("/api/admin/clients/{client_id}")
async def update_client(
    client_id: str,
    changes: ClientChanges,
    clients: ClientsDep,
    cipher: CipherDep,
    settings: SettingsDep,
    view: View,
) -> ClientView:
    """Change what the body names; the rest stays."""
    client = await service.update_client(client_id, changes, clients=clients, cipher=cipher, settings=settings)
    return view(client)


@router.delete("/api/admin/clients/{client_id}", status_code=HTTPStatus.ACCEPTED)
async def delete_client(
    client_id: str,
    deletion: Deletion,
    clients: ClientsDep,
    asker: Asker,
    database: DatabaseDep,
    erasures: ErasuresDep,
) -> None:
    """Have a client and everything of it deleted; the body repeats its name."""
    await service.request_deletion(client_id, deletion.name, clients=clients)
    await note_client_deletion(
        client_id, requested_by=asker.username, data=ClientData(database, client_id), erasures=erasures
    )


@router.post("/api/admin/clients/{client_id}/toggle")
async def toggle_client(client_id: str, clients: ClientsDep, view: View) -> ClientView:
    """Connect a disconnected client, disconnect a connected one."""
    return view(await service.toggle(client_id, clients=clients))


@router.post("/api/admin/clients/{client_id}/restart", status_code=HTTPStatus.ACCEPTED)
async def restart_client(client_id: str, clients: ClientsDep) -> None:
    """Have the client's runner restarted."""
    await service.restart(client_id, clients=clients)


@router.post("/api/admin/clients/{client_id}/release-phone")
async def release_phone(
    client_id: str,
    clients: ClientsDep,
    database: DatabaseDep,
    gateways: GatewaysDep,
    view: View,
) -> ClientView:
    """Log the bound phone out and forget it, so that another one may link."""
    session = ClientSession(database, client_id)
    released = await service.release_phone(client_id, clients=clients, session=session, open_gateway=gateways.open)
    return view(released)


@router.post("/api/admin/clients/{client_id}/rotate-link")
async def rotate_link(
    client_id: str,
    clients: ClientsDep,
    mails: MailsDep,
    view: View,
    rotation: LinkRotation | None = None,
) -> ClientView:
    """Give the landing page a new address; the old one stops working at once."""
    client = await service.rotate_link(client_id, clients=clients)
    if rotation is not None and rotation.invite:
        await mail_service.invite(client, mails=mails)
    return view(client)


@router.post("/api/admin/clients/{client_id}/invitation", status_code=HTTPStatus.ACCEPTED)
async def resend_invitation(client_id: str, clients: ClientsDep, mails: MailsDep) -> Mail:
    """Queue the invitation again."""
    return await mail_service.invite(await service.get_client(client_id, clients=clients), mails=mails)


@router.post("/api/clients/{client_id}/process-message")
async def process_message(
    client_id: str, request: ProcessMessageRequest, clients: ClientsDep, gateways: GatewaysDep
) -> ProcessMessageReply:
    """What would the assistant answer? Nothing is sent."""
    client = await service.get_client(client_id, clients=clients)
    return await gateways.open(client).process_message(request)


@router.post("/api/clients/{client_id}/conversation", status_code=HTTPStatus.ACCEPTED)
async def set_conversation(
    client_id: str,
    request: ConversationRequest,
    clients: ClientsDep,
    database: DatabaseDep,
    gateways: GatewaysDep,
) -> None:
    """Have the assistant answer in a chat, or be quiet there until told otherwise."""
    client = await service.get_client(client_id, clients=clients)
    conversations = Conversations(database, client.id)
    await conversations_service.set_automatic(request, gateway=gateways.open(client), conversations=conversations)


@router.post("/api/clients/{client_id}/send", status_code=HTTPStatus.ACCEPTED)
async def send_message(
    client_id: str,
    request: SendRequest,
    clients: ClientsDep,
    gateways: GatewaysDep,
    idempotency_key: IdempotencyKey = None,
) -> SendAccepted:
    """Send a text; the outcome follows as the message's acknowledgement. Repeating with the same key sends once."""
    client = await service.get_client(client_id, clients=clients)
    current_act().about(chat_id=request.chat_id)
    return await gateways.open(client).send(request, idempotency_key=idempotency_key)
