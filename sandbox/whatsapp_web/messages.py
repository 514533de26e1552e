"""What pages get to see of the messages that a phone holds."""

import base64
from pathlib import Path
from typing import Any

from sandbox.whatsapp_web.accounts import Message

_ENVELOPE = ("id", "from", "to", "author", "t", "self", "ack", "notifyName", "seen")
_THUMBNAIL = base64.b64encode((Path(__file__).parent / "thumbnail.jpg").read_bytes()).decode()
CHANGES = ("protocol", "reaction")
"""Kinds of messages that only say what happened to another one."""

_WITH_THUMBNAIL = ("image", "video", "location")


def to_wire(message: Message) -> Message:
    """The message as a page has it: of one that it cannot decrypt yet, only the envelope."""
    if message.get("undecrypted"):
        return {**{name: message[name] for name in _ENVELOPE if name in message}, "type": "ciphertext"}
    if message.get("type") in _WITH_THUMBNAIL and not message.get("body"):
        return {**message, "body": _THUMBNAIL}
    return message


def make_content(kind: str, text: str) -> dict[str, Any]:
    """What a message of a kind holds beside its text; kinds without anything of their own hold nothing."""
    match kind:
        case "location":
            return {"lat": -34.6037, "lng": -58.3816, "loc": text, "body": ""}
        case "vcard":
            card = f"BEGIN:VCARD\nVERSION:3.0\nFN:{text}\nTEL;type=CELL;waid=5491100000000:+5491100000000\nEND:VCARD"
            return {"vcardFormattedName": text, "body": card}
        case "poll_creation":
            options = [{"name": name, "localId": number} for number, name in enumerate(("Sí", "No"))]
            return {"pollName": text, "pollOptions": options, "pollSelectableOptionsCount": 1}
        case _:
            return {}


def guess_kind(mimetype: str) -> str:
    """The kind of message that carries a file of this type, if nobody says otherwise."""
    family = mimetype.partition("/")[0]
    return family if family in ("image", "audio", "video") else "document"
