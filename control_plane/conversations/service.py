"""What pages show of conversations."""

import base64
import binascii
from datetime import datetime

from control_plane.conversations.models import Chat, Page
from control_plane.conversations.repository import Conversations
from control_plane.errors import NotFound

PAGE_SIZE = 50


async def list_chats(*, conversations: Conversations) -> list[Chat]:
    """The client's chats, the newest first."""
    return await conversations.list_chats()


async def show_chat(chat_id: str, *, before: str | None, conversations: Conversations) -> Page:
    """A page of a chat's messages, newest first.

    Args:
        before: cursor that the page before gave, or None for the newest messages.

    Raises:
        NotFound: the cursor is none of ours.
    """
    found = await conversations.list_messages(chat_id, before=_decode(before), limit=PAGE_SIZE + 1)
    messages = found[:PAGE_SIZE]
    more = len(found) > PAGE_SIZE
    return Page(
        messages=tuple(messages), before=_encode(messages[-1].sent_at, messages[-1].message_id) if more else None
    )


def _encode(moment: datetime, message_id: str) -> str:
    return base64.urlsafe_b64encode(f"{moment.isoformat()} {message_id}".encode()).decode()


def _decode(cursor: str | None) -> tuple[datetime, str] | None:
    if cursor is None:
        return None
    try:
        moment, _, message_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition(" ")
        return datetime.fromisoformat(moment), message_id
    except (ValueError, binascii.Error) as error:
        raise NotFound("this page of messages does not exist") from error
