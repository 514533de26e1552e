"""One installation for all end-to-end tests, gone after the last of them, and hands for it: a browser, phones."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.e2e.installation import Installation
from tests.e2e.tenant import Tenant
from tests.log_scan import remember_secret

# Five seconds are little for a busy machine.
expect.set_options(timeout=60_000)

CreateTenant = Callable[..., Awaitable[Tenant]]


@pytest.fixture(scope="package")
def chromium() -> str:
    path = os.environ.get("FLAME_CHROMIUM") or shutil.which("chromium")
    assert path, "run the tests by ./scripts/test: it finds or installs a Chromium"
    return path


@pytest.fixture(scope="package")
def installation(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[Installation]:
    home: Path = tmp_path_factory.mktemp("home") / "flame"
    platform = Installation(home, chromium)
    platform.start()
    try:
        yield platform
    finally:
        platform.stop()


@pytest.fixture(scope="package")
async def api(installation: Installation) -> AsyncIterator[httpx2.AsyncClient]:
    key = remember_secret("an API key", installation.command("create-api-key").split()[-1])
    headers = {"X-Api-Key": key}
    async with httpx2.AsyncClient(base_url=installation.portal, headers=headers, timeout=60) as client:
        yield client


@pytest.fixture
async def create_tenant(installation: Installation, api: httpx2.AsyncClient) -> AsyncIterator[CreateTenant]:
    """Make clients; they are disconnected after the test, so that their browsers do not slow down the next one."""
    made: list[Tenant] = []

    async def create(**values: Any) -> Tenant:
        tenant = await Tenant.create(installation, api, **values)
        made.append(tenant)
        return tenant

    yield create
    for tenant in made:
        view = await api.get(f"/api/admin/clients/{tenant.id}")
        if view.status_code == 200 and view.json()["wanted"] == "connected":
            await api.post(f"/api/admin/clients/{tenant.id}/toggle")
        await tenant.close()


@pytest.fixture(scope="package")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    arguments = ["--disable-gpu", "--disable-background-networking", "--no-first-run"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=arguments, chromium_sandbox=os.geteuid() != 0
        )
        yield browser
        await browser.close()


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["desktop", "phone-width"])
async def page(request: pytest.FixtureRequest, browser: Browser) -> AsyncIterator[Page]:
    width, height = request.param
    context = await browser.new_context(viewport={"width": width, "height": height}, locale="es-AR")
    page = await context.new_page()
    page.set_default_timeout(60_000)
    yield page
    await context.close()
