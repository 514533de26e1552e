"""Problems: errors that name their cause and the next step, as `application/problem+json` (RFC 9457)."""

from http import HTTPStatus
from typing import Any, ClassVar

from fastapi.responses import JSONResponse


class Problem(Exception):
    """Base of every error that reaches a caller; subclasses are declared beside the service that raises them.

    Attributes:
        status: HTTP status.
        type: stable identifier, a path below `/problems/`.
        title: what happened, the same for every occurrence.
        detail: this occurrence, in plain words, with what to do; never an input's value.
        headers: extra response headers, such as `Retry-After`.
    """

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    type: ClassVar[str] = "about:blank"
    title: ClassVar[str] = ""

    def __init__(self, detail: str = "", *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail or (self.__doc__ or "").strip().split("\n")[0]
        self.headers = headers or {}


class NotFound(Problem):
    """There is nothing here."""

    status = HTTPStatus.NOT_FOUND
    type = "/problems/not-found"
    title = "Not found"


class DatabaseUnavailable(Problem):
    """The database does not answer; nothing was lost, and this works again when it is back."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    type = "/problems/database-unavailable"
    title = "The database does not answer"


def problem_response(
    status: int,
    *,
    type: str = "about:blank",
    title: str = "",
    detail: str = "",
    headers: dict[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """A problem as a response."""
    body = {"type": type, "title": title or HTTPStatus(status).phrase, "status": int(status), "detail": detail, **more}
    return JSONResponse(body, status, headers=headers, media_type="application/problem+json")
