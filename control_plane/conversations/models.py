"""Messages, chats and threads as stored."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tenant_runner.contract import MediaFacts

Status = Literal["automatic", "suspended", "waiting_for_human"]


class Reaction(BaseModel):
    """An emoji that somebody put on a message; empty when it was taken back."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    emoji: str
    at: datetime


class Message(BaseModel):
    """One message of `client_messages`.

    Attributes:
        sequence: orders messages of one second.
        edited_at: its text is the newest one since then.
        revoked_at: its author deleted it for everyone; the text is gone.
        reactions: by author.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    message_id: str
    chat_id: str
    author: Literal["contact", "assistant", "owner", "agent"]
    kind: str
    text: str
    sent_at: datetime
    sequence: int = 0
    contact_name: str | None = None
    contact_phone: str | None = None
    in_reply_to: tuple[str, ...] = ()
    outcome: str | None = None
    ack: str | None = None
    quoted_id: str | None = None
    media: MediaFacts | None = None
    edited_at: datetime | None = None
    revoked_at: datetime | None = None
    reactions: dict[str, Reaction] = Field(default_factory=dict)


class ChatStatus(BaseModel):
    """Who answers in a chat; `until` says when the assistant does again by itself, None that somebody must say so."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    status: Status = "automatic"
    reason: str | None = None
    until: datetime | None = None

    def now(self, now: datetime) -> "ChatStatus":
        """What it is at that moment: a time that is over needs no event."""
        return ChatStatus() if self.until is not None and self.until <= now else self


class Chat(BaseModel):
    """A chat in a list: its last message, and who answers."""

    model_config = ConfigDict(frozen=True)

    chat_id: str
    contact_name: str | None
    contact_phone: str | None
    last: Message
    status: ChatStatus = ChatStatus()


class ChatPage(BaseModel):
    """Chats, the newest first; `before` is the cursor of the next page, None at the end."""

    model_config = ConfigDict(frozen=True)

    chats: tuple[Chat, ...]
    before: str | None


class Page(BaseModel):
    """Messages newest first; `before` is the cursor of the next page, None at the end.

    Attributes:
        quoted: those of the chat's messages that these quote and that are still there, by id.
        status: who answers in the chat now.
    """

    model_config = ConfigDict(frozen=True)

    messages: tuple[Message, ...]
    before: str | None
    quoted: dict[str, Message] = Field(default_factory=dict)
    status: ChatStatus = ChatStatus()
