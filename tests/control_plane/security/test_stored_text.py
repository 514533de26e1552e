"""What strangers and clients write is shown as they wrote it, and runs nowhere: portal, landing page, mails."""

import os
import shutil
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx2
from markupsafe import escape
from playwright.async_api import async_playwright

from control_plane.clients.models import Client
from control_plane.email import compose
from control_plane.sessions.repository import ClientSession
from control_plane.web import render_email
from tests.control_plane.site import Site, message

ATTACK = "\"'><img src=x onerror=alert(1)></textarea><script>alert(2)</script>{{7*7}}"
FACTS = {"mimetype": ATTACK, "filename": ATTACK}
CHAT = '"><svg onload=alert(3)>@c.us'


async def fill(site: Site) -> Client:
    """A client all of whose texts are attacks: its own, its customers' and its runner's."""
    rules = [{"keywords": [ATTACK[:60]], "answer": ATTACK}]
    client = await site.create(ATTACK[:80], assistant={"kind": "automatic", "rules": rules, "default_answer": ATTACK})
    values: dict[str, Any] = {"chat_id": CHAT, "contact_name": ATTACK, "contact_phone": ATTACK}
    events = [
        message(1, "one", text=ATTACK, outcome=ATTACK, **values),
        message(2, "two", text=ATTACK, author="agent", quoted_id="one", **values),
        message(3, "three", text=ATTACK, kind=ATTACK, media=FACTS, **values),
    ]
    session = {"detail": ATTACK, "push_name": ATTACK, "page_version": ATTACK, "state": "FAILED", "reason": "restricted"}
    accepted = await site.runner(client).deliver(*events, session=session)
    assert accepted.status_code == 200, accepted.text
    await ClientSession(site.database, client.id).set(
        assistant_problem="bad_key", assistant_problem_detail=ATTACK, heard_at=datetime.now(UTC)
    )
    return client


def addresses(client: Client) -> list[str]:
    page, landing = f"/admin/clients/{client.id}", f"/client/{client.slug}"
    chat = f"{page}/chats/{quote(CHAT, safe='')}"
    portal = ["/admin", "/admin/fragment", page, f"{page}/fragment", f"{page}/edit", f"{page}/delete", f"{page}/chats"]
    return [*portal, chat, landing, f"{landing}/fragment", f"{landing}/link-code"]


async def test_no_text_becomes_markup(site: Site, owner: httpx2.AsyncClient) -> None:
    client = await fill(site)
    shown = 0
    for address in addresses(client):
        page = await owner.get(address)
        assert page.status_code in (200, 303), address
        for markup in ("<img src=x", "<svg onload", "<script>alert", ">49<", "</textarea><script"):
            assert markup not in page.text, (address, markup)
        shown += page.text.count(str(escape("<img src=x onerror=alert(1)>")))
    assert shown > 15
    # What somebody typed and gets back with an error.
    typed = await owner.post(
        f"/admin/clients/{client.id}/delete", data={"form_token": owner.cookies["flame_form"], "name": ATTACK + "!"}
    )
    assert typed.status_code == 422
    assert "<img src=x" not in typed.text


async def test_no_text_becomes_markup_or_a_header_in_mails() -> None:
    name = "A\r\nBcc: victim@example.com\r\n" + ATTACK
    for kind in ("invitation", "linked"):
        context = {"name": name, "link": "http://localhost/x", "phone": ATTACK, "linked_at": ATTACK}
        subject, text, html = render_email(kind, "es", context)
        assert "<img src=x" not in html
        assert "<script" not in html
        mail = compose(to="a@example.com", subject=subject, text=text, html=html, sender="x@example.com", mail_id="1")
        assert mail["Bcc"] is None
        assert "Bcc" not in mail


async def test_nothing_runs_in_a_browser(site: Site, owner: httpx2.AsyncClient) -> None:
    client = await fill(site)
    ran: list[str] = []
    complaints: list[str] = []
    named = os.environ.get("FLAME_CHROMIUM") or shutil.which("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=named, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        context = await browser.new_context(base_url=str(owner.base_url), locale="es-AR")
        cookies = [{"name": name, "value": value, "url": str(owner.base_url)} for name, value in owner.cookies.items()]
        await context.add_cookies(cookies)  # type: ignore[arg-type]
        page = await context.new_page()
        page.set_default_timeout(60_000)
        page.on("dialog", lambda dialog: ran.append(dialog.message))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        for address in (f"/admin/clients/{client.id}", *addresses(client)[-4:-3], f"/client/{client.slug}"):
            await page.goto(address)
            assert await page.locator("img[src=x], svg[onload]").count() == 0
            assert "onerror=alert(1)" in await page.inner_text("body")
        # Neither markup nor a style that got into a page after all would do anything: the policy is the second wall.
        await page.evaluate(
            "() => { document.body.insertAdjacentHTML('beforeend', '<img src=\"data:,\" onerror=\"alert(4)\">');"
            " const script = document.createElement('script'); script.textContent = 'alert(5)';"
            " document.body.append(script); document.body.setAttribute('style', 'color: red'); }"
        )
        await page.wait_for_function("() => document.querySelector('img[src^=\"data:\"]').complete")
        await browser.close()
    assert ran == []
    assert complaints
    assert all("Content Security Policy" in complaint for complaint in complaints), complaints


async def test_only_the_page_of_the_documentation_has_styles_of_its_own(site: Site, client: Client) -> None:
    for path in ("/admin/login", f"/client/{client.slug}", "/nothing", "/api/nothing", "/static/css/flame.css"):
        headers = (await site.visitor.get(path)).headers
        assert "unsafe" not in headers["content-security-policy"], path
        assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
        assert "camera=()" in headers["permissions-policy"]
        assert "server" not in headers
    documentation = (await site.visitor.get("/docs")).headers["content-security-policy"]
    assert "style-src 'self' 'unsafe-inline'" in documentation
    assert documentation.count("unsafe") == 1
