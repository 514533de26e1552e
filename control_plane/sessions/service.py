"""Taking in what runners deliver: each event once, in order; and what pages show of sessions."""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from control_plane.clients.models import Client
from control_plane.clients.repository import Clients
from control_plane.conversations.repository import Conversations
from control_plane.data_rights.repository import Erasures, Tombstones
from control_plane.errors import Problem
from control_plane.sessions.models import Session
from control_plane.sessions.repository import ClientSession, FenceOutdated
from tenant_runner.contract import (
    REPLACED_PROBLEM,
    AssistantStatusChanged,
    ConversationStatusChanged,
    Delivery,
    DeliveryReceipt,
    Event,
    MessageAcknowledged,
    MessageChanged,
    MessageRecorded,
    SessionChanged,
    SessionState,
    ThreadChanged,
)

logger = logging.getLogger(__name__)

# A runner whose patience ends asks again, while what it asked before still goes on here: a slow database would be asked
# for more and more. Answered well before, with what is done so far, it catches up.
ACCEPT_BUDGET_S = 5.0
# Events between two looks at the clock.
APPLIED_AT_ONCE = 50


class RunnerReplaced(Problem):
    """A later process works for this client; this one must stop."""

    status = HTTPStatus.CONFLICT
    type = REPLACED_PROBLEM
    title = "Replaced by a later process"


TellOfLink = Callable[[str, datetime], Awaitable[None]]


async def accept(
    delivery: Delivery,
    *,
    client: Client,
    clients: Clients,
    session: ClientSession,
    conversations: Conversations,
    erasures: Erasures,
    tell_of_link: TellOfLink,
) -> DeliveryReceipt:
    """Apply a delivery: safe to repeat, in whole or in part.

    Every event is written before the high-water mark moves: a crash in between repeats writes that change nothing.
    What is not done within `ACCEPT_BUDGET_S` is left to the next delivery; the receipt says how far it got.

    Args:
        erasures: of this client.
        tell_of_link: told of each new link with the phone's digits and the moment; may be told of one twice.
        session: opened with the delivery's fence.

    Raises:
        RunnerReplaced: a later process of the client was started (409); nothing was applied.
    """
    try:
        known = await session.get()
        if delivery.fence < known.fence:
            raise FenceOutdated
        return await _apply_all(
            delivery,
            known,
            client=client,
            clients=clients,
            session=session,
            conversations=conversations,
            erasures=erasures,
            tell_of_link=tell_of_link,
        )
    except FenceOutdated as error:
        facts = {"client_id": client.id, "instance": delivery.instance, "fence": delivery.fence}
        logger.warning("delivery of a replaced runner was refused", extra=facts)
        raise RunnerReplaced from error


async def _apply_all(
    delivery: Delivery,
    known: Session,
    *,
    client: Client,
    clients: Clients,
    session: ClientSession,
    conversations: Conversations,
    erasures: Erasures,
    tell_of_link: TellOfLink,
) -> DeliveryReceipt:
    through = known.accepted_through if known.journal_id == delivery.journal_id else 0
    accepted = through
    newest: datetime | None = None
    news = [event for event in delivery.events if event.sequence > through]
    erased = await erasures.tombstones(client.id, datetime.now(UTC)) if news else Tombstones([])
    ends = time.monotonic() + ACCEPT_BUDGET_S
    for first in range(0, len(news), APPLIED_AT_ONCE):
        events = news[first : first + APPLIED_AT_ONCE]
        # What was erased does not come back with an event that was on its way.
        kept = [e for e in events if not erased.cover(getattr(e.payload, "chat_id", None), e.timestamp)]
        await _apply(kept, session=session, conversations=conversations)
        accepted = max(accepted, *(event.sequence for event in events))
        for event in events:
            if isinstance(event.payload, MessageRecorded):
                newest = max(newest or event.payload.sent_at, event.payload.sent_at)
        if time.monotonic() > ends:
            break
    now = datetime.now(UTC)
    progress: dict[str, Any] = {}
    if accepted != through or known.journal_id != delivery.journal_id:
        progress = {"journal_id": delivery.journal_id, "accepted_through": accepted}
    if newest is not None:
        progress["last_message_at"] = newest
    revision = client.revision
    is_news = await _store_session(delivery, known, progress, session=session, now=now)
    phone = delivery.session.phone
    if is_news and delivery.session.state is SessionState.SCAN_QR_CODE and known.linked_phone:
        await session.hear(linked_phone=None)
    elif is_news and delivery.session.state is SessionState.WORKING and phone and phone != known.linked_phone:
        # Only a new link binds: a phone that was just released stays so although it is still logged in.
        bound = await clients.bind_phone(client.id, phone)
        await clients.use_link(client.id, now)
        revision = bound.revision if bound else revision
        await tell_of_link(phone, delivery.session.since)
        # Last: what a crash interrupts is done again with the next delivery.
        await session.hear(linked_phone=phone)
        logger.info("phone was linked", extra={"client_id": client.id, "bound": bound is not None})
    return DeliveryReceipt(accepted_through=accepted, config_revision=revision)


async def _store_session(
    delivery: Delivery, known: Session, progress: dict[str, Any], *, session: ClientSession, now: datetime
) -> bool:
    """Store how far the events got, and the snapshot if it is news; False for one that a newer one replaced."""
    snapshot = delivery.session
    is_same = known.instance == delivery.instance and known.version == snapshot.version
    is_replaced = known.instance == delivery.instance and snapshot.version < known.version
    values = dict(progress)
    if not is_replaced:
        values |= {"heard_at": now, "config_revision": delivery.config_revision, "memory_bytes": delivery.memory_bytes}
        values["last_round_trip_at"] = snapshot.last_round_trip_at
    if is_same or is_replaced:
        await (session.set(**values) if progress else session.hear(**values))
        return is_same
    await _store_code(snapshot, session)
    values |= snapshot.model_dump(exclude={"qr", "qr_expires_at", "link_code", "link_code_expires_at"})
    values |= {"state": str(snapshot.state), "reason": str(snapshot.reason)}
    await session.set(**values, instance=delivery.instance, instance_started_at=delivery.started_at)
    if known.state != snapshot.state:
        facts = {"client_id": session.client_id, "state": str(snapshot.state), "reason": str(snapshot.reason)}
        logger.info("session changed", extra=facts)
    return True


async def _store_code(snapshot: SessionChanged, session: ClientSession) -> None:
    if snapshot.state is SessionState.SCAN_QR_CODE and snapshot.qr and snapshot.qr_expires_at:
        await session.set_code(snapshot.qr, snapshot.qr_expires_at, snapshot.version)
    else:
        await session.delete_code()
    if snapshot.state is SessionState.SCAN_QR_CODE and snapshot.link_code and snapshot.link_code_expires_at:
        await session.set_link_code(snapshot.link_code, snapshot.link_code_expires_at)
    else:
        await session.delete_link_code()


async def _apply(events: Sequence[Event], *, session: ClientSession, conversations: Conversations) -> None:
    """Messages first, all at once: whatever else is told of one comes after it was recorded."""
    recorded = [(event.payload, event.sequence) for event in events if isinstance(event.payload, MessageRecorded)]
    acknowledged = [event.payload for event in events if isinstance(event.payload, MessageAcknowledged)]
    await conversations.record(recorded, acknowledged)
    for event in events:
        await _apply_one(event, session=session, conversations=conversations)


async def _apply_one(event: Event, *, session: ClientSession, conversations: Conversations) -> None:
    match event.payload:
        case MessageChanged() as change:
            await conversations.change(change)
        case ThreadChanged() as thread:
            await conversations.set_thread(thread)
        case ConversationStatusChanged(chat_id=None, status=status):
            await session.set(automatic=status == "automatic")
        case ConversationStatusChanged(chat_id=str(chat_id), status=status, reason=reason, until=until):
            await conversations.set_status(chat_id, status, reason, event.timestamp, until=until)
        case AssistantStatusChanged(problem=problem, detail=detail):
            await session.set(
                assistant_problem=problem,
                assistant_problem_detail=detail,
                assistant_problem_since=event.timestamp if problem else None,
            )
