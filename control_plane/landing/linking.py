"""Linking by a code that is typed on the phone, instead of scanning one."""

from http import HTTPStatus

from pydantic import BaseModel, ConfigDict

from control_plane.accounts.service import AttemptLimiter
from control_plane.clients.models import Client, Phone, Wanted
from control_plane.dependencies import Gateways
from control_plane.errors import Problem
from control_plane.sessions.models import TypedCode
from control_plane.sessions.repository import ClientSession
from tenant_runner.contract import LinkCodeRequest


class NumberNotExpected(Problem):
    """Another number is expected on this link; write that one, or ask the agency to change it."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    type = "/problems/number-not-expected"
    title = "Another number is expected"


class Paused(Problem):
    """The assistant is paused; the agency can connect it again."""

    status = HTTPStatus.CONFLICT
    type = "/problems/paused"
    title = "The assistant is paused"


class PhoneNumber(BaseModel):
    """The number of the phone that is to be linked, with its country code."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    phone: Phone


async def make_link_code(
    request: PhoneNumber, *, client: Client, gateways: Gateways, session: ClientSession, limiter: AttemptLimiter
) -> TypedCode:
    """Have WhatsApp make a code for that number, and keep it for the page while it works.

    Raises:
        TooManyAttempts: asked for too often (429).
        NumberNotExpected: only another number may link (422); WhatsApp was not asked.
        Paused: nobody wants it connected (409).
        RunnerUnreachable, RunnerRefused: the runner is away, or WhatsApp gives no code now (503, 502).
    """
    await limiter.count(f"link-code:{client.id}")
    if client.wanted is Wanted.DISCONNECTED:
        raise Paused
    if request.phone != (client.expected_phone or client.bound_phone or request.phone):
        raise NumberNotExpected
    made = await gateways.open(client).link_code(LinkCodeRequest(phone=request.phone))
    # The runner tells it too, with its next delivery; the visitor should not have to wait for that.
    await session.set_link_code(made.code, made.expires_at)
    return TypedCode(client_id=client.id, text=made.code, expires_at=made.expires_at)
