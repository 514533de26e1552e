"""The mailbox's page and its JSON API, both below `/mail`."""

from http import HTTPStatus

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from sandbox.mailbox.mail import Mail
from sandbox.mailbox.mailbox import Faults, Mailbox, Mode
from sandbox.pages import render, static_files

# A mail is the product's, but the page must not become its: no script, no form, no request but for images of this
# machine; a link opens a page of its own, free of these rules.
_LETTER_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: http://localhost:* http://127.0.0.1:*; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)


class FaultsRequest(BaseModel):
    """Body of `POST /mail/api/faults`."""

    model_config = ConfigDict(extra="forbid")

    mode: Mode
    times: int | None = Field(default=None, ge=1)


def routes(mailbox: Mailbox) -> list[BaseRoute]:
    """Routes for the top of the sandbox's application."""
    pages = _Pages(mailbox)
    api = _Api(mailbox)
    return [
        Mount(
            "/mail",
            routes=[
                Route("/", pages.show_all, methods=["GET"]),
                Route("/messages/{id:int}", pages.show_one, methods=["GET"]),
                Route("/messages/{id:int}/html", pages.show_html, methods=["GET"]),
                Route("/api/messages", api.list_all, methods=["GET"]),
                Route("/api/messages", api.delete_all, methods=["DELETE"]),
                Route("/api/messages/{id:int}", api.retrieve, methods=["GET"]),
                Route("/api/faults", api.show_faults, methods=["GET"]),
                Route("/api/faults", api.set_faults, methods=["POST"]),
                static_files(),
            ],
        ),
    ]


class _Pages:
    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def show_all(self, request: Request) -> Response:
        return self._render(request, None)

    async def show_one(self, request: Request) -> Response:
        return self._render(request, _require(self._mailbox, request))

    async def show_html(self, request: Request) -> Response:
        html = _require(self._mailbox, request).shown_html
        if html is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        headers = {
            "Content-Security-Policy": _LETTER_POLICY,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        return HTMLResponse(html, headers=headers)

    def _render(self, request: Request, opened: Mail | None) -> Response:
        return render(
            request,
            "mail.html",
            mails=self._mailbox.messages,
            opened=opened,
            mode=self._mailbox.faults.mode,
            times=self._mailbox.faults.times,
        )


class _Api:
    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def list_all(self, request: Request) -> Response:
        """Mails, newest first; `?to=` takes a recipient."""
        recipient = request.query_params.get("to", "").lower()
        found = [
            mail.summary
            for mail in self._mailbox.messages
            if not recipient or recipient in (each.lower() for each in mail.recipients)
        ]
        return JSONResponse({"messages": found})

    async def retrieve(self, request: Request) -> Response:
        return JSONResponse(_require(self._mailbox, request).details)

    async def delete_all(self, _: Request) -> Response:
        self._mailbox.clear()
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def show_faults(self, _: Request) -> Response:
        faults = self._mailbox.faults
        return JSONResponse({"mode": faults.mode, "times": faults.times})

    async def set_faults(self, request: Request) -> Response:
        """Only JSON that says so: no page of another site can send it without being asked first."""
        if not request.headers.get("content-type", "").startswith("application/json"):
            raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send application/json")
        try:
            wish = FaultsRequest.model_validate_json(await request.body())
        except ValidationError:
            raise HTTPException(
                HTTPStatus.UNPROCESSABLE_ENTITY, "send mode (ok, refuse or tempfail) and, if you like, times"
            ) from None
        self._mailbox.faults = Faults() if wish.mode == "ok" else Faults(wish.mode, wish.times)
        return await self.show_faults(request)


def _require(mailbox: Mailbox, request: Request) -> Mail:
    mail = mailbox.find(request.path_params["id"])
    if mail is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return mail
