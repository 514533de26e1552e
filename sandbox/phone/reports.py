"""What the phone's HTTP API tells: open pages, accounts, events, messages, chats."""

import io
import time
from http import HTTPStatus
from typing import Any

import segno
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from sandbox.phone.calls import Answer, find_account, find_message, read_number
from sandbox.whatsapp_web.accounts import Account, Contact, Message
from sandbox.whatsapp_web.messages import CHANGES
from sandbox.whatsapp_web.network import Network


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


async def show_state(network: Network, request: Request) -> Answer:
    """Every account with its devices, and whether an outage is on."""
    return {"outage": network.is_down, "phones": [describe(network, account) for account in network.accounts.values()]}


async def list_events(network: Network, request: Request) -> Answer:
    """What the phone saw, oldest first; `after` and `kind` narrow it."""
    account = find_account(network, request)
    after, kind = read_number(request, "after", default=-1), request.query_params.get("kind")
    return [event for event in account.events if event["n"] > after and kind in (None, event["kind"])]


async def list_messages(network: Network, request: Request) -> Answer:
    """The account's messages, oldest first; `chat` (an address) narrows it."""
    account, chat = find_account(network, request), request.query_params.get("chat")
    return [_show(message) for message in _written(account) if chat in (None, message["id"]["remote"])]


async def give_file(network: Network, request: Request) -> Response:
    """The file of a message, to be shown or saved; whatever it is, it is no page of this site."""
    message = find_message(find_account(network, request), request.path_params["message"])
    file = network.media.find(message.get("directPath") or "")
    if file is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "this message has no file, or not any more")
    headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    return FileResponse(file, media_type=message.get("mimetype"), headers=headers)


async def list_chats(network: Network, request: Request) -> Answer:
    """Chats with their last message, the newest first."""
    account = find_account(network, request)
    unread = account.count_unread()
    last: dict[str, Message] = {}
    for message in _written(account):
        last.pop(message["id"]["remote"], None)
        last[message["id"]["remote"]] = message
    return [
        {"chat": chat, **_who(account, chat), "unread": unread.get(chat, 0), "last": _show(message)}
        for chat, message in reversed(last.items())
    ]


def describe(network: Network, account: Account) -> dict[str, Any]:
    """An account with its devices and switches."""
    return {
        "phone": account.number,
        "name": account.profile.name,
        "refuses_sends": account.profile.refuses_sends,
        "stalls_pairing": account.profile.stalls_pairing,
        "restricted": account.profile.restricted,
        "sync_seconds": account.profile.sync_seconds,
        "replays_late": account.profile.replays_late,
        "losses": {operation: planned for operation, planned in account.losses.items() if planned},
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


def _written(account: Account) -> list[Message]:
    return [message for message in account.messages if message.get("type") not in CHANGES]


def _show(message: Message) -> dict[str, Any]:
    return {**message, "copies": message.get("copies", 1)}


def _who(account: Account, chat: str) -> dict[str, Any]:
    contact: Contact | None = account.find_contact(chat)
    if contact is None:
        return {"number": None, "title": chat, "self": False}
    title = contact.name or contact.pushname or f"+{contact.number}"
    return {"number": contact.number, "title": title, "self": contact.number == account.number}
