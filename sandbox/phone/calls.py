"""How the phone's HTTP API reads what it is asked: bodies, queries, phones, messages."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sandbox.whatsapp_web.accounts import Account, Message
from sandbox.whatsapp_web.network import Network

Body = TypeVar("Body", bound=BaseModel)
Answer = dict[str, Any] | list[dict[str, Any]]
Call = Callable[[Network, Request], Awaitable[Answer | Response]]


async def read_body(request: Request, model: type[Body]) -> Body:
    """The body as a model, or 422 with its problems."""
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        causes = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, causes) from error


def read_number(request: Request, name: str, *, default: int) -> int:
    """A number of the query, or 422."""
    try:
        return int(request.query_params.get(name, default))
    except ValueError as error:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name}: not a number") from error


def find_account(network: Network, request: Request) -> Account:
    """The account of the phone in the path, or 404."""
    account = network.accounts.get(request.path_params["phone"])
    if account is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "no such phone: open it or pair it first")
    return account


def find_message(account: Account, message_id: str) -> Message:
    """A message of the account, or 404."""
    message = account.find_message(message_id)
    if message is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "no such message on this phone")
    return message
