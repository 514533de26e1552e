"""The control API below `/control`: what OpenAI does not have, for tests and for the page."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.openai_api.catalogue import DEFAULT_MODELS, Catalogue, Model
from sandbox.openai_api.faults import Fault, Faults
from sandbox.openai_api.keys import SHORT_ID_LENGTH
from sandbox.openai_api.request_log import RequestLog
from sandbox.openai_api.responses import Responses
from sandbox.openai_api.store import Conversation, Store

Body = TypeVar("Body", bound=BaseModel)
Handler = Callable[[Request], Awaitable[Response]]
_MODELS = TypeAdapter(tuple[Model, ...])


class Limits(BaseModel):
    """Limits for all models; `context_tokens` None leaves each model its own."""

    model_config = ConfigDict(extra="forbid")

    context_tokens: int | None = Field(default=None, ge=1)


class Control:
    """The endpoints. A body is JSON and says so: no page of another site can send one without being asked first."""

    def __init__(
        self, store: Store, catalogue: Catalogue, responses: Responses, *, faults: Faults, log: RequestLog
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._responses = responses
        self._faults = faults
        self._log = log

    def routes(self) -> list[Route]:
        """Routes below `/control`."""
        return [
            Route("/faults", self.list_faults, methods=["GET"]),
            Route("/faults", _json_only(self.add_fault), methods=["POST"]),
            Route("/faults", self.clear_faults, methods=["DELETE"]),
            Route("/faults/{id}", self.remove_fault, methods=["DELETE"]),
            Route("/requests", self.list_requests, methods=["GET"]),
            Route("/requests", self.clear_requests, methods=["DELETE"]),
            Route("/conversations", self.list_conversations, methods=["GET"]),
            Route("/models", self.list_models, methods=["GET"]),
            Route("/models", _json_only(self.set_models), methods=["PUT"]),
            Route("/models", self.reset_models, methods=["DELETE"]),
            Route("/limits", _json_only(self.set_limits), methods=["PUT"]),
            Route("/state", self.clear_state, methods=["DELETE"]),
        ]

    async def list_faults(self, _: Request) -> Response:
        """Faults that still wait, oldest first."""
        return JSONResponse({"faults": [fault.model_dump(mode="json") for fault in self._faults.list()]})

    async def add_fault(self, request: Request) -> Response:
        """Put a fault into the queue."""
        fault = _read(Fault, await request.body())
        self._faults.add(fault)
        return JSONResponse(fault.model_dump(mode="json"), HTTPStatus.CREATED)

    async def clear_faults(self, _: Request) -> Response:
        """Empty the queue."""
        self._faults.clear()
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def remove_fault(self, request: Request) -> Response:
        """Take one fault away."""
        if not self._faults.remove(request.path_params["id"]):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def list_requests(self, request: Request) -> Response:
        """The request log, oldest first; `?key=` takes a `key_id`, a hint or the last four characters."""
        return JSONResponse({"requests": self._log.list(key=request.query_params.get("key"))})

    async def clear_requests(self, _: Request) -> Response:
        """Empty the request log."""
        self._log.clear()
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def list_conversations(self, request: Request) -> Response:
        """All conversations with their items, newest first, and what is left of deleted ones; `?key=` as above."""
        key = request.query_params.get("key")
        return JSONResponse(
            {
                "conversations": [self._describe(each) for each in self._store.conversations() if _is_of(each, key)],
                "orphaned_items": self._store.orphaned_items(),
                "stored_responses": self._store.response_count(),
            }
        )

    async def list_models(self, _: Request) -> Response:
        """All models, also those that are switched off."""
        return JSONResponse({"models": [model.model_dump(mode="json") for model in self._catalogue.models]})

    async def set_models(self, request: Request) -> Response:
        """Replace the models until the process ends."""
        try:
            self._catalogue.models = _MODELS.validate_json(await request.body())
        except ValidationError as error:
            raise _unprocessable(error) from None
        return await self.list_models(request)

    async def reset_models(self, _: Request) -> Response:
        """The usual models again."""
        self._catalogue.models = DEFAULT_MODELS
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def set_limits(self, request: Request) -> Response:
        """Change the limits until the process ends."""
        limits = _read(Limits, await request.body())
        self._responses.context_tokens = limits.context_tokens
        return JSONResponse(limits.model_dump())

    async def clear_state(self, _: Request) -> Response:
        """Forget conversations, responses, faults and requests."""
        self._store.clear()
        self._faults.clear()
        self._log.clear()
        return Response(status_code=HTTPStatus.NO_CONTENT)

    def _describe(self, conversation: Conversation) -> dict[str, Any]:
        return {
            **conversation.public,
            "key_hint": conversation.key_hint,
            "key_id": conversation.owner[:SHORT_ID_LENGTH],
            "items": self._store.items(conversation.id),
        }


def _is_of(conversation: Conversation, key: str | None) -> bool:
    hint = conversation.key_hint
    return key is None or key in (conversation.owner[:SHORT_ID_LENGTH], hint) or hint.endswith(f"…{key}")


def _json_only(handler: Handler) -> Handler:
    async def checked(request: Request) -> Response:
        if not request.headers.get("content-type", "").startswith("application/json"):
            raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send application/json")
        return await handler(request)

    return checked


def _read(model: type[Body], raw: bytes) -> Body:
    try:
        return model.model_validate_json(raw or b"{}")
    except ValidationError as error:
        raise _unprocessable(error) from None


def _unprocessable(error: ValidationError) -> HTTPException:
    problem = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(map(str, problem["loc"]))
    return HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"{where}: {problem['msg']}")
