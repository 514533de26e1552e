"""The page on which a person holds a phone."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

FILES = Path(__file__).parent / "static"

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'self'; form-action 'self'",
}


def routes() -> list[BaseRoute]:
    """The page and its files, relative to where the phone is mounted."""
    return [Route("/", _show), Mount("/static", StaticFiles(directory=FILES))]


async def _show(request: Request) -> Response:
    return FileResponse(FILES / "phone.html", headers=_HEADERS)
