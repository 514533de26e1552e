"""What a person does with a phone: link, write, report, unlink."""

import time
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from sandbox.phone.calls import Answer, find_account, find_message, read_body
from sandbox.phone.reports import describe
from sandbox.phone.requests import Incoming, Open, Own, Pair, RawMessage, Receipt
from sandbox.whatsapp_web import linking
from sandbox.whatsapp_web.accounts import Account, Contact, Message, make_message_id
from sandbox.whatsapp_web.messages import guess_kind, make_content
from sandbox.whatsapp_web.network import Network

# -------------------------------------------------------------------- linking


async def open_phone(network: Network, request: Request) -> Answer:
    """Take a phone, new or known."""
    body = await read_body(request, Open)
    return describe(network, network.open_account(body.phone, body.name, body.platform))


async def pair(network: Network, request: Request) -> Answer:
    """Link the page that shows a QR code or a link code."""
    body = await read_body(request, Pair)
    account = network.open_account(body.phone, body.name, body.platform)
    try:
        if body.qr is not None:
            device = await linking.pair_by_qr(network, account, body.qr)
        else:
            device = await linking.pair_by_code(network, account, body.code or "")
    except linking.PairingRefused as refusal:
        account.log("pairing_refused", reason=str(refusal))
        raise HTTPException(HTTPStatus.CONFLICT, str(refusal)) from refusal
    return {"deviceId": device.id if device else None, "phone": account.number, "stalled": device is None}


async def log_out(network: Network, request: Request) -> Answer:
    """Unlink every device on the phone."""
    account = find_account(network, request)
    devices = list(account.devices)
    for device_id in devices:
        await network.unlink(account, device_id, "unknown_companion")
    return {"unlinked": devices}


# -------------------------------------------------------------------- messages


async def receive_incoming(network: Network, request: Request) -> Answer:
    """A customer writes."""
    account, body = find_account(network, request), await read_body(request, Incoming)
    contact = account.know(body.sender, pushname=body.pushname, name=body.name, addressing=body.addressing)
    return await _deliver(
        network,
        account,
        {
            "id": {"fromMe": False, "remote": contact.chat_id, "id": body.id or make_message_id()},
            "from": contact.chat_id,
            "to": account.own_address(contact),
            "t": int(time.time()) if body.t is None else body.t,
            "body": body.body,
            **_content(network, body),
            **_quote(account, contact, body.quoted),
            "self": "in",
            "ack": 1,
            "notifyName": contact.pushname or "",
            "undecrypted": body.undecrypted,
        },
    )


async def write_own(network: Network, request: Request) -> Answer:
    """The owner writes on the phone; what is in that chat is read by that."""
    account, body = find_account(network, request), await read_body(request, Own)
    contact = account.know(body.to, addressing=body.addressing)
    account.mark_seen(contact.chat_id)
    for page in network.online_pages(account):
        await page.send("seen_elsewhere", chat=contact.chat_id)
    return await _deliver(
        network,
        account,
        {
            "id": {"fromMe": True, "remote": contact.chat_id, "id": body.id or make_message_id()},
            "from": account.own_address(contact),
            "to": contact.chat_id,
            "t": int(time.time()) if body.t is None else body.t,
            "type": "chat",
            "body": body.body,
            "self": "out",
            "ack": 1,
            "via": "phone",
        },
    )


async def receive_raw(network: Network, request: Request) -> Answer:
    """A message of any shape arrives."""
    account, body = find_account(network, request), await read_body(request, RawMessage)
    message = body.model_dump()
    if not isinstance(message["id"].get("remote"), str) or not isinstance(message["id"].get("fromMe"), bool):
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "id: remote (text) and fromMe (true or false) are needed")
    message["id"].setdefault("id", make_message_id())
    message["t"] = int(time.time()) if body.t is None else body.t
    message.setdefault("from", account.pn if message["id"]["fromMe"] else message["id"]["remote"])
    message.setdefault("to", message["id"]["remote"] if message["id"]["fromMe"] else account.pn)
    return await _deliver(network, account, message)


async def send_receipt(network: Network, request: Request) -> Answer:
    """A customer's phone reports on a message that the account sent."""
    account, body = find_account(network, request), await read_body(request, Receipt)
    await network.acknowledge(account, find_message(account, body.id), body.ack)
    return {"id": body.id, "ack": body.ack}


def _content(network: Network, body: Incoming) -> dict[str, Any]:
    if body.media is None:
        kind = body.type or "chat"
        return {"type": kind, **make_content(kind, body.body)}
    file = body.media
    facts = {"mimetype": file.mimetype, "filename": file.filename, "duration": file.duration}
    return {
        "type": body.type or guess_kind(file.mimetype),
        "body": "",
        "caption": file.caption or body.body,
        **{name: value for name, value in facts.items() if value is not None},
        **network.media.put(file.data),
    }


def _quote(account: Account, contact: Contact, quoted: str | None) -> dict[str, Any]:
    if quoted is None:
        return {}
    message = find_message(account, quoted)
    return {
        "quotedStanzaID": quoted,
        "quotedParticipant": account.own_address(contact) if message["id"]["fromMe"] else contact.chat_id,
        "quotedMsg": {"type": message.get("type"), "body": message.get("body")},
    }


async def _deliver(network: Network, account: Account, message: Message) -> Answer:
    account.record(message)
    pushed_at = time.time()
    await network.deliver(account, message)
    key = message["id"]
    serialized = f"{'true' if key['fromMe'] else 'false'}_{key['remote']}_{key['id']}"
    return {"id": key["id"], "serialized": serialized, "chat": key["remote"], "at": pushed_at}
