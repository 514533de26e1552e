"""The API below `/v1`, put together."""

from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.openai_api.audio import Audio
from sandbox.openai_api.catalogue import Catalogue
from sandbox.openai_api.conversations import Conversations
from sandbox.openai_api.errors import ApiError
from sandbox.openai_api.exchange import Exchange, caller, pretend_to_think, refuse
from sandbox.openai_api.faults import Faults
from sandbox.openai_api.request_log import RequestLog
from sandbox.openai_api.responses import Responses
from sandbox.openai_api.store import Store


def create_api(
    store: Store, catalogue: Catalogue, responses: Responses, *, faults: Faults, log: RequestLog
) -> Starlette:
    """Starlette application to mount at `/v1`."""

    async def list_models(request: Request) -> Response:
        caller(request)
        await pretend_to_think(request)
        models = [model.public for model in catalogue.models if model.is_on]
        return JSONResponse({"object": "list", "data": models})

    async def retrieve_model(request: Request) -> Response:
        caller(request)
        name = request.path_params["id"]
        model = catalogue.find(name)
        if model is None:
            raise ApiError(
                HTTPStatus.NOT_FOUND, f"The model '{name}' does not exist", code="model_not_found", param="model"
            )
        return JSONResponse(model.public)

    return Starlette(
        routes=[
            Route("/models", list_models, methods=["GET"]),
            Route("/models/{id}", retrieve_model, methods=["GET"]),
            *responses.routes(),
            *Conversations(store).routes(),
            *Audio(catalogue).routes(),
        ],
        middleware=[Middleware(Exchange, faults=faults, log=log)],
        exception_handlers={ApiError: refuse, HTTPException: _no_such_url},
    )


async def _no_such_url(request: Request, error: Exception) -> Response:
    """Anything else: also the Assistants API, which OpenAI switched off in August 2026."""
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        refusal = ApiError(
            status,
            f"Not allowed to {request.method} on {request.url.path}. (HINT: Perhaps you meant to use a different HTTP "
            "method?)",
            code="method_not_supported",
        )
    elif status == HTTPStatus.NOT_FOUND:
        refusal = ApiError(status, f"Invalid URL ({request.method} {request.url.path})")
    else:
        refusal = ApiError(status, "The request could not be read.")
    return JSONResponse(refusal.body, refusal.status)
