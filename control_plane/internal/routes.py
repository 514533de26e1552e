"""The runners' API: configuration out, events in. A token opens one client's data and nothing else."""

import json
import logging
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Response

from control_plane.clients.configuration import runner_config
from control_plane.clients.models import Client
from control_plane.conversations.repository import Conversations
from control_plane.data_rights.repository import Erasures
from control_plane.dependencies import CipherDep, ClientsDep, DatabaseDep, MailsDep, SettingsDep
from control_plane.errors import Problem
from control_plane.mail import service as mail_service
from control_plane.security import hash_token
from control_plane.sessions import service as sessions_service
from control_plane.sessions.repository import ClientSession
from tenant_runner.contract import (
    CONFIG_PATH,
    EVENTS_PATH,
    START_PATH,
    TOKEN_HEADER,
    Delivery,
    DeliveryReceipt,
    RunnerConfig,
    RunnerStart,
)

logger = logging.getLogger(__name__)

router = APIRouter(tags=["runners"], include_in_schema=False)


class WrongToken(Problem):
    """The token belongs to no client; the client may have been deleted."""

    status = HTTPStatus.UNAUTHORIZED
    type = "/problems/wrong-token"
    title = "Wrong token"


async def authenticate_runner(
    clients: ClientsDep, token: Annotated[str, Header(alias=TOKEN_HEADER, max_length=200)] = ""
) -> Client:
    """The client that the runner's token belongs to.

    Raises:
        WrongToken: none, or of nobody (401).
    """
    client = await clients.get_by_token_hash(hash_token(token)) if token else None
    if client is None:
        raise WrongToken
    return client


RunnersClient = Annotated[Client, Depends(authenticate_runner)]


@router.post(START_PATH)
async def start_runner(client: RunnersClient, database: DatabaseDep) -> RunnerStart:
    """Let a process of the runner take over; what an earlier one delivers from now on is refused."""
    fence = await ClientSession(database, client.id).hand_out_fence()
    logger.info("runner took over", extra={"client_id": client.id, "fence": fence})
    return RunnerStart(fence=fence)


@router.get(CONFIG_PATH)
async def show_config(client: RunnersClient, cipher: CipherDep, settings: SettingsDep) -> Response:
    """The runner's configuration, its secrets in the clear."""
    config = runner_config(client, cipher=cipher, settings=settings)
    return Response(_reveal(config), media_type="application/json", headers={"Cache-Control": "no-store"})


@router.post(EVENTS_PATH)
async def accept_events(
    delivery: Delivery,
    client: RunnersClient,
    clients: ClientsDep,
    database: DatabaseDep,
    mails: MailsDep,
) -> DeliveryReceipt:
    """Take in events and the session's snapshot."""

    async def tell_of_link(phone: str, linked_at: datetime) -> None:
        await mail_service.tell_of_link(client, phone, linked_at, mails=mails)

    return await sessions_service.accept(
        delivery,
        client=client,
        clients=clients,
        session=ClientSession(database, client.id, fence=delivery.fence),
        conversations=Conversations(database, client.id),
        erasures=Erasures(database, only=client.id),
        tell_of_link=tell_of_link,
    )


def _reveal(config: RunnerConfig) -> bytes:
    """JSON with secrets in the clear: pydantic masks them everywhere else."""
    document: dict[str, Any] = config.model_dump(mode="json")
    if config.assistant.kind == "openai":
        document["assistant"]["api_key"] = config.assistant.api_key.get_secret_value()
    return json.dumps(document).encode()
