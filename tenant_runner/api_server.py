"""Serving a runner's HTTP API."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from pydantic import SecretStr

from tenant_runner.app import create_app
from tenant_runner.service import Service


class ApiServer(uvicorn.Server):
    """Runs until `end`; signals are the whole process's business, see `serve`."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        """Sleep: uvicorn's own looks ten times a second whether it shall end, in each of hundreds of runners."""
        await self._ending.wait()

    def end(self) -> None:
        """Let `serve` return; who is being answered has a second for it."""
        self.should_exit = True
        self._ending.set()


def make_server(service: Service, token: SecretStr) -> ApiServer:
    """The server, ready to serve."""
    config = uvicorn.Config(
        create_app(service, token),
        log_config=None,
        access_log=False,
        lifespan="off",
        # Its clock would be wound by the loop that does not run.
        date_header=False,
        timeout_graceful_shutdown=1,
    )
    config.load()
    return ApiServer(config)
