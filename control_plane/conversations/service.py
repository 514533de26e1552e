"""What pages show of conversations, and who answers in them."""

import base64
import binascii
from datetime import UTC, datetime

from control_plane.audit.act import current_act
from control_plane.conversations.models import ChatPage, Page
from control_plane.conversations.repository import Conversations
from control_plane.errors import NotFound
from control_plane.runners.gateway import RunnerGateway
from tenant_runner.contract import ConversationRequest

PAGE_SIZE = 50


async def list_chats(
    *, conversations: Conversations, before: str | None = None, waiting: bool = False, limit: int = PAGE_SIZE
) -> ChatPage:
    """A page of the client's chats, the newest first.

    Args:
        before: cursor that the page before gave, or None for the newest chats.
        waiting: only those that wait for a person.

    Raises:
        NotFound: the cursor is none of ours.
    """
    found = await conversations.list_chats(before=_decode(before), waiting=waiting, limit=limit + 1)
    chats, more = found[:limit], len(found) > limit
    return ChatPage(chats=tuple(chats), before=_encode(chats[-1].last.sent_at, chats[-1].chat_id) if more else None)


async def show_chat(chat_id: str, *, before: str | None, conversations: Conversations) -> Page:
    """A page of a chat's messages, newest first.

    Args:
        before: cursor that the page before gave, or None for the newest messages.

    Raises:
        NotFound: the cursor is none of ours.
    """
    cursor = _decode(before)
    try:
        older_than = (cursor[0], int(cursor[1])) if cursor else None
    except ValueError as error:
        raise NotFound("this page of messages does not exist") from error
    found = await conversations.list_messages(chat_id, before=older_than, limit=PAGE_SIZE + 1)
    messages = found[:PAGE_SIZE]
    more = len(found) > PAGE_SIZE
    quoted = {message.quoted_id for message in messages if message.quoted_id}
    return Page(
        messages=tuple(messages),
        before=_encode(messages[-1].sent_at, str(messages[-1].sequence)) if more else None,
        quoted=await conversations.get_messages(chat_id, quoted) if quoted else {},
        status=await conversations.get_status(chat_id, datetime.now(UTC)),
    )


async def set_automatic(request: ConversationRequest, *, gateway: RunnerGateway, conversations: Conversations) -> None:
    """Have the assistant answer in a chat, or be quiet there until somebody says otherwise.

    Raises:
        RunnerUnreachable, RunnerRefused: nothing was changed (503, 502).
    """
    at = datetime.now(UTC)
    current_act().about(chat_id=request.chat_id)
    await gateway.set_automatic(request)
    # The runner tells it too, with its next delivery and a later time; who pressed the button sees it at once.
    status = "automatic" if request.automatic else "suspended"
    before = await conversations.set_status(request.chat_id, status, "portal", at, until=None)
    current_act().changed({"status": before}, {"status": status})


def _encode(moment: datetime, name: str) -> str:
    return base64.urlsafe_b64encode(f"{moment.isoformat()} {name}".encode()).decode()


def _decode(cursor: str | None) -> tuple[datetime, str] | None:
    if cursor is None:
        return None
    try:
        moment, _, name = base64.urlsafe_b64decode(cursor.encode()).decode().partition(" ")
        return datetime.fromisoformat(moment), name
    except (ValueError, binascii.Error) as error:
        raise NotFound("this page of messages does not exist") from error
