"""Erasing a contact: at once in the database, then in the runner and at the AI provider, until nothing is left."""

import logging
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from control_plane.audit.act import current_act
from control_plane.clients.models import Client
from control_plane.clients.repository import Clients
from control_plane.data_rights.models import Deleted, Erasure, ErasureState, Holdings, PendingErasure
from control_plane.data_rights.repository import ClientData, Erasures
from control_plane.errors import NotFound, Problem
from tenant_runner.contract import PurgeReport, PurgeRequest

logger = logging.getLogger(__name__)

Purge = Callable[[Client, PurgeRequest], Awaitable[PurgeReport]]

FIRST_RETRY_S = 15.0
LONGEST_RETRY_S = 900.0


class ErasureNotFound(NotFound):
    """There is no such erasure."""

    type = "/problems/erasure-not-found"
    title = "No such erasure"


class ConfirmationDoesNotMatch(Problem):
    """What was typed does not confirm it; nothing was erased."""

    status = HTTPStatus.CONFLICT
    type = "/problems/confirmation-does-not-match"
    title = "The confirmation does not match"


def confirmation_of(chat_id: str, phone: str | None) -> str:
    """What whoever erases a contact has to type: the last four digits of its number, or the address itself."""
    digits = re.sub(r"\D", "", phone or chat_id.partition("@")[0])
    return digits[-4:] if len(digits) >= 4 else chat_id


async def request_erasure(
    client_id: str, chat_id: str, typed: str, *, requested_by: str, data: ClientData, erasures: Erasures
) -> Erasure:
    """Erase a contact, by any of its chats; safe to repeat. The scheduler does the runner's and the provider's part.

    Whoever writes again afterwards is a new contact.

    Raises:
        ConfirmationDoesNotMatch: nothing is erased (409).
    """
    phone = await data.phone_of(chat_id)
    expected = confirmation_of(chat_id, phone)
    if typed.strip() != expected:
        raise ConfirmationDoesNotMatch
    chat_ids = await data.addresses_of(chat_id)
    at = _to_milliseconds(datetime.now(UTC))
    before = await data.count_chats(chat_ids, at)
    hint = expected if expected != chat_id else ""
    # The record first: from here on nothing older is taken in again.
    erasure = await erasures.request(client_id, chat_ids, hint=hint, requested_by=requested_by, at=at, before=before)
    await data.delete_chats(chat_ids, erasure.requested_at)
    current_act().about(erasure_id=erasure.id)
    logger.info("erasure was requested", extra={"client_id": client_id, "erasure_id": erasure.id})
    return erasure


async def get_erasure(erasure_id: str, *, erasures: Erasures) -> Erasure:
    """The record of an erasure.

    Raises:
        ErasureNotFound: no such record (404).
    """
    erasure = await erasures.get(erasure_id)
    if erasure is None:
        raise ErasureNotFound
    return erasure


async def carry_out(
    *, erasures: Erasures, clients: Clients, data_of: Callable[[str], ClientData], purge: Purge
) -> list[Erasure]:
    """Do what is due of the erasures that were asked for; what fails is tried again later, each time less soon."""
    tried = []
    for erasure in await erasures.due(datetime.now(UTC)):
        client = await clients.get(erasure.client_id)
        if client is None:
            await erasures.drop_pending(erasure.client_id)
            continue
        detail = await _carry_out(erasure, client, erasures=erasures, data=data_of(client.id), purge=purge)
        if detail is not None:
            pause_s = min(FIRST_RETRY_S * 2.0 ** min(erasure.attempts, 10), LONGEST_RETRY_S)
            await erasures.postpone(erasure.id, detail, datetime.now(UTC) + timedelta(seconds=pause_s))
        facts = {"client_id": client.id, "erasure_id": erasure.id, "left": detail}
        logger.info("erasure was tried", extra=facts)
        tried.append(await get_erasure(erasure.id, erasures=erasures))
    return tried


async def _carry_out(
    erasure: PendingErasure, client: Client, *, erasures: Erasures, data: ClientData, purge: Purge
) -> str | None:
    """One attempt; what is left, in plain words."""
    request = PurgeRequest(before=erasure.requested_at, chat_ids=erasure.chat_ids)
    try:
        report = await purge(client, request)
    except Exception as error:
        # Whatever happened to one client, the others' erasures are still due.
        await erasures.add(erasure.id, Deleted())
        return f"the runner could not do it: {error}"
    deleted = Deleted(
        journal_messages=report.messages,
        journal_threads=report.threads,
        remote_conversations=report.remote_conversations,
    )
    await erasures.add(erasure.id, deleted)
    await data.delete_chats(erasure.chat_ids, erasure.requested_at)
    if report.failed:
        return report.detail or f"{report.failed} conversations at the AI provider could not be deleted yet"
    after = await data.count_chats(erasure.chat_ids, erasure.requested_at)
    if after != Holdings():
        return "something is left in the database"
    await erasures.finish(erasure.id, after)
    return None


async def note_client_deletion(client_id: str, *, requested_by: str, data: ClientData, erasures: Erasures) -> None:
    """Keep a record of a client's deletion from the moment at which it is asked for."""
    await erasures.request_client(client_id, requested_by=requested_by, before=await data.count())


def is_done(erasure: Erasure) -> bool:
    """Whether nothing is left of whom it is about."""
    return erasure.state is ErasureState.DONE


def _to_milliseconds(moment: datetime) -> datetime:
    """As the database keeps it."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
