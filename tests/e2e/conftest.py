"""One installation for all end-to-end tests, and hands for it: a browser, phones, customers."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.e2e.installation import Installation


@pytest.fixture(scope="session")
def chromium() -> str:
    path = os.environ.get("FLAME_CHROMIUM") or shutil.which("chromium")
    assert path, "run the tests by ./scripts/test: it finds or installs a Chromium"
    return path


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[Installation]:
    home: Path = tmp_path_factory.mktemp("home") / "flame"
    platform = Installation(home, chromium)
    platform.start()
    try:
        yield platform
    finally:
        platform.stop()


@pytest.fixture(scope="session")
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
    page.set_default_timeout(30_000)
    yield page
    await context.close()
