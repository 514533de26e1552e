"""One whole sandbox for the session, on free ports; and for each module WhatsApp alone, faster, with a page in it."""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from playwright.async_api import Playwright, async_playwright, expect

from sandbox.servers import Endpoints, serve
from sandbox.settings import SandboxSettings
from tests.sandbox.openai_conformance import Caller
from tests.sandbox.web_page import Phone, WebPage, open_page

Open = Callable[[], AbstractAsyncContextManager[WebPage]]

# Five seconds are little for a busy machine.
expect.set_options(timeout=60_000)

numbers = itertools.count(5491170000001)
"""Numbers of phones that no other test uses."""


@pytest.fixture(scope="session")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Endpoints]:
    directory = tmp_path_factory.mktemp("sandbox")
    async with serve(SandboxSettings(data_directory=directory, port=0, tls_port=0, smtp_port=0)) as endpoints:
        yield endpoints


@pytest.fixture
async def as_key(sandbox: Endpoints) -> AsyncIterator[Callable[..., Caller]]:
    """Makes callers of the OpenAI stand-in; whatever they send and get must keep to OpenAI's specification."""
    callers: list[Caller] = []

    def make(key: str) -> Caller:
        callers.append(Caller(sandbox.url, key))
        return callers[-1]

    yield make
    for caller in callers:
        await caller.control.delete("/faults")
        await caller.close()
    assert [violation for caller in callers for violation in caller.violations] == []


@pytest.fixture
def caller(as_key: Callable[..., Caller]) -> Caller:
    return as_key("sk-test-aaaabbbbcccc0001")


# ------------------------------------------------------------------ WhatsApp


@pytest.fixture(scope="module")
async def playwright() -> AsyncIterator[Playwright]:
    async with async_playwright() as running:
        yield running


@pytest.fixture(scope="module")
async def whatsapp(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Endpoints]:
    directory = tmp_path_factory.mktemp("whatsapp")
    settings = SandboxSettings(
        data_directory=directory, port=0, tls_port=0, smtp_port=0, sync_delay_ms=200, answer_seconds=2
    )
    async with serve(settings) as endpoints:
        yield endpoints


@pytest.fixture
async def phone(whatsapp: Endpoints) -> AsyncIterator[Phone]:
    held = Phone(whatsapp, str(next(numbers)))
    yield held
    await held.close()


@pytest.fixture
def open_web(playwright: Playwright, whatsapp: Endpoints, tmp_path: Path) -> Open:
    """Opens the page, always with the same profile."""
    return lambda: open_page(playwright, whatsapp, tmp_path / "profile")


@pytest.fixture(scope="module")
async def linked(
    playwright: Playwright, whatsapp: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[WebPage, Phone]]:
    """A page that stays linked, for tests that leave it so."""
    phone = Phone(whatsapp, str(next(numbers)))
    async with open_page(playwright, whatsapp, tmp_path_factory.mktemp("profile")) as page:
        assert (await phone.pair(qr=await page.qr())).status_code == 200
        await page.ready()
        yield page, phone
    await phone.close()
