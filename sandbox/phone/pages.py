"""The page on which a person holds a phone."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from sandbox.pages import render, static_files

FILES = Path(__file__).parent / "files"


def routes() -> list[BaseRoute]:
    """The page and its files, relative to where the phone is mounted."""
    return [Route("/", _show), Mount("/files", StaticFiles(directory=FILES)), static_files()]


async def _show(request: Request) -> Response:
    return render(request, "phone.html")
