"""How often somebody may ask: by address before anything is looked up, by account once it is known.

Pages and their live parts are never counted, nor is what runners deliver. The counts are each process's own.
"""

import math
import time
from http import HTTPStatus

from fastapi import Request
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.types import ASGIApp, Receive, Scope, Send

from control_plane.addresses import client_address, subject_of
from control_plane.errors import Problem
from control_plane.http.answers import answer
from control_plane.settings import Settings

# An agency's people share an address.
ACCOUNTS_PER_ADDRESS = 5


class TooManyRequests(Problem):
    """Too many requests in a short time; wait a moment and try again."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    type = "/problems/too-many-requests"
    title = "Too many requests"


class Rate:
    """A number per minute, counted for each subject.

    Args:
        name: keeps its counts apart from those of others.
    """

    def __init__(self, storage: MemoryStorage, name: str, per_minute: int) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._limit = RateLimitItemPerMinute(per_minute, namespace=name)

    async def count(self, subject: str) -> None:
        """Count one.

        Raises:
            TooManyRequests: the minute is used up (429, with Retry-After).
        """
        if not await self._limiter.hit(self._limit, subject):
            await self._refuse(subject)

    async def check(self, subject: str) -> None:
        """Count nothing.

        Raises:
            TooManyRequests: the minute is used up (429, with Retry-After).
        """
        if not await self._limiter.test(self._limit, subject):
            await self._refuse(subject)

    async def _refuse(self, subject: str) -> None:
        stats = await self._limiter.get_window_stats(self._limit, subject)
        raise TooManyRequests(headers={"Retry-After": str(max(1, math.ceil(stats.reset_time - time.time())))})


class Rates:
    """Every limit of the web process; as large as the settings say."""

    def __init__(self, settings: Settings) -> None:
        storage = MemoryStorage()
        api, actions = settings.api_requests_per_minute, settings.actions_per_minute
        self.accounts = {
            "api": Rate(storage, "api-account", api),
            "action": Rate(storage, "action-account", actions),
        }
        self.addresses = {
            "api": Rate(storage, "api-address", api * ACCOUNTS_PER_ADDRESS),
            "action": Rate(storage, "action-address", actions * ACCOUNTS_PER_ADDRESS),
        }
        self.unknown_links = Rate(storage, "unknown-link", settings.unknown_links_per_minute)


def _kind(scope: Scope) -> str | None:
    """What a request counts as; None for what is never counted."""
    path: str = scope["path"]
    if path.startswith("/api/"):
        return "api"
    if scope["method"] in ("GET", "HEAD") or path.startswith("/internal/"):
        return None
    return "action"


class AddressRates:
    """ASGI middleware: refuses an address that asks too often (429)."""

    def __init__(self, app: ASGIApp, *, rates: Rates) -> None:
        self._app = app
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "http" and (kind := _kind(scope)) is not None:
            try:
                await self._rates.addresses[kind].count(subject_of(client_address(scope)))
            except TooManyRequests as problem:
                await answer(Request(scope), problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def limit_account(request: Request) -> None:
    """Dependency of every route, after `authorize`.

    Raises:
        TooManyRequests: the account asks too often (429).
    """
    account, kind = getattr(request.state, "account", None), _kind(request.scope)
    if account is not None and kind is not None:
        rates: Rates = request.app.state.rates
        await rates.accounts[kind].count(account.id)
