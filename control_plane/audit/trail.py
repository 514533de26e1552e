"""Every request that changes something leaves one event: no route has to remember it."""

import logging
from http import HTTPStatus
from typing import Any, Literal

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_plane.audit import service
from control_plane.audit.act import Act, current
from control_plane.audit.actions import name_action
from control_plane.audit.models import MAX_CHARS, Actor, ActorKind, Outcome
from control_plane.audit.repository import AuditEvents
from control_plane.permissions import Opens, Rule, RuleMissing, find_rule
from control_plane.telemetry import request_id

logger = logging.getLogger(__name__)

# Of people whom nobody knows, per address: nobody may fill the database from outside.
STRANGERS_PER_MINUTE = 60
_REFUSALS = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}


class AuditTrail:
    """ASGI middleware: writes the event before the answer leaves, or when the handler crashed.

    The innermost one: it sees the answer that the handler gave, and knows the request's id.
    """

    def __init__(self, app: ASGIApp, events: AuditEvents) -> None:
        self._app = app
        self._events = events
        self._strangers = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        act, is_recorded = Act(via=_find_via(Headers(scope=scope))), False
        token = current.set(act)

        async def send_after_record(message: Message) -> None:
            nonlocal is_recorded
            if message["type"] == "http.response.start" and not is_recorded:
                is_recorded = True
                await self._record(act, scope, message["status"])
            await send(message)

        try:
            await self._app(scope, receive, send_after_record)
        finally:
            current.reset(token)
            if not is_recorded:
                # It crashed, or was cancelled; the answer is made further out.
                await self._record(act, scope, HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _record(self, act: Act, scope: Scope, status: int) -> None:
        rule = _find_rule(scope)
        if rule is None or not rule.leaves_a_record or act.is_ignored:
            return
        address = scope["client"][0] if scope.get("client") else None
        act.action = act.action or name_action(rule.method, rule.path)
        # Only ids: other parts of an address may open something, as a landing page's does.
        ids = {name: str(value) for name, value in scope.get("path_params", {}).items() if name.endswith("_id")}
        act.target = {name: value[:MAX_CHARS] for name, value in ids.items()} | act.target
        if rule.opens is Opens.LANDING_LINK and act.actor.kind is ActorKind.UNKNOWN:
            act.actor = Actor(kind=ActorKind.VISITOR)
        outcome = _judge(act, rule, status, scope)
        if act.actor.kind is not ActorKind.PERSON and not await self._strangers.hit(
            RateLimitItemPerMinute(STRANGERS_PER_MINUTE), str(address)
        ):
            facts = {"action": act.action, "outcome": str(outcome), "address": address}
            logger.warning("audit event of a stranger was left out", extra=facts)
            return
        agent = Headers(scope=scope).get("user-agent", "")
        event = service.make_event(
            act,
            outcome,
            route=f"{rule.method} {rule.path}",
            status=act.failure.status if act.failure else status,
            address=address,
            user_agent="".join(letter for letter in agent if letter.isprintable())[:MAX_CHARS] or None,
            request_id=request_id.get(),
        )
        await service.write(event, events=self._events)


def _find_rule(scope: Scope) -> Rule | None:
    route: Any = scope.get("route")
    try:
        return find_rule(scope["method"], route.path) if route is not None else None
    except RuleMissing:
        # A path with another method: answered 405, nothing was done.
        return None


def _judge(act: Act, rule: Rule, status: int, scope: Scope) -> Outcome:
    let_in = scope.get("state", {}).get("account") is not None
    if rule.opens in (Opens.ROLE, Opens.FIRST_PASSWORD) and not let_in and status < HTTPStatus.INTERNAL_SERVER_ERROR:
        # A browser is led to the log-in: its status alone would not tell.
        return Outcome.REFUSED
    if status in _REFUSALS:
        return Outcome.REFUSED
    return Outcome.FAILED if status >= HTTPStatus.BAD_REQUEST else act.outcome


def _find_via(headers: Headers) -> Literal["cookie", "key", "token"]:
    if "x-api-key" in headers:
        return "key"
    return "token" if headers.get("authorization", "").lower().startswith("bearer ") else "cookie"
