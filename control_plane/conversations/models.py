"""Messages, chats and threads as stored."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """One message of `client_messages`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    message_id: str
    chat_id: str
    author: Literal["contact", "assistant", "owner", "agent"]
    kind: str
    text: str
    sent_at: datetime
    contact_name: str | None = None
    contact_phone: str | None = None
    in_reply_to: tuple[str, ...] = ()
    outcome: str | None = None
    ack: str | None = None


class Chat(BaseModel):
    """A chat in a list: its last message, how many there are, and who answers."""

    model_config = ConfigDict(frozen=True)

    chat_id: str
    contact_name: str | None
    contact_phone: str | None
    messages: int
    last: Message
    status: Literal["automatic", "suspended", "waiting_for_human"] = "automatic"


class Page(BaseModel):
    """Messages newest first; `before` is the cursor of the next page, None at the end."""

    model_config = ConfigDict(frozen=True)

    messages: tuple[Message, ...]
    before: str | None
