"""Running one runner with its HTTP API until it is told to stop."""

import asyncio
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from tenant_runner.app import create_app
from tenant_runner.contract import RunnerCredentials
from tenant_runner.credentials import CannotStart
from tenant_runner.journal import Journal
from tenant_runner.runner import Runner
from tenant_runner.settings import RunnerSettings

logger = logging.getLogger(__name__)

STOP_S = 9.0
BIND_WAIT_S = 5.0
JOURNAL_FILE = "journal.sqlite3"


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the whole process's business, see `serve`."""
        yield


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


async def serve(settings: RunnerSettings, credentials: RunnerCredentials) -> None:
    """Serve one client; returns within 10 s of SIGTERM, SIGINT or SIGWINCH, with nothing left running."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    # SIGWINCH: what stands between supervisord and this process (bubblewrap) dies of the others, and this one with it.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGWINCH):
        loop.add_signal_handler(number, stopping.set)
    listener = await bind(credentials.port)
    journal = await Journal.open(settings.client_directory(credentials.client_id) / JOURNAL_FILE)
    runner = Runner(settings, credentials, journal)
    server = _Server(
        uvicorn.Config(
            create_app(runner, credentials.token),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
    )
    working = asyncio.create_task(runner.run(), name="runner")
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    told = asyncio.create_task(stopping.wait(), name="signals")
    logger.info("runner started", extra={"port": credentials.port, "journal_id": journal.id})
    try:
        await asyncio.wait({working, serving, told}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        logger.info("runner stopping", extra={"asked": stopping.is_set()})
        working.cancel()
        told.cancel()
        server.should_exit = True
        try:
            async with asyncio.timeout(STOP_S):
                await asyncio.gather(working, serving, return_exceptions=True)
                await runner.stop()
        except TimeoutError:
            logger.exception("runner did not stop in time")
        await journal.close()
        listener.close()
    if working.done() and not working.cancelled():
        # It only ends by itself when it broke; whoever started this process starts it again.
        working.result()
    logger.info("runner stopped")
