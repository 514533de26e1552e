"""The phone over HTTP, under /phone/api: what a person does with a phone, and what it saw. See docs/sandbox.md."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.phone import actions, changes, failures, reports
from sandbox.phone.calls import Call
from sandbox.whatsapp_web.network import Network


def routes(network: Network) -> list[Route]:
    """The API's routes on one network."""
    return [
        Route(path, _endpoint(network, call), methods=[method])
        for method, path, call in (
            ("GET", "/sessions", reports.list_sessions),
            ("GET", "/sessions/{session}/qr.svg", reports.draw_session),
            ("POST", "/phones", actions.open_phone),
            ("POST", "/pair", actions.pair),
            ("POST", "/outage", failures.cut_network),
            ("GET", "/state", reports.show_state),
            ("POST", "/{phone}/incoming", actions.receive_incoming),
            ("POST", "/{phone}/own", actions.write_own),
            ("POST", "/{phone}/receipt", actions.send_receipt),
            ("POST", "/{phone}/raw", actions.receive_raw),
            ("POST", "/{phone}/patch", changes.patch),
            ("POST", "/{phone}/logout", actions.log_out),
            ("POST", "/{phone}/decrypt", changes.decrypt),
            ("POST", "/{phone}/edit", changes.edit),
            ("POST", "/{phone}/revoke", changes.revoke),
            ("POST", "/{phone}/react", changes.react),
            ("POST", "/{phone}/expire", changes.expire),
            ("POST", "/{phone}/conflict", failures.raise_conflict),
            ("POST", "/{phone}/passkey", failures.change_pairing),
            ("POST", "/{phone}/restrict", failures.change_restriction),
            ("POST", "/{phone}/sync", failures.change_sync),
            ("POST", "/{phone}/replay", failures.change_replay),
            ("POST", "/{phone}/frames", failures.lose_frames),
            ("POST", "/{phone}/unregistered", failures.change_registration),
            ("POST", "/{phone}/refuse-sends", failures.change_refusal),
            ("GET", "/{phone}/files/{message}", reports.give_file),
            ("GET", "/{phone}/events", reports.list_events),
            ("GET", "/{phone}/messages", reports.list_messages),
            ("GET", "/{phone}/chats", reports.list_chats),
        )
    ]


def _endpoint(network: Network, call: Call) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        # The API has no key: at least no page of another site may use a visitor's browser to call it.
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise HTTPException(HTTPStatus.FORBIDDEN, "pages of other sites may not use the phone")
        result = await call(network, request)
        if isinstance(result, Response):
            return result
        return JSONResponse(result, headers={"Cache-Control": "no-store"})

    return answer
