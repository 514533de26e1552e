"""The phone over HTTP, under /phone/api: what a person does with a phone, and what it saw. See docs/sandbox.md."""

import io
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar

import segno
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.phone.requests import (
    Incoming,
    Open,
    Outage,
    Own,
    Pair,
    Patch,
    RawMessage,
    Receipt,
    Refusal,
    Registration,
)
from sandbox.whatsapp_web import linking
from sandbox.whatsapp_web.accounts import Account, Contact, Message, make_message_id
from sandbox.whatsapp_web.network import Network

Body = TypeVar("Body", bound=BaseModel)
Answer = dict[str, Any] | list[dict[str, Any]]
Call = Callable[[Network, Request], Awaitable[Answer | Response]]


def routes(network: Network) -> list[Route]:
    """The API's routes on one network."""
    return [
        Route(path, _endpoint(network, call), methods=[method])
        for method, path, call in (
            ("GET", "/sessions", list_sessions),
            ("GET", "/sessions/{session}/qr.svg", draw_session),
            ("POST", "/phones", open_phone),
            ("POST", "/pair", pair),
            ("POST", "/outage", cut_network),
            ("GET", "/state", show_state),
            ("POST", "/{phone}/incoming", receive_incoming),
            ("POST", "/{phone}/own", write_own),
            ("POST", "/{phone}/receipt", send_receipt),
            ("POST", "/{phone}/raw", receive_raw),
            ("POST", "/{phone}/patch", patch_message),
            ("POST", "/{phone}/logout", log_out),
            ("POST", "/{phone}/unregistered", change_registration),
            ("POST", "/{phone}/refuse-sends", change_refusal),
            ("GET", "/{phone}/events", list_events),
            ("GET", "/{phone}/messages", list_messages),
            ("GET", "/{phone}/chats", list_chats),
        )
    ]


# -------------------------------------------------------------------- linking


async def list_sessions(network: Network, request: Request) -> Answer:
    """Open pages: those that wait for a scan say their QR code, the others whose device they are."""
    return [
        {
            "session": page.id,
            "opened_at": page.opened_at,
            "qr": page.qr,
            "refs": page.refs,
            "expires_in_s": max(0.0, page.ref_expires_at - time.time()) if page.refs else None,
            "phone": page.account.number if page.account else None,
            "device": page.device.id if page.device else None,
            "ready": page.ready,
        }
        for page in network.pages
    ]


async def draw_session(network: Network, request: Request) -> Response:
    """The QR code of a waiting page as a picture."""
    page = next((page for page in network.pages if page.id == request.path_params["session"]), None)
    if page is None or page.qr is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "this page shows no QR code")
    picture = io.BytesIO()
    segno.make(page.qr, error="l", micro=False).save(picture, kind="svg", border=4, light="#fff")
    return Response(picture.getvalue(), media_type="image/svg+xml", headers={"Cache-Control": "no-store"})


async def open_phone(network: Network, request: Request) -> Answer:
    """Take a phone, new or known."""
    body = await _read(request, Open)
    return _describe(network, network.open_account(body.phone, body.name, body.platform))


async def pair(network: Network, request: Request) -> Answer:
    """Link the page that shows a QR code or a link code."""
    body = await _read(request, Pair)
    account = network.open_account(body.phone, body.name, body.platform)
    try:
        if body.qr is not None:
            device = await linking.pair_by_qr(network, account, body.qr)
        else:
            device = await linking.pair_by_code(network, account, body.code or "")
    except linking.PairingRefused as refusal:
        account.log("pairing_refused", reason=str(refusal))
        raise HTTPException(HTTPStatus.CONFLICT, str(refusal)) from refusal
    return {"deviceId": device.id, "phone": account.number}


async def log_out(network: Network, request: Request) -> Answer:
    """Unlink every device on the phone."""
    account = _account(network, request)
    devices = list(account.devices)
    for device_id in devices:
        await network.unlink(account, device_id, "unknown_companion")
    return {"unlinked": devices}


# -------------------------------------------------------------------- messages


async def receive_incoming(network: Network, request: Request) -> Answer:
    """A customer writes."""
    account, body = _account(network, request), await _read(request, Incoming)
    contact = account.know(body.sender, pushname=body.pushname, name=body.name, addressing=body.addressing)
    return await _deliver(
        network,
        account,
        {
            "id": {"fromMe": False, "remote": contact.chat_id, "id": body.id or make_message_id()},
            "from": contact.chat_id,
            "to": account.own_address(contact),
            "t": int(time.time()) if body.t is None else body.t,
            "type": body.type,
            "body": body.body,
            "self": "in",
            "ack": 1,
            "notifyName": contact.pushname or "",
        },
    )


async def write_own(network: Network, request: Request) -> Answer:
    """The owner writes on the phone; what is in that chat is read by that."""
    account, body = _account(network, request), await _read(request, Own)
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
    account, body = _account(network, request), await _read(request, RawMessage)
    message = body.model_dump()
    if not isinstance(message["id"].get("remote"), str) or not isinstance(message["id"].get("fromMe"), bool):
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "id: remote (text) and fromMe (true or false) are needed")
    message["id"].setdefault("id", make_message_id())
    message["t"] = int(time.time()) if body.t is None else body.t
    message.setdefault("from", account.pn if message["id"]["fromMe"] else message["id"]["remote"])
    message.setdefault("to", message["id"]["remote"] if message["id"]["fromMe"] else account.pn)
    return await _deliver(network, account, message)


async def patch_message(network: Network, request: Request) -> Answer:
    """Change a message, also on the pages that have it."""
    account, body = _account(network, request), await _read(request, Patch)
    account.update(_message(account, body.id), body.set)
    for page in network.online_pages(account):
        await page.send("patch", id=body.id, set=body.set)
    return {"id": body.id}


async def send_receipt(network: Network, request: Request) -> Answer:
    """A customer's phone reports on a message that the account sent."""
    account, body = _account(network, request), await _read(request, Receipt)
    await network.acknowledge(account, _message(account, body.id), body.ack)
    return {"id": body.id, "ack": body.ack}


# -------------------------------------------------------------------- the network


async def cut_network(network: Network, request: Request) -> Answer:
    """An outage: pages lose their connection and get none for a while."""
    body = await _read(request, Outage)
    await network.cut(body.seconds)
    return {"seconds": body.seconds}


async def change_registration(network: Network, request: Request) -> Answer:
    """Say that a number has no WhatsApp account (or has one again)."""
    account, body = _account(network, request), await _read(request, Registration)
    change = account.profile.unregistered.add if body.unregistered else account.profile.unregistered.discard
    change(body.number)
    account.save_profile()
    return _describe(network, account)


async def change_refusal(network: Network, request: Request) -> Answer:
    """Have everything that this account sends refused (or accepted again)."""
    account, body = _account(network, request), await _read(request, Refusal)
    account.profile.refuses_sends = body.refuse
    account.save_profile()
    return _describe(network, account)


# -------------------------------------------------------------------- what the phone knows


async def show_state(network: Network, request: Request) -> Answer:
    """Every account with its devices, and whether an outage is on."""
    return {"outage": network.is_down, "phones": [_describe(network, account) for account in network.accounts.values()]}


async def list_events(network: Network, request: Request) -> Answer:
    """What the phone saw, oldest first; `after` and `kind` narrow it."""
    account = _account(network, request)
    after, kind = _number(request, "after", default=-1), request.query_params.get("kind")
    return [event for event in account.events if event["n"] > after and kind in (None, event["kind"])]


async def list_messages(network: Network, request: Request) -> Answer:
    """The account's messages, oldest first; `chat` (an address) narrows it."""
    account, chat = _account(network, request), request.query_params.get("chat")
    return [_show(message) for message in account.messages if chat in (None, message["id"]["remote"])]


async def list_chats(network: Network, request: Request) -> Answer:
    """Chats with their last message, the newest first."""
    account = _account(network, request)
    unread = account.count_unread()
    last: dict[str, Message] = {}
    for message in account.messages:
        last.pop(message["id"]["remote"], None)
        last[message["id"]["remote"]] = message
    return [
        {"chat": chat, **_who(account, chat), "unread": unread.get(chat, 0), "last": _show(message)}
        for chat, message in reversed(last.items())
    ]


# -------------------------------------------------------------------- plumbing


def _endpoint(network: Network, call: Call) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        # The API has no key: at least no page of another site may use a visitor's browser to call it.
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise HTTPException(HTTPStatus.FORBIDDEN, "pages of other sites may not use the phone")
        result = await call(network, request)
        if isinstance(result, Response):
            return result
        return JSONResponse(result, headers={"Cache-Control": "no-store"})

    return answer


async def _read(request: Request, model: type[Body]) -> Body:
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        causes = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, causes) from error


def _number(request: Request, name: str, *, default: int) -> int:
    try:
        return int(request.query_params.get(name, default))
    except ValueError as error:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name}: not a number") from error


def _account(network: Network, request: Request) -> Account:
    account = network.accounts.get(request.path_params["phone"])
    if account is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "no such phone: open it or pair it first")
    return account


def _message(account: Account, message_id: str) -> Message:
    message = account.find_message(message_id)
    if message is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "no such message on this phone")
    return message


async def _deliver(network: Network, account: Account, message: Message) -> Answer:
    account.record(message)
    await network.deliver(account, message)
    key = message["id"]
    serialized = f"{'true' if key['fromMe'] else 'false'}_{key['remote']}_{key['id']}"
    return {"id": key["id"], "serialized": serialized, "chat": key["remote"]}


def _show(message: Message) -> dict[str, Any]:
    return {**message, "copies": message.get("copies", 1)}


def _who(account: Account, chat: str) -> dict[str, Any]:
    contact: Contact | None = account.find_contact(chat)
    if contact is None:
        return {"number": None, "title": chat, "self": False}
    title = contact.name or contact.pushname or f"+{contact.number}"
    return {"number": contact.number, "title": title, "self": contact.number == account.number}


def _describe(network: Network, account: Account) -> dict[str, Any]:
    return {
        "phone": account.number,
        "name": account.profile.name,
        "refuses_sends": account.profile.refuses_sends,
        "unregistered": sorted(account.profile.unregistered),
        "devices": [
            {
                "id": device.id,
                "linked_at": device.linked_at,
                "online": (page := network.find_page(device.id)) is not None,
                "ready": page is not None and page.ready,
            }
            for device in account.devices.values()
        ],
    }
