"""The sandbox's three servers in one event loop: HTTP, TLS (the WhatsApp page) and SMTP."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from sandbox import openai_api
from sandbox.app import create_app
from sandbox.certificate import make_ssl_context
from sandbox.mailbox import Mailbox
from sandbox.mailbox import routes as mailbox_routes
from sandbox.settings import SandboxSettings, browser_arguments
from sandbox.whatsapp_web import server as whatsapp_web
from sandbox.whatsapp_web.network import Network

START_DEADLINE_S = 20
STOP_DEADLINE_S = 3


class PortTaken(Exception):
    """A port of the settings belongs to somebody else; says which and what to change."""


@dataclass(frozen=True)
class Endpoints:
    """Where a running sandbox listens; a port of 0 in the settings is a free one here."""

    host: str
    port: int
    tls_port: int
    smtp_port: int

    @property
    def url(self) -> str:
        """Of the HTTP side, without a trailing slash."""
        return f"http://{self.host}:{self.port}"

    @property
    def browser_arguments(self) -> tuple[str, ...]:
        """What sends a Chromium's https://web.whatsapp.com/ here."""
        return browser_arguments(self.host, self.tls_port)


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to whoever runs several of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serve(settings: SandboxSettings) -> AsyncIterator[Endpoints]:
    """Run the sandbox for as long as the block lasts.

    Raises:
        PortTaken: before anything was started.
    """
    with contextlib.ExitStack() as sockets:
        http = sockets.enter_context(_listen(settings.host, settings.port, "FLAME_SANDBOX_PORT"))
        tls = sockets.enter_context(_listen(settings.host, settings.tls_port, "FLAME_SANDBOX_TLS_PORT"))
        smtp = sockets.enter_context(_listen(settings.host, settings.smtp_port, "FLAME_SANDBOX_SMTP_PORT"))
        settings.state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        network = Network(settings)
        openai = openai_api.create_app(settings.state_directory / "openai.sqlite3")
        mailbox = Mailbox(settings.state_directory / "mailbox.sqlite3")
        others = [Mount("/openai", app=openai), *mailbox_routes(mailbox)]
        try:
            await mailbox.start_on(smtp)
            async with (
                _running(whatsapp_web.create_app(network), tls, tls=True),
                _running(create_app(network, others=others), http),
            ):
                yield Endpoints(settings.host, *(each.getsockname()[1] for each in (http, tls, smtp)))
        finally:
            await mailbox.stop()
            openai.state.store.close()
            network.close()


def _listen(host: str, port: int, setting: str) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise PortTaken(f"cannot listen on {host}:{port} ({error.strerror}); set {setting} to another port") from error
    return listener


@contextlib.asynccontextmanager
async def _running(app: Starlette, listener: socket.socket, *, tls: bool = False) -> AsyncIterator[None]:
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            ws="websockets-sansio",
            ws_ping_interval=20,
            timeout_graceful_shutdown=STOP_DEADLINE_S,
            ssl_context_factory=(lambda config, default: make_ssl_context()) if tls else None,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with asyncio.timeout(START_DEADLINE_S):
            while not server.started:
                if task.done():
                    await task
                await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        await task
