"""The portal's pages: one line each in PAGES, which is the menu too."""

from fastapi import APIRouter, Depends, Request

from control_plane.portal import account, audit, chats, cleanup, client_pages, clients_list, data_rights, entry, people
from control_plane.portal.page import Page
from control_plane.session_text import N_

PAGES = (
    Page("clients", "/admin", N_("Clients"), "users", (clients_list.router, client_pages.router, chats.router)),
    Page("people", "/admin/people", N_("People"), "users-group", (people.router,)),
    Page("erasures", "/admin/erasures", N_("Erased data"), "shield-check", (data_rights.router,)),
    Page("cleanup", "/admin/cleanup", N_("Cleanup"), "eraser", (cleanup.router,)),
    Page("audit", "/admin/audit", N_("Audit log"), "history", (audit.router,)),
    Page("account", "/admin/account", N_("Account"), "user-circle", (account.router, entry.router)),
)


async def _bring_menu(request: Request) -> None:
    request.state.portal_menu = PAGES


router = APIRouter(dependencies=[Depends(_bring_menu)], include_in_schema=False)
for page in PAGES:
    for part in page.routers:
        router.include_router(part)
