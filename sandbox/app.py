"""The sandbox's HTTP side: the phone, the mailbox and the OpenAI stand-in, each under its own path."""

from collections.abc import Sequence
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from sandbox.phone import api, pages
from sandbox.whatsapp_web.network import Network


def create_app(network: Network, *, others: Sequence[BaseRoute]) -> Starlette:
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
            Mount("/phone", routes=phone),
            *others,
        ],
        exception_handlers={HTTPException: _describe},
    )


async def _show_index(request: Request) -> Response:
    return RedirectResponse("/phone/")


async def _show_health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _describe(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    status = HTTPStatus(error.status_code)
    problem = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": error.detail}
    return JSONResponse(problem, status, media_type="application/problem+json", headers=error.headers)
