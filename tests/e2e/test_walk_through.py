"""The README's walk-through in a real browser: client, mail, landing page, scan, chat. Asserted on the outside."""

import io
import re
import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import zxingcpp
from PIL import Image
from playwright.async_api import Page, expect

from tests.conftest import wait_for
from tests.e2e.installation import Installation

ADMIN_PASSWORD = "una-frase-bien-larga-" + secrets.token_hex(4)


def number() -> str:
    """A phone number that no other test has."""
    return "54911" + "".join(secrets.choice("0123456789") for _ in range(8))


@pytest.fixture
async def phone(installation: Installation) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=f"{installation.sandbox}/phone/api", timeout=30) as client:
        yield client


async def log_in(page: Page, installation: Installation) -> None:
    """Log in; the very first time with the one-time password, which the portal has changed at once."""
    await page.goto(f"{installation.portal}/admin?lang=es")
    for password in (ADMIN_PASSWORD, installation.password):
        await page.locator("input[name=username]").fill("admin")
        await page.locator("input[name=password]").fill(password)
        async with page.expect_navigation():
            await page.locator("button[type=submit]").first.click()
        if not await page.locator("input[name=username]").count():
            break
    if await page.locator("input[name=new_password]").count():
        await page.locator("input[name=current_password]").fill(installation.password)
        await page.locator("input[name=new_password]").fill(ADMIN_PASSWORD)
        await page.locator("input[name=repeat_password]").fill(ADMIN_PASSWORD)
        async with page.expect_navigation():
            await page.locator("main form[action='/admin/password'] button[type=submit]").click()
    await expect(page.locator("input[name=username]")).to_have_count(0)


async def read_qr(page: Page) -> str:
    """What the QR code says, read from the pixels that a phone's camera would see."""

    async def decode() -> str:
        if not await page.locator(".qr img").count():
            return ""
        picture = Image.open(io.BytesIO(await page.locator(".qr img").first.screenshot()))
        found = zxingcpp.read_barcodes(picture.convert("RGB"))
        return found[0].text if found else ""

    return await wait_for(decode, deadline_s=120, what="a QR code on the landing page")


async def mail_for(installation: Installation, address: str) -> dict[str, Any]:
    """The mail that arrived for an address, from the mailbox."""
    async with httpx2.AsyncClient(base_url=installation.sandbox, timeout=30) as client:

        async def find() -> dict[str, Any] | None:
            messages = (await client.get("/mail/api/messages")).json()
            messages = messages.get("messages", messages) if isinstance(messages, dict) else messages
            one = next((m for m in messages if address in str(m["to"])), None)
            return (await client.get(f"/mail/api/messages/{one['id']}")).json() if one else None

        return await wait_for(find, what=f"a mail for {address}")


async def replies(phone: httpx2.AsyncClient, owner: str, customer: str) -> list[str]:
    """Texts that the owner's account sent to a customer, as the phone saw them leave."""
    events = (await phone.get(f"/{owner}/events", params={"kind": "sent"})).json()
    return [event["body"] for event in events if customer in str(event.get("number"))]


@pytest.mark.parametrize("kind", ["openai", "automatic"])
async def test_a_client_is_created_linked_and_answers(
    page: Page, installation: Installation, phone: httpx2.AsyncClient, kind: str
) -> None:
    name, owner, customer = f"Panadería {secrets.token_hex(3)}", number(), number()
    address = f"{secrets.token_hex(4)}@example.com"

    # The admin creates the client.
    await log_in(page, installation)
    await page.goto(f"{installation.portal}/admin/clients/new")
    await page.locator("input[name=name]").fill(name)
    await page.locator("input[name=email]").fill(address)
    if kind == "openai":
        await page.locator("[name=kind][value=openai]").check()
        await page.locator("[name=api_key]").fill("sk-walk-" + secrets.token_hex(8))
        await page.locator("[name=instructions]").fill("El horario es de 9 a 18 horas. El envío tarda dos días.")
    else:
        await page.locator("[name=kind][value=automatic]").check()
        await page.locator("[name=keywords]").first.fill("horario, abren")
        await page.locator("[name=answer]").first.fill("El horario es de 9 a 18 horas.")
        await page.locator("[name=default_answer]").fill("Gracias por escribir. Ya te respondemos.")
    await page.locator("button[value=save]:visible").last.click()
    await expect(page.locator("h1")).to_contain_text(name)

    # The client gets the invitation and opens its link.
    mail = await mail_for(installation, address)
    link = re.search(rf"{re.escape(installation.portal.replace('127.0.0.1', 'localhost'))}/client/[\w-]+", str(mail))
    assert link, mail
    landing = await page.context.new_page()
    await landing.goto(link[0])
    text = await read_qr(landing)

    # The owner scans it: the page itself changes to connected, and the code is gone.
    paired = await phone.post("/pair", json={"qr": text, "phone": owner, "name": "Marta"})
    assert paired.status_code == 200, paired.text
    await expect(landing.locator("[data-situation=connected]")).to_be_visible(timeout=90_000)
    await expect(landing.locator(".qr img")).to_have_count(0)
    await expect(landing.locator("body")).to_contain_text(owner[-4:])
    await expect(landing.locator("body")).not_to_contain_text(owner)

    # A customer writes; the phone sees one answer leave, and the message read.
    incoming = await phone.post(
        f"/{owner}/incoming", json={"from": customer, "pushname": "Juan", "body": "Hola, ¿cuál es el horario?"}
    )
    assert incoming.status_code == 200, incoming.text
    answers = await wait_for(lambda: replies(phone, owner, customer), deadline_s=90, what="an answer")
    assert len(answers) == 1
    assert "9 a 18" in answers[0]
    reads = (await phone.get(f"/{owner}/events", params={"kind": "read"})).json()
    assert any(incoming.json()["id"] in event["ids"] for event in reads)

    # The portal shows both, and the database has each once.
    database = installation.database()
    client = database["clients"].find_one({"email": address})
    assert client is not None

    def both() -> bool:
        return database["client_messages"].count_documents({"client_id": client["_id"]}) == 2

    await wait_for(both, what="both messages in the database")
    stored = list(database["client_messages"].find({"client_id": client["_id"]}).sort("sent_at", 1))
    assert [message["author"] for message in stored] == ["contact", "assistant"]
    threads = 1 if kind == "openai" else 0
    # Of one delivery, messages are stored before threads.
    await wait_for(lambda: database["client_threads"].count_documents({"client_id": client["_id"]}) == threads)
    await page.bring_to_front()
    await page.goto(f"{installation.portal}/admin/clients/{client['_id']}")
    await expect(page.locator("[data-situation=connected]").first).to_be_visible()
    await page.get_by_text("Juan").first.click()
    await expect(page.locator("main")).to_contain_text("¿cuál es el horario?")
    await expect(page.locator("main")).to_contain_text("9 a 18")

    # The admin disconnects the client: the page says so, and so does the client's own.
    await page.goto(f"{installation.portal}/admin/clients/{client['_id']}")
    await page.locator("#do-disconnect").click()
    await expect(page.locator("[data-situation=paused]").first).to_be_visible()
    await expect(landing.locator("[data-situation=paused]")).to_be_visible()
    await wait_for(lambda: installation.runner(str(client["_id"])) is None, what="the runner's end")
