"""Running one runner with its HTTP API until it is told to stop."""

import asyncio
import logging
import signal
import socket
from typing import TYPE_CHECKING

from tenant_runner.channels.whatsapp_web.browser import Begun
from tenant_runner.contract import RunnerCredentials
from tenant_runner.journal import Journal
from tenant_runner.only_process import CannotStart
from tenant_runner.runner import Runner
from tenant_runner.settings import RunnerSettings

if TYPE_CHECKING:
    from tenant_runner.api_server import ApiServer

logger = logging.getLogger(__name__)

STOP_S = 9.0
BIND_WAIT_S = 5.0
# The most that the API waits for a page that takes long to load; who asks meanwhile is answered then.
API_WAIT_S = 5.0
JOURNAL_FILE = "journal.sqlite3"


async def bind(port: int) -> socket.socket:
    """Listen on the client's port, on loopback; waits a moment for a predecessor to let go of it.

    Raises:
        CannotStart: somebody else has the port.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ends = asyncio.get_running_loop().time() + BIND_WAIT_S
    while True:
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(64)
        except OSError as error:
            if asyncio.get_running_loop().time() > ends:
                listener.close()
                raise CannotStart(f"port {port} cannot be used: {error.strerror}") from error
            await asyncio.sleep(0.2)
        else:
            listener.setblocking(False)
            return listener


async def _serve_api(
    runner: Runner, credentials: RunnerCredentials, listener: socket.socket, ending: asyncio.Event
) -> None:
    """Serve until it is to end; who connects before the API is loaded waits for a moment."""

    def load() -> "ApiServer":
        from tenant_runner.api_server import make_server

        return make_server(runner, credentials.token)

    ended = asyncio.create_task(ending.wait())
    opened = asyncio.create_task(runner.opened.wait())
    # To load it takes as much processor time as all else together, which the page needs first.
    await asyncio.wait({opened, ended}, timeout=API_WAIT_S, return_when=asyncio.FIRST_COMPLETED)
    opened.cancel()
    if ending.is_set():
        return
    server = await asyncio.to_thread(load)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="api")
    await asyncio.wait({serving, ended}, return_when=asyncio.FIRST_COMPLETED)
    ended.cancel()
    server.end()
    await serving


async def serve(settings: RunnerSettings, credentials: RunnerCredentials, begun: Begun | None = None) -> None:
    """Serve one client, with the browser that has begun, if any.

    Returns within 10 s of SIGTERM, SIGINT or SIGWINCH, with nothing left running but a browser that was not needed.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    # SIGWINCH: what stands between supervisord and this process (bubblewrap) dies of the others, and this one with it.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGWINCH):
        loop.add_signal_handler(number, stopping.set)
    listener = await bind(credentials.port)
    journal = await Journal.open(settings.client_directory(credentials.client_id) / JOURNAL_FILE)
    runner = Runner(settings, credentials, journal, begun=begun)
    working = asyncio.create_task(runner.run(), name="runner")
    ending = asyncio.Event()
    serving = asyncio.create_task(_serve_api(runner, credentials, listener, ending), name="http")
    told = asyncio.create_task(stopping.wait(), name="signals")
    logger.info("runner started", extra={"port": credentials.port, "journal_id": journal.id})
    try:
        await asyncio.wait({working, serving, told}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        logger.info("runner stopping", extra={"asked": stopping.is_set()})
        working.cancel()
        told.cancel()
        ending.set()
        try:
            async with asyncio.timeout(STOP_S):
                await asyncio.wait({working})
                # Whoever is being answered has a second for it, which the browser takes to close.
                await asyncio.gather(asyncio.wait({serving}), runner.stop())
        except TimeoutError:
            logger.exception("runner did not stop in time")
        await journal.close()
        listener.close()
    for task in (working, serving):
        if task.done() and not task.cancelled():
            # It only ends by itself when it broke; whoever started this process starts it again.
            task.result()
    logger.info("runner stopped")
