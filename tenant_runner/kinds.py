"""What is done with each kind of message; docs/messages.md has the table."""

from enum import Enum

from tenant_runner.journal.messages import WORDED_ANSWERS


class Handling(Enum):
    """How a customer's message of a kind is met."""

    WORDS = "its text is answered"
    IMAGE = "the assistant looks at it"
    VOICE = "what is said in it is answered"
    UNREADABLE = "the customer is told that it cannot be understood"
    SILENT = "nobody expects an answer"


_OF_KIND = {
    **dict.fromkeys(("chat", *WORDED_ANSWERS), Handling.WORDS),
    **dict.fromkeys(("ptt", "audio"), Handling.VOICE),
    "image": Handling.IMAGE,
    # Gestures, parts of others, and notices: an answer to them would be odd.
    **dict.fromkeys(
        (
            "sticker",
            "reaction",
            "album",
            "poll_update",
            "event_response",
            "pin_message",
            "keep_in_chat",
            "call_log",
            "protocol",
            "revoked",
            "debug",
        ),
        Handling.SILENT,
    ),
}

IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp", "image/gif")


def handling_of(kind: str, mimetype: str | None, *, sees: bool, hears: bool) -> Handling:
    """How a message is met by an assistant that sees pictures or not, hears recordings or not.

    Args:
        kind: the channel's type.
        mimetype: of its file, where the channel knows it.
        sees: the assistant takes pictures.
        hears: the assistant can transcribe.
    """
    handling = _OF_KIND.get(kind, Handling.UNREADABLE)
    if handling is Handling.IMAGE and not (sees and (mimetype is None or bare_type(mimetype) in IMAGE_TYPES)):
        return Handling.UNREADABLE
    if handling is Handling.VOICE and not hears:
        return Handling.UNREADABLE
    return handling


def bare_type(mimetype: str) -> str:
    """A media type without its parameters, in lower case."""
    return mimetype.partition(";")[0].strip().lower()
