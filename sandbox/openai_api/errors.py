"""Refusals in the shape and the words of OpenAI's API."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any


class ApiError(Exception):
    """An answer other than 2xx; `param` names the argument at fault, `code` is what clients branch on."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        kind: str = "invalid_request_error",
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.kind = kind
        self.param = param
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """`ErrorResponse` of OpenAI's specification."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def bad_request(message: str, *, code: str | None = None, param: str | None = None) -> ApiError:
    """The caller's arguments are wrong (400)."""
    return ApiError(HTTPStatus.BAD_REQUEST, message, code=code, param=param)


def not_found(message: str) -> ApiError:
    """No such object for this key (404)."""
    return ApiError(HTTPStatus.NOT_FOUND, message)


def unsupported(param: str) -> ApiError:
    """OpenAI would accept this, the stand-in cannot do it: said in so many words, so that nobody blames their code."""
    return bad_request(
        f"The sandbox's stand-in for OpenAI does not support '{param}'. OpenAI itself would accept it.",
        code="sandbox_unsupported",
        param=param,
    )
