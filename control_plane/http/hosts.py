"""Only names that are ours: a request whose Host header is another one is refused."""

import re
from collections.abc import Iterable
from http import HTTPStatus

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from control_plane.errors import Problem
from control_plane.http.answers import answer

_HOST = re.compile(r"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+?)\.?)(?::\d{1,5})?", re.IGNORECASE)


class UnknownHost(Problem):
    """This server does not answer to that name; its operator sets it in FLAME_PUBLIC_URL or FLAME_TRUSTED_HOSTS."""

    status = HTTPStatus.BAD_REQUEST
    type = "/problems/unknown-host"
    title = "Unknown host name"


class TrustedHosts:
    """ASGI middleware: refuses requests for other hosts (400).

    Args:
        hosts: names and addresses without ports; `*.example.com` is every name below that one, `*` any.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = {host.lower() for host in hosts}
        self._below = tuple(host[1:] for host in self._hosts if host.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "http" and not self._knows(Headers(scope=scope).get("host", "")):
            await answer(Request(scope), UnknownHost())(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _knows(self, header: str) -> bool:
        found = _HOST.fullmatch(header)
        if found is None:
            return False
        host = (found["ipv6"] or found["name"]).lower()
        return "*" in self._hosts or host in self._hosts or host.endswith(self._below)
