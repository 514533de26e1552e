"""Serving a runner's HTTP API."""

from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from pydantic import SecretStr

from tenant_runner.app import create_app
from tenant_runner.service import Service


class ApiServer(uvicorn.Server):
    """Its `should_exit` ends it; signals are the whole process's business, see `serve`."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def make_server(service: Service, token: SecretStr) -> ApiServer:
    """The server, ready to serve."""
    config = uvicorn.Config(
        create_app(service, token), log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
    )
    config.load()
    return ApiServer(config)
