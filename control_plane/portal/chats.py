"""A client's conversations."""

from urllib.parse import quote

from fastapi import Request, Response

from control_plane.conversations import service
from control_plane.conversations.repository import Conversations
from control_plane.dependencies import DatabaseDep
from control_plane.portal.clients_list import HERE
from control_plane.portal.page import ClientDep, portal_router, show
from control_plane.portal.views import make_bubble, make_chat_line, name_chat

router = portal_router()


@router.get("/clients/{client_id}/chats")
async def show_chats(request: Request, client: ClientDep, database: DatabaseDep) -> Response:
    """The client's chats, the newest first."""
    chats = await service.list_chats(conversations=Conversations(database, client.id))
    context = {"client": client, "chats": [make_chat_line(chat) for chat in chats]}
    return show(request, "chats.html", context, here=HERE)


@router.get("/clients/{client_id}/chats/{chat_id}")
async def show_chat(
    request: Request, client: ClientDep, chat_id: str, database: DatabaseDep, before: str | None = None
) -> Response:
    """One chat's messages in the order of a chat, the newest at the bottom."""
    conversations = Conversations(database, client.id)
    page = await service.show_chat(chat_id, before=before, conversations=conversations)
    contact = next((message for message in page.messages if message.author == "contact"), None)
    address = f"/admin/clients/{client.id}/chats/{quote(chat_id, safe='')}"
    context = {
        "client": client,
        "chat_name": name_chat(
            chat_id, contact.contact_name if contact else None, contact.contact_phone if contact else None
        ),
        "messages": [make_bubble(message) for message in reversed(page.messages)],
        "older_page": f"{address}?before={quote(page.before)}" if page.before else None,
        "newest_page": address if before else None,
    }
    return show(request, "chat.html", context, here=HERE)
