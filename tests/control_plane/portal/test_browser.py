"""What scripts add to the pages, in a real browser and under a strict content security policy."""

import os
import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, Route, async_playwright

from control_plane.dependencies import SESSION_COOKIE
from tenant_runner.contract import SessionReason
from tests.control_plane.portal.site import Site

STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Window:
    """A page, and what its console complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))


@pytest.fixture
async def window(portal: Site) -> AsyncIterator[Window]:
    async def forbid_inline(route: Route) -> None:
        if "/events" in route.request.url:
            await route.continue_()
            return
        answer = await route.fetch(max_redirects=0)
        await route.fulfill(response=answer, headers={**answer.headers, "content-security-policy": STRICT})

    named = os.environ.get("FLAME_CHROMIUM") or shutil.which("chromium")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=named, args=sandbox)
        context = await browser.new_context(
            base_url=str(portal.browser.base_url), locale="es-AR", viewport={"width": 390, "height": 844}
        )
        token = portal.browser.cookies[SESSION_COOKIE]
        await context.add_cookies(
            [{"name": SESSION_COOKIE, "value": token, "url": str(portal.browser.base_url), "httpOnly": True}]
        )
        await context.route(lambda url: True, forbid_inline)
        page = await context.new_page()
        page.set_default_timeout(60_000)
        yield Window(page)
        await browser.close()


async def test_pages_change_by_themselves_and_forms_help_under_a_strict_policy(portal: Site, window: Window) -> None:
    page = window.page
    client = await portal.add_client("Estudio Jurídico Paredes & Asociados de la Costa")
    await portal.report(client, SessionReason.CODE_EXPIRED)

    for address in ("/admin", f"/admin/clients/{client.id}", f"/client/{client.slug}"):
        await portal.report(client, SessionReason.CODE_EXPIRED)
        await page.goto(address)
        before = "[data-situation=expired]" if address != "/admin" else ".pill:has-text('Código vencido')"
        await page.wait_for_selector(before)
        await portal.report(client, SessionReason.CONNECTED, phone="5491155554821")
        after = "[data-situation=connected]" if address != "/admin" else ".pill:has-text('Conectado')"
        await page.wait_for_selector(after)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390

    await page.goto("/admin/clients/new")
    await page.fill("#api_key", "sk-good-1234567890")
    await page.click("button[value=check_key]")
    await page.wait_for_selector("#key-result :text('La clave funciona.')")
    # Trying a key without reloading the page keeps it in the field.
    assert await page.input_value("#api_key") == "sk-good-1234567890"
    await page.check("input[value=automatic]")
    assert not await page.is_visible("#api_key")
    await page.click("[data-add-rule]")
    assert await page.locator(".rule").count() == 4
    assert await page.get_attribute(".rule:last-child input", "id") == "keywords-3"
    assert window.complaints == []


async def test_a_page_that_gets_no_events_asks_every_ten_seconds(portal: Site, window: Window) -> None:
    client = await portal.add_client()
    await portal.report(client, SessionReason.CODE_EXPIRED)
    await window.page.route("**/events*", lambda route: route.abort())
    await window.page.goto(f"/client/{client.slug}")

    await portal.report(client, SessionReason.SYNCING, progress=40)

    await window.page.wait_for_selector("[data-situation=syncing]")
    assert await window.page.get_attribute("progress", "value") == "40"
