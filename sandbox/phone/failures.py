"""What goes wrong at a phone's wish: with the network, with the account, with the frames of its pages."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request

from sandbox.phone.calls import Answer, find_account, read_body
from sandbox.phone.reports import describe
from sandbox.phone.requests import Loss, Outage, Refusal, Registration, Replay, Restriction, Stall, Sync
from sandbox.whatsapp_web.network import Network
from sandbox.whatsapp_web.server import OPERATIONS

# -------------------------------------------------------------------- the network


async def cut_network(network: Network, request: Request) -> Answer:
    """An outage: pages lose their connection and get none for a while."""
    body = await read_body(request, Outage)
    await network.cut(body.seconds)
    return {"seconds": body.seconds}


async def lose_frames(network: Network, request: Request) -> Answer:
    """Lose the next frames of one kind; a count of 0 loses none of them any more."""
    account, body = find_account(network, request), await read_body(request, Loss)
    if body.operation not in OPERATIONS:
        known = ", ".join(sorted(OPERATIONS))
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"operation: no such one; there are {known}")
    planned = account.losses.get(body.operation, []) if body.count else []
    account.losses[body.operation] = planned + [body.lose] * body.count
    return describe(network, account)


# -------------------------------------------------------------------- the account


async def raise_conflict(network: Network, request: Request) -> Answer:
    """The session is opened elsewhere: pages that are online are told, and stay linked."""
    account = find_account(network, request)
    pages = network.online_pages(account)
    for page in pages:
        await network.displace(page)
    account.log("conflict", pages=len(pages))
    return {"pages": len(pages)}


async def change_restriction(network: Network, request: Request) -> Answer:
    """WhatsApp restricts the account, or lifts that."""
    account, body = find_account(network, request), await read_body(request, Restriction)
    await network.restrict(account, body.restricted)
    return describe(network, account)


async def change_registration(network: Network, request: Request) -> Answer:
    """Say that a number has no WhatsApp account (or has one again)."""
    account, body = find_account(network, request), await read_body(request, Registration)
    change = account.profile.unregistered.add if body.unregistered else account.profile.unregistered.discard
    change(body.number)
    account.save_profile()
    return describe(network, account)


# -------------------------------------------------------------------- what stays so until it is said again


def _make_switch(form: type[BaseModel], given: str, kept: str) -> Callable[[Network, Request], Awaitable[Answer]]:
    async def switch(network: Network, request: Request) -> Answer:
        account, body = find_account(network, request), await read_body(request, form)
        setattr(account.profile, kept, getattr(body, given))
        account.save_profile()
        return describe(network, account)

    return switch


# What came while devices were away is pushed once more, as new messages, some time after they are back.
change_replay = _make_switch(Replay, "late", "replays_late")
# Pairings use their code up and never log in, as WhatsApp does when it asks for a passkey.
change_pairing = _make_switch(Stall, "stall", "stalls_pairing")
# How long pages sync from the next login on.
change_sync = _make_switch(Sync, "seconds", "sync_seconds")
# Everything that the account sends is refused.
change_refusal = _make_switch(Refusal, "refuse", "refuses_sends")
