"""What browsers reach as https://web.whatsapp.com/: the page, its scripts, its QR raster and its WebSocket."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import segno
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from sandbox.whatsapp_web import linking, messaging
from sandbox.whatsapp_web.media import MAX_BYTES, PREFIX
from sandbox.whatsapp_web.network import Network
from sandbox.whatsapp_web.pages import Page
from sandbox.whatsapp_web.weight import make_scripts

logger = logging.getLogger(__name__)

Operation = Callable[[Network, Page, dict[str, Any]], Awaitable[dict[str, Any] | None]]

OPERATIONS: Mapping[str, Operation] = {**linking.OPERATIONS, **messaging.OPERATIONS}
"""What a page may ask over its wire; a capability brings its own table."""

FILES = Path(__file__).parent / "page"
MAX_QR_CHARS = 1000

# Like the real page's: an injector of inline scripts must bypass it, one that uses the debugger protocol need not.
_CONTENT_SECURITY_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' blob: 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self' data: blob: ws: wss:"
)


def list_scripts() -> list[str]:
    """Every script of the page in the order it needs: the loader, what is defined with it, and last what starts it."""
    ordered = [FILES / "loader.js"]
    for folder in ("primitives", "modules", "wire"):
        ordered += sorted((FILES / folder).glob("*.js"))
    ordered += [FILES / "screen.js", FILES / "start.js"]
    return [path.relative_to(FILES).as_posix() for path in ordered]


def create_app(network: Network) -> Starlette:
    """The application that is served over TLS."""
    weight = [text.encode() for text in make_scripts(network.settings.page_script_mb, network.settings.page_heap_mb)]
    *own, start = (f"/static/{path}" for path in list_scripts())
    sources = [*own, *(f"/weight/{number}.js" for number in range(len(weight))), start]
    scripts = "\n".join(f'<script src="{source}"></script>' for source in sources)
    html = (FILES / "index.html").read_text().replace("<!-- scripts -->", scripts)

    async def show_page(request: Request) -> Response:
        headers = {"Cache-Control": "no-store", "Content-Security-Policy": _CONTENT_SECURITY_POLICY}
        return HTMLResponse(html, headers=headers)

    async def give_weight(request: Request) -> Response:
        number = request.path_params["number"]
        if number >= len(weight):
            return Response(status_code=404)
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(weight[number], media_type="text/javascript; charset=utf-8", headers=headers)

    async def give_file(request: Request) -> Response:
        if network.is_down:
            return Response(status_code=503)
        file = network.media.find(request.path_params["token"])
        return FileResponse(file, media_type="application/octet-stream") if file else Response(status_code=404)

    async def take_file(request: Request) -> Response:
        if network.is_down:
            return Response(status_code=503)
        data = bytearray()
        async for chunk in request.stream():
            data += chunk
            if len(data) > MAX_BYTES:
                return Response(status_code=413)
        return JSONResponse(network.media.put(bytes(data)))

    async def talk(websocket: WebSocket) -> None:
        await _talk(network, websocket)

    return Starlette(
        routes=[
            Route("/", show_page),
            Route("/qr", draw_qr, methods=["POST"]),
            Route(PREFIX, take_file, methods=["POST"]),
            Route(f"{PREFIX}{{token}}", give_file),
            Route("/weight/{number:int}.js", give_weight),
            WebSocketRoute("/ws/chat", talk),
            Mount("/static", StaticFiles(directory=FILES)),
        ]
    )


async def draw_qr(request: Request) -> Response:
    """Rows of 0 and 1 for the text in the body."""
    text = (await request.body()).decode()
    if not 0 < len(text) <= MAX_QR_CHARS:
        return Response(status_code=422)
    matrix = segno.make(text, error="l", micro=False).matrix
    return JSONResponse(["".join("1" if module else "0" for module in row) for row in matrix])


async def _talk(network: Network, websocket: WebSocket) -> None:
    if network.is_down:
        await websocket.close(1013)
        return
    await websocket.accept()
    page = Page(websocket)
    network.pages.append(page)
    try:
        while True:
            await _answer(network, page, await websocket.receive_text())
    except WebSocketDisconnect:
        pass
    finally:
        network.pages.remove(page)
        page.stop_rotation()


async def _answer(network: Network, page: Page, text: str) -> None:
    seq = lost = None
    try:
        frame = json.loads(text)
        seq, operation = frame.pop("seq", None), frame.pop("op")
        lost = page.account.lose(operation) if page.account else None
        if lost == "request":
            return
        reply = await OPERATIONS[operation](network, page, frame)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        logger.warning("frame refused", extra={"cause": type(error).__name__})
        reply = {"ok": False, "exists": False}
    if seq is not None and lost is None:
        await page.send("reply", seq=seq, **({"ok": True} if reply is None else reply))
