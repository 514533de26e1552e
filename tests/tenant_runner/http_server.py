"""An ASGI application on a port, in this process."""

import asyncio
from typing import Any

import uvicorn

from tests.conftest import wait_for


class HttpServer:
    """Stopping it cuts its connections, as a crash would."""

    def __init__(self, app: Any, port: int) -> None:
        config = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="off")
        self._server = uvicorn.Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        # Not `serve`, which would take pytest's signal handlers.
        self._task = asyncio.create_task(self._server._serve())
        await wait_for(lambda: self._server.started)

    async def stop(self) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        if self._task is not None:
            await self._task
