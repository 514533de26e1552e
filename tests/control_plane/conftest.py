"""The web process over HTTP on a database of the test's own; a stand-in for OpenAI for all tests."""

import time
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from limits.aio.storage import memory

from control_plane.database import Database
from control_plane.settings import Environment, Settings
from sandbox.servers import Endpoints, serve
from sandbox.settings import SandboxSettings
from tests.control_plane.site import Site, change, open_site


@pytest.fixture
def one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """No minute turns for what counts by minutes: after a turn one more is let in."""
    now = time.time()
    monkeypatch.setattr(memory, "time", SimpleNamespace(time=lambda: now))


@pytest.fixture(scope="session")
async def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Endpoints]:
    """OpenAI's, among others."""
    directory = tmp_path_factory.mktemp("stand-ins")
    async with serve(SandboxSettings(data_directory=directory, port=0, tls_port=0, smtp_port=0)) as endpoints:
        yield endpoints


@pytest.fixture
def site_settings(settings: Settings, stand_ins: Endpoints) -> Settings:
    """Settings whose first environment is that of the stand-ins."""
    stand_in = Environment(name="sandbox", label="Sandbox", openai_base_url=f"{stand_ins.url}/openai/v1")
    return change(settings, environments=(stand_in,))


@pytest.fixture
async def site(site_settings: Settings, database: Database) -> AsyncIterator[Site]:
    async with open_site(site_settings, database) as running:
        yield running
