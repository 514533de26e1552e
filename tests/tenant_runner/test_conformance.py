"""The runner's HTTP API keeps to its own description, whatever it is sent, with the token and without."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from tenant_runner.app import create_app
from tests.conftest import find_free_port
from tests.schemathesis_run import find_failures
from tests.tenant_runner.http_server import HttpServer
from tests.tenant_runner.test_app import TOKEN, StubService


@pytest.mark.parametrize("headers", [{"X-Api-Key": TOKEN}, {}], ids=["with the token", "without"])
async def test_nothing_breaks_the_description(headers: dict[str, str], tmp_path: Path) -> None:
    app, port = create_app(StubService(), SecretStr(TOKEN)), find_free_port()
    server = HttpServer(app, port)
    await server.start()
    try:
        url = f"http://127.0.0.1:{port}"
        assert not await find_failures(app.openapi(), url, tmp_path, headers=headers, coverage=bool(headers))
    finally:
        await server.stop()
