"""What a linked page does with messages: look numbers up, send, confirm, read, type."""

import time
from typing import Any

from sandbox.whatsapp_web.accounts import Account, Message
from sandbox.whatsapp_web.network import Network
from sandbox.whatsapp_web.pages import Page

_FILE_FIELDS = ("mimetype", "filename", "size", "duration", "caption")
_PLACE_FIELDS = ("directPath", "filehash", "encFilehash", "mediaKey", "mediaKeyTimestamp")
_QUOTE_FIELDS = ("quotedStanzaID", "quotedParticipant", "quotedMsg")
_KEPT_FIELDS = ("body", "type", *_FILE_FIELDS, *_PLACE_FIELDS, *_QUOTE_FIELDS)


async def look_up(network: Network, page: Page, frame: dict[str, Any]) -> dict[str, Any]:
    """Whether an address has a WhatsApp account."""
    contact = _account(page).reach(frame["id"])
    return {"exists": contact is not None, "contact": contact.to_wire() if contact else None}


async def send(network: Network, page: Page, frame: dict[str, Any]) -> dict[str, Any]:
    """A message from a linked device.

    The phone logs every time that a page asks for it, also for an id that it has seen. Only the page's own repetition
    of a frame that got no answer (`retry`) is answered without a second event: the socket broke, nobody asked twice.
    """
    account, sent = _account(page), frame["msg"]
    known = account.find_message(sent["id"])
    if known is not None and frame.get("retry"):
        return {"ok": True, "t": known["t"]}
    # What counts is the file that arrived, not what the page says of it.
    file = network.media.find(sent["directPath"]) if sent.get("directPath") else None
    if file is not None:
        sent["size"] = file.stat().st_size
    is_person = sent["to"].endswith(("@c.us", "@lid"))
    contact = account.reach(sent["to"]) if is_person else None
    facts = {
        "id": sent["id"],
        "to": sent["to"],
        "number": contact.number if contact else None,
        "body": sent.get("body"),
        "type": sent.get("type", "chat"),
        "device": page.device.id if page.device else None,
        "quoted": sent.get("quotedStanzaID"),
        **({name: sent.get(name) for name in _FILE_FIELDS} if file is not None else {}),
    }
    if reason := _refusal(account, is_known=contact is not None or not is_person):
        account.log("refused", reason=reason, **facts)
        return {"ok": False}
    copies = known.get("copies", 1) + 1 if known else 1
    account.log("sent", copies=copies, **facts)
    if known is not None:
        account.update(known, {"copies": copies})
        return {"ok": True, "t": known["t"]}
    message = _outbound(account, sent)
    account.record(message)
    await network.deliver(account, message, skip=page)
    network.acknowledge_soon(account, message)
    return {"ok": True, "t": message["t"]}


async def confirm(network: Network, page: Page, frame: dict[str, Any]) -> None:
    """A page has a message that was pushed to it, or only its envelope: then its real form stays due."""
    if page.device is None:
        return
    account = _account(page)
    message = account.find_message(frame["id"])
    if frame.get("sealed") and message is not None and not message.get("undecrypted"):
        return
    account.confirm(page.device, frame["id"])
    account.log("delivered", id=frame["id"], device=page.device.id)


async def read(network: Network, page: Page, frame: dict[str, Any]) -> None:
    """A page read messages."""
    account = _account(page)
    account.mark_seen(frame["chat"], frame["ids"])
    account.log("read", chat=frame["chat"], ids=frame["ids"])


async def report_chatstate(network: Network, page: Page, frame: dict[str, Any]) -> None:
    """A page shows the contact that its user types, records, or stopped."""
    _account(page).log("chatstate", chat=frame["chat"], state=frame["state"])


async def report_availability(network: Network, page: Page, frame: dict[str, Any]) -> None:
    """A page shows its user online or not."""
    _account(page).log("available", value=bool(frame["value"]))


async def subscribe(network: Network, page: Page, frame: dict[str, Any]) -> None:
    """A page wants to know when a contact is online; nobody here ever shows it."""


OPERATIONS = {
    "query": look_up,
    "send": send,
    "msg_ack": confirm,
    "read": read,
    "chatstate": report_chatstate,
    "available": report_availability,
    "subscribe": subscribe,
}


def _account(page: Page) -> Account:
    if page.account is None:
        raise LookupError("this page is not linked")
    return page.account


def _refusal(account: Account, *, is_known: bool) -> str | None:
    if account.profile.restricted:
        return "restricted"
    if account.profile.refuses_sends:
        return "refuses_sends"
    return None if is_known else "unregistered"


def _outbound(account: Account, sent: dict[str, Any]) -> Message:
    kept = {name: sent[name] for name in _KEPT_FIELDS if sent.get(name) is not None}
    return {
        **kept,
        "id": {"fromMe": True, "remote": sent["to"], "id": sent["id"]},
        "from": sent.get("from") or account.pn,
        "to": sent["to"],
        "t": int(time.time()),
        "self": "out",
        "ack": 1,
        "via": "device",
    }
