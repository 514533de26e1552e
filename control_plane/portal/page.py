"""What every page of the portal shares: who is logged in, the menu, the flash message, the way to the log-in."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute

from control_plane.accounts.models import Account
from control_plane.accounts.service import NotLoggedIn, PasswordChangeNeeded
from control_plane.clients import service as clients_service
from control_plane.clients.models import Client
from control_plane.dependencies import ClientsDep, session_cookie
from control_plane.permissions import may
from control_plane.portal.texts import FLASHES
from control_plane.settings import Settings
from control_plane.web import FLASH_COOKIE, FORM_COOKIE, Language, redirect, render_fragment, render_page, set_cookie

LOGIN = "/admin/login"
FIRST_PASSWORD = "/admin/password"  # noqa: S105 - an address


@dataclass(frozen=True)
class Page:
    """One line of the portal's table of pages, which is its menu too.

    Attributes:
        name: what a page gives as `here`.
        icon: name of a Tabler icon.
        routers: the page's routes and those of what it leads to.
    """

    name: str
    path: str
    label: str
    icon: str
    routers: tuple[APIRouter, ...]


class PortalRoute(APIRoute):
    """Leads whoever is not logged in to the log-in, in the kind of answer that the asker understands."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler, wrapped."""
        handle = super().get_route_handler()

        async def handle_or_go(request: Request) -> Response:
            try:
                return await handle(request)
            except PasswordChangeNeeded:
                return _lead(request, FIRST_PASSWORD)
            except NotLoggedIn:
                came_for = request.url.path if request.method == "GET" else "/admin"
                suffix = "" if came_for == "/admin" else f"?next={quote(came_for)}"
                return _lead(request, LOGIN + suffix, "session-over" if _name(request) in request.cookies else None)

        return handle_or_go


def _lead(request: Request, path: str, flash: str | None = None) -> Response:
    if "text/event-stream" in request.headers.get("accept", ""):
        return Response(status_code=HTTPStatus.NO_CONTENT)
    if "hx-request" in request.headers:
        return HTMLResponse("", HTTPStatus.UNAUTHORIZED, {"HX-Redirect": path})
    return redirect(request, path, flash)


def _name(request: Request) -> str:
    return session_cookie(request.app.state.settings)


def open_browser(request: Request, response: Response, token: str, *, keep_form: bool = False) -> Response:
    """Give the browser a session's cookie.

    Args:
        keep_form: the answer is a page with forms of its own.
    """
    settings: Settings = request.app.state.settings
    set_cookie(request, response, _name(request), token, max_age=settings.session_hours * 3600)
    if not keep_form:
        # Forms of whoever used this browser before do not count any more.
        response.delete_cookie(FORM_COOKIE)
    return response


def forget_browser(request: Request, response: Response) -> Response:
    """Take the session's cookie away."""
    secure = request.app.state.settings.cookies_are_secure
    response.delete_cookie(_name(request), secure=secure, httponly=True, samesite="lax")
    response.delete_cookie(FORM_COOKIE)
    return response


def portal_router() -> APIRouter:
    """A router for pages of the portal."""
    return APIRouter(prefix="/admin", route_class=PortalRoute, include_in_schema=False)


async def find_client(client_id: str, clients: ClientsDep) -> Client:
    """The client of the address.

    Raises:
        ClientNotFound: there is none (404).
    """
    return await clients_service.get_client(client_id, clients=clients)


ClientDep = Annotated[Client, Depends(find_client)]


def _allowed(request: Request) -> dict[str, Any]:
    account: Account | None = getattr(request.state, "account", None)
    return {"may": lambda method, path: account is not None and may(account.role, method, path)}


def render_part(request: Request, template: str, context: dict[str, Any]) -> str:
    """A part of a page of the portal as text; it shows the buttons that its reader may press."""
    return render_fragment(request, f"portal/{template}", {**_allowed(request), **context})


def frame(request: Request, here: str | None = None) -> dict[str, Any]:
    """What the layout needs."""
    settings: Settings = request.app.state.settings
    allowed = _allowed(request)
    return {
        **allowed,
        "menu": [page for page in getattr(request.state, "portal_menu", ()) if allowed["may"]("GET", page.path)],
        "here": here,
        "banners": [environment for environment in settings.all_environments if environment.banner],
        "flash": FLASHES.get(request.cookies.get(FLASH_COOKIE, "")),
    }


def show(
    request: Request,
    template: str,
    context: dict[str, Any],
    *,
    here: str | None = None,
    status: int = HTTPStatus.OK,
    language: Language | None = None,
) -> HTMLResponse:
    """A page of the portal."""
    names = {**frame(request, here), **context}
    return render_page(request, f"portal/{template}", names, status, language=language)
