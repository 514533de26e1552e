"""The web process: wiring only."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from pymongo.errors import ConnectionFailure, ExecutionTimeout, PyMongoError
from starlette.exceptions import HTTPException
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from control_plane import database as plumbing
from control_plane.accounts.access_tokens import SigningKey
from control_plane.accounts.service import AttemptLimiter
from control_plane.api_description import describe_api
from control_plane.audit.repository import AuditEvents
from control_plane.audit.trail import AuditTrail
from control_plane.errors import DatabaseUnavailable, Problem, problem_response
from control_plane.headers import SecurityHeaders, add_security_headers
from control_plane.health import read_version
from control_plane.http.answers import API_PATHS as _API_PATHS
from control_plane.http.answers import answer as _answer
from control_plane.http.bodies import BodyLimits
from control_plane.http.hosts import TrustedHosts
from control_plane.http.rates import AddressRates, Rates
from control_plane.permissions import check_table, find_methods
from control_plane.routes import router
from control_plane.security import open_cipher
from control_plane.settings import REPOSITORY, Settings
from control_plane.telemetry import REQUEST_ID_HEADER, RequestLog, request_id
from control_plane.web import FormTokenWrong, render_error

logger = logging.getLogger(__name__)

LANDING_ACTIONS_PER_MINUTE = 6


def create_app(settings: Settings) -> FastAPI:
    """The application; it starts with the database down, and says so until the database is up.

    Raises:
        DatabaseNotPrepared, KeysFileUnusable, RuleMissing: see there.
    """
    client = plumbing.connect(settings)
    database = client[settings.database_name]

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        indexes = asyncio.create_task(plumbing.ensure_indexes_in_time(database))
        try:
            yield
        finally:
            indexes.cancel()
            await client.close()

    app = FastAPI(
        routes=router.routes,
        title="Flame Assistant",
        version=read_version(),
        summary="Run WhatsApp assistants for the clients of an agency",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.database = database
    app.state.cipher = open_cipher(settings)
    app.state.signing_key = SigningKey(database, app.state.cipher)
    app.state.login_limiter = AttemptLimiter(settings.login_attempts_per_minute)
    app.state.action_limiter = AttemptLimiter(LANDING_ACTIONS_PER_MINUTE)
    app.state.rates = Rates(settings)
    # From the inside out: the last one meets a request first.
    app.add_middleware(AuditTrail, events=AuditEvents(database))
    app.add_middleware(BodyLimits, largest=settings.max_body_kb * 1024, timeout_s=settings.receive_timeout_s)
    app.add_middleware(AddressRates, rates=app.state.rates)
    app.add_middleware(TrustedHosts, hosts=settings.all_trusted_hosts)
    app.add_middleware(SecurityHeaders, https=settings.people_use_https)
    app.add_middleware(RequestLog)
    app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies))
    app.mount("/static", StaticFiles(directory=REPOSITORY / "static"), name="static")
    check_table(app.routes)
    app.openapi = lambda: describe_api(app)  # type: ignore[method-assign]
    app.add_exception_handler(Problem, _answer_problem)
    app.add_exception_handler(PyMongoError, _answer_database_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(FormTokenWrong, _answer_form_token)
    app.add_exception_handler(Exception, _answer_unexpected)
    return app


# ------------------------------------------------------------------------------------------------ errors


async def _answer_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - registered for nothing else
    return _answer(request, error)


async def _answer_database_error(request: Request, error: Exception) -> Response:
    # 18: the server does not know our password (yet): the operator's to mend, like a server that is down.
    if not isinstance(error, ConnectionFailure | ExecutionTimeout) and getattr(error, "code", None) != 18:
        return await _answer_unexpected(request, error)
    logger.error("database did not answer", extra={"error": type(error).__name__})
    return _answer(request, DatabaseUnavailable(headers={"Retry-After": "5"}))


class _Invalid(Problem):
    """The request is not valid."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    type = "/problems/invalid-request"
    title = "The request is not valid"


async def _answer_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for nothing else
    # Where and why, never the input itself: a secret may be in it.
    errors = [{"field": ".".join(map(str, item["loc"][1:])), "message": _say(item)} for item in error.errors()]
    detail = "; ".join(f"{item['field'] or 'body'}: {item['message']}" for item in errors)
    return _answer(request, _Invalid(detail), errors=errors)


def _say(item: dict[str, Any]) -> str:
    """Why a field is not valid. Some of pydantic's messages quote the input: those are said in other words."""
    if item["type"] == "union_tag_invalid":
        return f"must be one of {item['ctx']['expected_tags']}"
    message = str(item["msg"])
    return "not a valid email address" if "email address" in message else message


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    phrase = HTTPStatus(error.status_code).phrase
    if request.url.path.startswith(_API_PATHS):
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            # The framework names those of the first route that has this path.
            headers["Allow"] = ", ".join(find_methods(request.url.path))
        return problem_response(error.status_code, title=phrase, detail=str(error.detail), headers=headers)
    return render_error(request, error.status_code, phrase, "" if error.detail == phrase else str(error.detail))


class _WrongForm(Problem):
    """This form is too old, or came from another site. Go back, reload the page and try again."""

    status = HTTPStatus.FORBIDDEN
    type = "/problems/wrong-form"
    title = "The form could not be accepted"


async def _answer_form_token(request: Request, error: Exception) -> Response:
    return _answer(request, _WrongForm())


class _Unexpected(Problem):
    """Something went wrong on our side. It was written down; try again in a moment."""

    type = "/problems/unexpected"
    title = "Something went wrong"


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    logger.error("request failed", extra={"error": type(error).__name__}, exc_info=error)
    current = request_id.get() or ""
    response = _answer(request, _Unexpected(headers={REQUEST_ID_HEADER: current}), request_id=current)
    # Made outside of the middleware that adds them to every other answer.
    settings: Settings = request.app.state.settings
    add_security_headers(response.headers, request.scope, https=settings.people_use_https)
    return response
