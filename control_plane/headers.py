"""Headers that tell a browser what a page may do: run our scripts, talk to us, be framed by nobody."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
# The API's documentation draws with styles of its own making; it shows nothing that anybody wrote.
_DOCUMENTATION = "/docs"
_DOCUMENTATION_POLICY = _POLICY | {"style-src": "'self' 'unsafe-inline'"}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Robots-Tag": "noindex, nofollow",
}
# The address of a landing page is a credential: it must not travel on.
_LANDING = ("/client/", "/api/client/")
_KEPT_BY_BROWSERS = "/static/"
_YEAR_S = 365 * 24 * 3600


def add_security_headers(headers: MutableHeaders, scope: Scope, *, https: bool) -> None:
    """Add what the response does not say itself.

    Args:
        https: people come by HTTPS, whatever the last hop was.
    """
    path: str = scope["path"]
    policy = _DOCUMENTATION_POLICY if path == _DOCUMENTATION else _POLICY
    headers.setdefault("Content-Security-Policy", "; ".join(f"{name} {value}" for name, value in policy.items()))
    if https or scope["scheme"] == "https":
        headers.setdefault("Strict-Transport-Security", f"max-age={_YEAR_S}")
    if not path.startswith(_KEPT_BY_BROWSERS):
        headers.setdefault("Cache-Control", "no-store")
    if path.startswith(_LANDING):
        headers.setdefault("Referrer-Policy", "no-referrer")
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)


class SecurityHeaders:
    """ASGI middleware: adds the headers that a response does not set itself."""

    def __init__(self, app: ASGIApp, *, https: bool = False) -> None:
        self._app = app
        self._https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                add_security_headers(MutableHeaders(scope=message), scope, https=self._https)
            await send(message)

        await self._app(scope, receive, send_with_headers)
