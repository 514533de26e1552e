"""What goes wrong at a phone's wish: with the network, with the account, with the frames of its pages."""

from http import HTTPStatus

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


async def change_replay(network: Network, request: Request) -> Answer:
    """Push what came while devices were away once more, as new messages, some time after they are back."""
    account, body = find_account(network, request), await read_body(request, Replay)
    account.profile.replays_late = body.late
    account.save_profile()
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


async def change_pairing(network: Network, request: Request) -> Answer:
    """Have pairings use their code up and never log in, as WhatsApp does when it asks for a passkey."""
    account, body = find_account(network, request), await read_body(request, Stall)
    account.profile.stalls_pairing = body.stall
    account.save_profile()
    return describe(network, account)


async def change_restriction(network: Network, request: Request) -> Answer:
    """WhatsApp restricts the account, or lifts that."""
    account, body = find_account(network, request), await read_body(request, Restriction)
    await network.restrict(account, body.restricted)
    return describe(network, account)


async def change_sync(network: Network, request: Request) -> Answer:
    """How long pages sync from the next login on."""
    account, body = find_account(network, request), await read_body(request, Sync)
    account.profile.sync_seconds = body.seconds
    account.save_profile()
    return describe(network, account)


async def change_registration(network: Network, request: Request) -> Answer:
    """Say that a number has no WhatsApp account (or has one again)."""
    account, body = find_account(network, request), await read_body(request, Registration)
    change = account.profile.unregistered.add if body.unregistered else account.profile.unregistered.discard
    change(body.number)
    account.save_profile()
    return describe(network, account)


async def change_refusal(network: Network, request: Request) -> Answer:
    """Have everything that this account sends refused (or accepted again)."""
    account, body = find_account(network, request), await read_body(request, Refusal)
    account.profile.refuses_sends = body.refuse
    account.save_profile()
    return describe(network, account)
