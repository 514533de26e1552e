"""A client's conversations, and who answers in them."""

from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import Depends, Form, Request, Response

from control_plane.audit.act import current_act
from control_plane.conversations import service
from control_plane.conversations.repository import Conversations
from control_plane.dependencies import DatabaseDep, GatewaysDep
from control_plane.portal.chat_views import make_bubble, make_chat_line, make_who_answers, name_chat
from control_plane.portal.clients_list import HERE
from control_plane.portal.page import ClientDep, portal_router, show
from control_plane.runners.gateway import RunnerRefused, RunnerUnreachable
from control_plane.sessions.repository import ClientSession
from control_plane.web import check_form, redirect
from tenant_runner.contract import ConversationRequest

router = portal_router()


@router.get("/clients/{client_id}/chats")
async def show_chats(
    request: Request, client: ClientDep, database: DatabaseDep, before: str | None = None, waiting: bool = False
) -> Response:
    """The client's chats, the newest first: all, or those that wait for a person."""
    conversations = Conversations(database, client.id)
    page = await service.list_chats(conversations=conversations, before=before, waiting=waiting)
    address = f"/admin/clients/{client.id}/chats"
    filter_ = {"waiting": "1"} if waiting else {}
    context = {
        "client": client,
        "chats": [make_chat_line(chat) for chat in page.chats],
        "waiting": waiting,
        "waiting_count": await conversations.count_waiting(),
        "address": address,
        "older_page": f"{address}?{urlencode({**filter_, 'before': page.before})}" if page.before else None,
        "newest_page": f"{address}?{urlencode(filter_)}" if before else None,
    }
    return show(request, "chats.html", context, here=HERE)


@router.get("/clients/{client_id}/chats/{chat_id}")
async def show_chat(
    request: Request, client: ClientDep, chat_id: str, database: DatabaseDep, before: str | None = None
) -> Response:
    """One chat's messages in the order of a chat, the newest at the bottom."""
    conversations = Conversations(database, client.id)
    page = await service.show_chat(chat_id, before=before, conversations=conversations)
    session = await ClientSession(database, client.id).get()
    contact = next((message for message in page.messages if message.author == "contact"), None)
    address = _address(client.id, chat_id)
    context = {
        "client": client,
        "address": address,
        "chat_name": name_chat(
            chat_id, contact.contact_name if contact else None, contact.contact_phone if contact else None
        ),
        "who": make_who_answers(page.status),
        "paused_everywhere": not session.automatic,
        "messages": [make_bubble(message, page.quoted) for message in reversed(page.messages)],
        "older_page": f"{address}?before={quote(page.before)}" if page.before else None,
        "newest_page": address if before else None,
    }
    return show(request, "chat.html", context, here=HERE)


@router.post("/clients/{client_id}/chats/{chat_id}/assistant", dependencies=[Depends(check_form)])
async def set_assistant(
    request: Request,
    client: ClientDep,
    chat_id: str,
    database: DatabaseDep,
    gateways: GatewaysDep,
    automatic: Annotated[bool, Form()],
) -> Response:
    """Have the assistant answer in this chat, or be quiet here."""
    address = _address(client.id, chat_id)
    try:
        await service.set_automatic(
            ConversationRequest(chat_id=chat_id, automatic=automatic),
            gateway=gateways.open(client),
            conversations=Conversations(database, client.id),
        )
    except RunnerUnreachable as problem:
        current_act().failed(problem)
        return redirect(request, address, "assistant-away")
    except RunnerRefused as problem:
        current_act().failed(problem)
        return redirect(request, address, "assistant-refused")
    return redirect(request, address, "assistant-on" if automatic else "assistant-off")


def _address(client_id: str, chat_id: str) -> str:
    return f"/admin/clients/{client_id}/chats/{quote(chat_id, safe='')}"
