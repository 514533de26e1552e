"""The stand-in put together: the API below `/v1`, its control below `/control`, the page for people at `/`."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount

from sandbox.openai_api.api import create_api
from sandbox.openai_api.catalogue import Catalogue
from sandbox.openai_api.control import Control
from sandbox.openai_api.faults import Faults
from sandbox.openai_api.pages import Pages
from sandbox.openai_api.request_log import RequestLog
from sandbox.openai_api.responses import Responses
from sandbox.openai_api.store import Store
from sandbox.pages import static_files


def create_app(state_file: Path | None) -> Starlette:
    """Starlette application to mount at `/openai`.

    Args:
        state_file: SQLite file that keeps conversations and responses across restarts; None keeps them in memory.
            `app.state.store.close()` lets go of it.
    """
    store, catalogue, faults, log = Store(state_file), Catalogue(), Faults(), RequestLog()
    responses = Responses(store, catalogue)
    control = Control(store, catalogue, responses, faults=faults, log=log)
    app = Starlette(
        routes=[
            Mount("/v1", app=create_api(store, catalogue, responses, faults=faults, log=log)),
            Mount("/control", routes=control.routes()),
            static_files(),
            *Pages(store, catalogue, faults=faults, log=log).routes(),
        ],
        exception_handlers={HTTPException: _describe_error},
    )
    app.state.store = store
    return app


async def _describe_error(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else ""
    problem = {"type": "about:blank", "title": detail, "status": status}
    return JSONResponse(problem, status, media_type="application/problem+json")
