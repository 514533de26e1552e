"""A runner's HTTP API: loopback only, and every call but the health check needs the client's token."""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Awaitable
from http import HTTPStatus
from typing import Annotated, Any, TypeVar
from uuid import uuid4

from fastapi import Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, SecretStr
from starlette.exceptions import HTTPException

from tenant_runner.assistants.base import AssistantFailure, Rejected, TenantProblem
from tenant_runner.channels.base import ChannelNotReady
from tenant_runner.contract import (
    IDEMPOTENCY_HEADER,
    TOKEN_HEADER,
    ConversationRequest,
    LinkCode,
    LinkCodeRequest,
    ProcessMessageReply,
    ProcessMessageRequest,
    PurgeReport,
    PurgeRequest,
    RunnerStatus,
    SendAccepted,
    SendRequest,
)
from tenant_runner.service import NotConfigured, Service

logger = logging.getLogger(__name__)

T = TypeVar("T")

SEND_WAIT_S = 5.0
REQUEST_WAIT_S = 45.0
PROBLEM_TYPE = "application/problem+json"


class ProblemDocument(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    problem: str | None = None
    errors: list[dict[str, str]] = []


class Problem(Exception):
    """Answered as RFC 9457 problem details."""

    def __init__(self, status: HTTPStatus, kind: str, title: str) -> None:
        super().__init__(title)
        self.status = status
        self.kind = kind
        self.title = title


def create_app(service: Service, token: SecretStr) -> FastAPI:
    """The API over a runner."""
    app = FastAPI(
        title="Tenant runner", docs_url=None, redoc_url=None, openapi_url=None, responses=_describe_problems()
    )

    async def authenticate(given: Annotated[str, Header(alias=TOKEN_HEADER)] = "") -> None:
        if not hmac.compare_digest(given.encode(), token.get_secret_value().encode()):
            raise Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", f"a valid {TOKEN_HEADER} is needed")

    _add_problems(app)
    protected = [Depends(authenticate)]

    @app.get("/health")
    async def health() -> dict[str, str]:
        """The process answers; says nothing of the client."""
        return {"status": "ok"}

    @app.get("/status", dependencies=protected)
    async def status() -> RunnerStatus:
        return await service.status()

    @app.post("/send", dependencies=protected, status_code=HTTPStatus.ACCEPTED)
    async def send(
        request: SendRequest, key: Annotated[str | None, Header(alias=IDEMPOTENCY_HEADER, max_length=255)] = None
    ) -> SendAccepted:
        # Without a key every call is a new message.
        outbound = await _in_time(service.send(request, _request_key(key)), SEND_WAIT_S)
        if (outbound.chat_id, outbound.text) != (request.chat_id, request.text):
            raise Problem(HTTPStatus.CONFLICT, "idempotency-key-reused", "the key was used for another message")
        return SendAccepted(message_id=outbound.message_id)

    @app.post("/process-message", dependencies=protected)
    async def process_message(request: ProcessMessageRequest) -> ProcessMessageReply:
        return ProcessMessageReply(reply=await _in_time(service.process_message(request), REQUEST_WAIT_S))

    @app.post("/purge", dependencies=protected)
    async def purge(request: PurgeRequest) -> PurgeReport:
        return await service.purge(request)

    @app.post("/session/refresh", dependencies=protected, status_code=HTTPStatus.ACCEPTED)
    async def refresh() -> RunnerStatus:
        await _in_time(service.refresh_code(), REQUEST_WAIT_S)
        return await service.status()

    @app.post("/session/link-code", dependencies=protected)
    async def link_code(request: LinkCodeRequest) -> LinkCode:
        return await _in_time(service.link_code(request.phone), REQUEST_WAIT_S)

    @app.post("/conversation", dependencies=protected, status_code=HTTPStatus.ACCEPTED)
    async def conversation(request: ConversationRequest) -> RunnerStatus:
        await service.set_automatic(request)
        return await service.status()

    @app.post("/session/logout", dependencies=protected, status_code=HTTPStatus.ACCEPTED)
    async def logout() -> RunnerStatus:
        await _in_time(service.logout(), REQUEST_WAIT_S)
        return await service.status()

    return app


def _describe_problems() -> dict[int | str, dict[str, Any]]:
    statuses = (
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.CONFLICT,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.SERVICE_UNAVAILABLE,
    )
    content = {PROBLEM_TYPE: {"schema": ProblemDocument.model_json_schema()}}
    return {int(status): {"description": status.phrase, "content": content} for status in statuses}


def _request_key(key: str | None) -> str:
    return hashlib.sha256(key.encode()).hexdigest() if key else uuid4().hex


async def _in_time(call: Awaitable[T], longest_s: float) -> T:
    try:
        async with asyncio.timeout(longest_s):
            return await call
    except TimeoutError:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", "not possible now, try again later") from None


def _add_problems(app: FastAPI) -> None:
    """Every error is a problem document; none repeats what was sent (a text, a key)."""

    def answer(status: int, kind: str, title: str, **more: object) -> JSONResponse:
        body = {"type": f"/problems/{kind}", "title": title, "status": int(status), **more}
        headers = {"Retry-After": "5"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
        return JSONResponse(body, status, headers=headers, media_type=PROBLEM_TYPE)

    @app.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> JSONResponse:
        return answer(error.status, error.kind, error.title)

    @app.exception_handler(NotConfigured)
    async def not_configured(_: Request, error: NotConfigured) -> JSONResponse:
        return answer(HTTPStatus.SERVICE_UNAVAILABLE, "not-configured", "the configuration has not arrived yet")

    @app.exception_handler(ChannelNotReady)
    async def channel_not_ready(_: Request, error: ChannelNotReady) -> JSONResponse:
        return answer(HTTPStatus.SERVICE_UNAVAILABLE, "channel-not-ready", "the channel is not ready, try again later")

    @app.exception_handler(AssistantFailure)
    async def assistant_failed(_: Request, error: AssistantFailure) -> JSONResponse:
        # The provider's words stay here: this answer may end up before a customer.
        if isinstance(error, TenantProblem):
            title = "the assistant cannot answer until its settings or account change"
            return answer(HTTPStatus.SERVICE_UNAVAILABLE, "assistant-problem", title, problem=error.problem)
        if isinstance(error, Rejected):
            return answer(HTTPStatus.UNPROCESSABLE_ENTITY, "message-rejected", "the assistant rejected this message")
        return answer(HTTPStatus.SERVICE_UNAVAILABLE, "assistant-unavailable", "the assistant is unavailable")

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        errors = [{"field": ".".join(str(part) for part in e["loc"]), "message": e["msg"]} for e in error.errors()]
        return answer(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", "the request is not valid", errors=errors)

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> JSONResponse:
        answered = answer(error.status_code, "http", HTTPStatus(error.status_code).phrase)
        answered.headers.update(error.headers or {})
        return answered

    @app.exception_handler(Exception)
    async def broke(_: Request, error: Exception) -> JSONResponse:
        logger.error("request broke", exc_info=error)
        return answer(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "something went wrong")
