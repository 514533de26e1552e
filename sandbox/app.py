"""The sandbox's HTTP side: the phone, the mailbox and the OpenAI stand-in, each under its own path."""

from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from sandbox.phone import api, pages
from sandbox.whatsapp_web.network import Network

_INDEX = """<!doctype html>
<html lang="es"><head><meta charset="utf-8"><title>Simulador</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body style="font: 18px/1.6 system-ui; max-width: 36rem; margin: 3rem auto; padding: 0 1rem">
<h1>Simulador · Sandbox</h1>
<p>Nada de esto es WhatsApp, OpenAI ni correo real. · None of this is the real WhatsApp, OpenAI or mail.</p>
<ul><li><a href="/phone/">Teléfono · Phone</a></li><li><a href="/mail/">Correo · Mailbox</a></li>
<li><a href="/openai/">OpenAI</a></li></ul>
</body></html>"""


def create_app(network: Network, *, others: list[BaseRoute]) -> Starlette:
    """The application on the sandbox's HTTP port.

    Args:
        network: what the phone works on.
        others: routes of the mailbox and the OpenAI stand-in.
    """
    phone: list[BaseRoute] = [Mount("/api", routes=api.routes(network)), *pages.routes()]
    return Starlette(
        routes=[
            Route("/", _show_index),
            Route("/health", _show_health),
            Route("/phone", _to_phone),
            Mount("/phone", routes=phone),
            *others,
        ],
        exception_handlers={HTTPException: _describe},
    )


async def _show_index(request: Request) -> Response:
    return HTMLResponse(_INDEX)


async def _show_health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _to_phone(request: Request) -> Response:
    return RedirectResponse("/phone/")


async def _describe(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    status = HTTPStatus(error.status_code)
    problem = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": error.detail}
    return JSONResponse(problem, status, media_type="application/problem+json", headers=error.headers)
