"""What a channel is to the rest of the runner: a session with a state, messages in, texts out."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from tenant_runner.contract import ChannelConfig, LinkCode, MediaFacts, SessionChanged

Ack = Literal["pending", "server", "delivered", "read", "failed"]


@dataclass(frozen=True)
class ChannelMessage:
    """A message as the channel reports it.

    Attributes:
        chat_id: address to answer to.
        kind: the channel's type; `chat` is text.
        from_me: it left from the linked account, from here or from the owner's phone.
        self_chat: the owner wrote to themselves.
        broadcast: group, status or channel: not a chat with one person.
        system: a notice of the channel, not a person's message.
        undecrypted: its content is not readable yet; it comes again under the same id when it is.
        quoted_id: id of the message that it quotes.
        media: facts of its file; `Channel.download` gets it.
    """

    message_id: str
    chat_id: str
    kind: str
    text: str
    sent_at: datetime
    from_me: bool = False
    self_chat: bool = False
    broadcast: bool = False
    system: bool = False
    contact_name: str | None = None
    contact_phone: str | None = None
    undecrypted: bool = False
    quoted_id: str | None = None
    media: MediaFacts | None = None


@dataclass(frozen=True)
class ChannelChange:
    """What happened to a message that is there already.

    Attributes:
        message_id: the message that it happened to.
        text: the new text of an edited one, the emoji of a reaction (empty: taken back), else empty.
        from_me: the linked account did it, not the contact.
    """

    change: Literal["edited", "revoked", "reaction"]
    message_id: str
    chat_id: str
    text: str
    at: datetime
    from_me: bool = False


class ChannelNotReady(Exception):
    """The session is not WORKING, or broke before the channel heard of the request: nothing happened, ask again."""


class SendRefused(Exception):
    """The channel said that the message will not be sent."""


class SendUnknown(Exception):
    """No answer in time: the message may or may not leave; only `find` can tell."""


class MediaGone(Exception):
    """The file cannot be had: deleted, expired, or larger than what was asked for."""


class ChannelListener(Protocol):
    """Who a channel tells; calls come one at a time, in order."""

    async def message_received(self, message: ChannelMessage) -> None:
        """A message appeared; the same one may come more than once."""

    async def message_changed(self, change: ChannelChange) -> None:
        """A message was edited, taken back or reacted to; may come more than once."""

    async def message_acknowledged(self, message_id: str, ack: Ack) -> None:
        """A message of ours got further."""

    def channel_opened(self) -> None:
        """What takes longest of the channel's start is done: other things may have the processor."""

    async def session_changed(self, session: SessionChanged) -> None:
        """The session is another than before."""

    async def catch_up_from(self, phone: str) -> datetime:
        """From when on missed messages are wanted, now that this number is connected."""
        ...

    async def caught_up(self, phone: str, through: datetime) -> None:
        """Every message that was sent to this number until then was told."""


class Channel(Protocol):
    """One linked account. Every call ends within its own deadline."""

    @property
    def session(self) -> SessionChanged:
        """The session now."""
        ...

    async def start(self) -> None:
        """Begin to connect in the background and keep at it until `stop`."""

    async def stop(self) -> None:
        """Let go of everything within 10 s; the account stays linked."""

    async def reconfigure(self, config: ChannelConfig) -> bool:
        """Take over changed settings; False when that needs a restart of the channel."""
        ...

    async def wait_until_working(self) -> None:
        """Return once the session is WORKING."""

    async def new_message_id(self, chat_id: str) -> str:
        """An id for a message to be sent to a chat.

        Raises:
            ChannelNotReady: ask again later.
        """
        ...

    async def send(self, chat_id: str, text: str, message_id: str) -> None:
        """Send a text under an id from `new_message_id`; returns when the channel's server has it.

        Raises:
            ChannelNotReady: it was certainly not handed over.
            SendRefused: it will not leave.
            SendUnknown: it may leave or have left.
        """

    async def find(self, chat_id: str, message_id: str) -> Ack | None:
        """How far a message of ours got; None when the channel does not know it.

        Raises:
            ChannelNotReady: cannot be told now.
        """
        ...

    async def show_typing(self, chat_id: str, duration_s: float) -> None:
        """Show the contact that an answer is being written; returns at once, failures are of no matter."""

    async def mark_read(self, chat_id: str) -> None:
        """Show the contact that their messages were read, at the latest with what is shown or sent next in the chat.

        Failures are of no matter.
        """

    async def refresh_code(self) -> None:
        """Show new codes to link with; only asked for when somebody looks."""

    async def link_code(self, phone: str) -> LinkCode:
        """A code to type on the phone of that number, instead of scanning.

        Raises:
            ChannelNotReady: the session is linked or its page is not open.
        """
        ...

    async def download(self, chat_id: str, message_id: str, max_bytes: int) -> bytes:
        """The file of a message.

        Raises:
            ChannelNotReady: ask again later.
            MediaGone: it cannot be had, or is larger than `max_bytes`.
        """
        ...

    async def recycle(self) -> None:
        """Close what the channel runs on and begin anew; the account stays linked."""

    async def logout(self) -> None:
        """Unlink this device.

        Raises:
            ChannelNotReady: it could not be done now.
        """
