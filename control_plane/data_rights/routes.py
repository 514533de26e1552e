"""Exports and erasures over the JSON API."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from control_plane.clients import service as clients_service
from control_plane.data_rights import service
from control_plane.data_rights.downloads import download
from control_plane.data_rights.export import export_client, export_contact
from control_plane.data_rights.models import Erasure
from control_plane.data_rights.repository import ClientData, Erasures
from control_plane.dependencies import Asker, ClientsDep, DatabaseDep, ErasuresDep, SettingsDep
from control_plane.sessions.repository import ClientSession

router = APIRouter(tags=["data rights"])
_ZIP: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/zip": {}}, "description": "A zip of JSON with a README"}
}


class Confirmation(BaseModel):
    """The last four digits of the contact's number, typed by whoever erases it."""

    model_config = ConfigDict(extra="forbid")

    confirmation: str = Field(min_length=1, max_length=256)


@router.get("/api/admin/clients/{client_id}/export", response_class=StreamingResponse, responses=_ZIP)
async def export_whole_client(
    client_id: str, clients: ClientsDep, database: DatabaseDep, settings: SettingsDep
) -> Response:
    """Everything that is known of a client, without secrets."""
    client = await clients_service.get_client(client_id, clients=clients)
    content = export_client(
        client,
        data=ClientData(database, client.id),
        session=await ClientSession(database, client.id).get(),
        erasures=await Erasures(database, only=client.id).list(),
        settings=settings,
    )
    return download(content, client.name)


@router.get(
    "/api/admin/clients/{client_id}/contacts/{chat_id}/export", response_class=StreamingResponse, responses=_ZIP
)
async def export_one_contact(client_id: str, chat_id: str, clients: ClientsDep, database: DatabaseDep) -> Response:
    """Everything that is known of one contact, by any of its chats."""
    client = await clients_service.get_client(client_id, clients=clients)
    return download(
        export_contact(client, chat_id, data=ClientData(database, client.id)), client.name, chat_id.partition("@")[0]
    )


@router.post("/api/admin/clients/{client_id}/contacts/{chat_id}/erase", status_code=HTTPStatus.ACCEPTED)
async def erase_contact(
    client_id: str,
    chat_id: str,
    body: Confirmation,
    asker: Asker,
    clients: ClientsDep,
    database: DatabaseDep,
    erasures: ErasuresDep,
) -> Erasure:
    """Erase everything of a contact, by any of its chats. The record, at `/api/admin/erasures/{id}`, proves it."""
    client = await clients_service.get_client(client_id, clients=clients)
    return await service.request_erasure(
        client.id,
        chat_id,
        body.confirmation,
        requested_by=asker.username,
        data=ClientData(database, client.id),
        erasures=erasures,
    )


@router.get("/api/admin/erasures")
async def list_erasures(erasures: ErasuresDep) -> list[Erasure]:
    """The last erasures, newest first."""
    return await erasures.list()


@router.get("/api/admin/erasures/{erasure_id}")
async def show_erasure(erasure_id: str, erasures: ErasuresDep) -> Erasure:
    """One erasure's record."""
    return await service.get_erasure(erasure_id, erasures=erasures)
