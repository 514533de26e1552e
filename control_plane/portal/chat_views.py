"""What the portal shows of chats, made from what is stored."""

from dataclasses import dataclass
from datetime import datetime

from control_plane.conversations.models import Chat, ChatStatus, Message
from control_plane.portal.chat_texts import (
    KINDS,
    NO_ANSWER,
    OUTCOMES,
    REASONS,
    SILENT_OUTCOMES,
    SPOKEN,
    STATUSES,
    WITHOUT_WORDS,
)
from control_plane.portal.texts import AUTHORS, FATES, Label
from tenant_runner.contract import MediaFacts

QUOTE_CHARS = 160


@dataclass(frozen=True)
class WhoAnswers:
    """Who answers in a chat.

    Attributes:
        until: when the assistant answers again by itself; None if somebody has to say so, or it does already.
        can_pause, can_resume: what the buttons offer.
    """

    label: Label
    reason: str | None
    until: datetime | None
    can_pause: bool
    can_resume: bool


@dataclass(frozen=True)
class ChatLine:
    """A chat in a list, with its last message."""

    chat_id: str
    name: str
    text: str
    kind: str | None
    revoked: bool
    ours: bool
    at: datetime
    status: Label | None


@dataclass(frozen=True)
class Quote:
    """The message that another one quotes; `text` is empty when it is not there any more."""

    author_label: str | None
    text: str
    kind: str | None


@dataclass(frozen=True)
class Bubble:
    """A message in an open chat.

    Attributes:
        text: its words, or what was said in it; empty when it has none to read.
        kind: its name where it is more than text; `unnamed_kind` is the channel's own word for one without a name.
        spoken: `text` is a transcript.
        outcome: why it has no answer.
        reactions: emoji and who put it.
    """

    author: str
    author_label: str
    ours: bool
    text: str
    kind: Label | None
    unnamed_kind: str | None
    spoken: bool
    sent_at: datetime
    fate: Label | None
    edited: bool
    revoked: bool
    outcome: str | None
    media: MediaFacts | None
    quote: Quote | None
    reactions: tuple[tuple[str, str], ...]


def name_chat(chat_id: str, name: str | None, phone: str | None) -> str:
    """How a person calls a chat: the contact's name, else the number, else the address."""
    if name:
        return name
    return f"+{phone}" if phone else chat_id.partition("@")[0]


def make_who_answers(status: ChatStatus) -> WhoAnswers:
    """Who answers in a chat, in words."""
    return WhoAnswers(
        label=STATUSES[status.status],
        reason=REASONS.get(status.reason or "") if status.status != "automatic" else None,
        until=status.until,
        can_pause=status.status != "suspended",
        can_resume=status.status != "automatic",
    )


def make_chat_line(chat: Chat) -> ChatLine:
    """A chat in a list."""
    return ChatLine(
        chat_id=chat.chat_id,
        name=name_chat(chat.chat_id, chat.contact_name, chat.contact_phone),
        text=_words(chat.last),
        kind=_kind(chat.last),
        revoked=chat.last.revoked_at is not None,
        ours=chat.last.author != "contact",
        at=chat.last.sent_at,
        status=STATUSES[chat.status.status] if chat.status.status != "automatic" else None,
    )


def make_bubble(message: Message, quoted: dict[str, Message]) -> Bubble:
    """A message in an open chat; `quoted` has the messages that others quote, by id."""
    ours = message.author != "contact"
    revoked = message.revoked_at is not None
    return Bubble(
        author=message.author,
        author_label=AUTHORS[message.author],
        ours=ours,
        text=_words(message),
        kind=KINDS.get(message.kind),
        unnamed_kind=message.kind if message.kind != "chat" and message.kind not in KINDS else None,
        spoken=message.kind in SPOKEN and bool(message.text),
        sent_at=message.sent_at,
        fate=FATES.get(message.ack or "pending") if ours and message.author != "owner" else None,
        edited=message.edited_at is not None and not revoked,
        revoked=revoked,
        outcome=None if revoked else _say_outcome(message),
        media=message.media,
        quote=_quote(quoted.get(message.quoted_id)) if message.quoted_id else None,
        reactions=tuple(
            (reaction.emoji, AUTHORS.get(author, author))
            for author, reaction in sorted(message.reactions.items())
            if reaction.emoji
        ),
    )


def _words(message: Message) -> str:
    return "" if message.kind in WITHOUT_WORDS else message.text


def _kind(message: Message) -> str | None:
    label = KINDS.get(message.kind)
    return label.text if label else None


def _say_outcome(message: Message) -> str | None:
    if not message.outcome or message.outcome in SILENT_OUTCOMES or message.author in ("assistant", "agent"):
        return None
    return OUTCOMES.get(message.outcome, NO_ANSWER)


def _quote(message: Message | None) -> Quote:
    if message is None or message.revoked_at is not None:
        return Quote(None, "", None)
    words = _words(message)
    text = words if len(words) <= QUOTE_CHARS else words[: QUOTE_CHARS - 1] + "…"
    return Quote(AUTHORS[message.author], text, _kind(message))
