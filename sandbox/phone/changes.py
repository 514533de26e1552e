"""What happens to messages that are there: decrypted, edited, taken back, reacted to, forgotten by the servers.

A change that a person makes travels as a message of its own: devices that are away get it when they are back.
"""

import time
from typing import Any

from starlette.requests import Request

from sandbox.phone.calls import Answer, find_account, find_message, read_body
from sandbox.phone.requests import Edit, Named, Patch, Reaction
from sandbox.whatsapp_web.accounts import Account, Message, make_message_id
from sandbox.whatsapp_web.network import Network


async def edit(network: Network, request: Request) -> Answer:
    """Whoever wrote a message changes its text."""
    account, body = find_account(network, request), await read_body(request, Edit)
    message = find_message(account, body.id)
    account.update(message, {"caption" if message.get("directPath") else "body": body.body, "edited": True})
    change = {"type": "protocol", "subtype": "message_edit", "body": body.body}
    return await _tell(network, account, message, change, from_me=message["id"]["fromMe"])


async def revoke(network: Network, request: Request) -> Answer:
    """Whoever wrote a message takes it back, for everybody."""
    account, body = find_account(network, request), await read_body(request, Named)
    message = find_message(account, body.id)
    account.update(message, {"type": "revoked", "body": "", "caption": None, "directPath": None})
    change = {"type": "protocol", "subtype": "sender_revoke"}
    return await _tell(network, account, message, change, from_me=message["id"]["fromMe"])


async def react(network: Network, request: Request) -> Answer:
    """The contact reacts to a message with an emoji, or takes the reaction back."""
    account, body = find_account(network, request), await read_body(request, Reaction)
    message = find_message(account, body.id)
    account.update(message, {"reaction": body.emoji or None})
    return await _tell(network, account, message, {"type": "reaction", "reactionText": body.emoji}, from_me=False)


async def decrypt(network: Network, request: Request) -> Answer:
    """The real form of a message that linked devices could not read."""
    account, body = find_account(network, request), await read_body(request, Named)
    message = find_message(account, body.id)
    account.update(message, {"undecrypted": False})
    await network.deliver(account, message)
    return {"id": body.id}


async def expire(network: Network, request: Request) -> Answer:
    """WhatsApp's servers have forgotten the file of a message."""
    account, body = find_account(network, request), await read_body(request, Named)
    network.media.delete(find_message(account, body.id).get("directPath") or "")
    return {"id": body.id}


async def patch(network: Network, request: Request) -> Answer:
    """Change a message by hand, also on the pages that have it."""
    account, body = find_account(network, request), await read_body(request, Patch)
    account.update(find_message(account, body.id), body.set)
    for page in network.online_pages(account):
        await page.send("patch", id=body.id, set=body.set)
    return {"id": body.id}


async def _tell(
    network: Network, account: Account, target: Message, change: dict[str, Any], *, from_me: bool
) -> Answer:
    key = target["id"]
    contact = account.find_contact(key["remote"])
    own = account.own_address(contact) if contact else account.pn
    message = {
        **change,
        "id": {**key, "fromMe": from_me, "id": make_message_id()},
        "protocolMessageKey": key,
        "from": own if from_me else key["remote"],
        "to": key["remote"] if from_me else own,
        "t": int(time.time()),
        "self": "out" if from_me else "in",
        "ack": 1,
        "seen": True,
    }
    account.record(message)
    await network.deliver(account, message)
    return {"id": key["id"], "change": message["id"]["id"]}
