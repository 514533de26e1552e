"""The phone: its page in a browser, its API's refusals, and the process around it."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import FilePayload, Page, Route, async_playwright, expect

from sandbox.servers import Endpoints
from tests.conftest import wait_for
from tests.sandbox.web_page import Phone, open_page

COUNT_SWITCHING_OFF = """(switch_) => {
  const { get, set } = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'checked');
  window.switchedOff = 0;
  Object.defineProperty(document.querySelector(switch_), 'checked', {
    get,
    set(on) { if (!on) window.switchedOff += 1; set.call(this, on); },
  });
}"""
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["desktop", "phone-width"])
async def screen(request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    width, height = request.param
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=os.environ.get("FLAME_CHROMIUM") or shutil.which("chromium"),
            chromium_sandbox=os.geteuid() != 0,
        )
        yield await browser.new_page(viewport={"width": width, "height": height})
        await browser.close()


async def pick(screen: Page, tab: str) -> None:
    """The tabs are there on narrow screens only."""
    if await screen.locator(".tabs").is_visible():
        await screen.click(f".tabs [data-tab={tab}]")


async def test_a_person_scans_writes_as_customer_and_as_owner_and_logs_out(
    screen: Page, sandbox: Endpoints, tmp_path: Path
) -> None:
    owner = f"54911733{screen.viewport_size['width'] if screen.viewport_size else 0:05d}"
    phone = Phone(sandbox, owner)
    async with async_playwright() as playwright, open_page(playwright, sandbox, tmp_path / "profile") as web:
        shown = await web.qr()
        await screen.goto(f"{sandbox.url}/phone/")
        await expect(screen.locator("h1")).to_have_text("Esto no es WhatsApp")
        await screen.fill("#open [name=phone]", f"+{owner}")
        await screen.fill("#open [name=name]", "Marta")
        await screen.click("#open button")

        await expect(screen.locator(".session img")).to_be_visible()
        waiting = [session["qr"] for session in (await phone.http.get("/sessions")).json()]
        assert any(qr and qr.startswith(shown) for qr in waiting)
        await screen.click(".session button")
        await web.ready()
        await expect(screen.locator("#devices .dot.online")).to_be_visible()

        await pick(screen, "chats")
        await screen.fill("#customer [name=from]", "+54 9 11 5555-0020")
        await screen.fill("#customer [name=pushname]", "Ana")
        await screen.fill("#customer [name=body]", "¿Hay turno?")
        await screen.click("#customer button.primary")
        await web.received("¿Hay turno?")
        assert (await web.send("5491155550020@c.us", "Sí, a las 10"))["result"] == "OK"
        await expect(screen.locator("#messages .bubble").last).to_contain_text("Sí, a las 10")

        await screen.check("#write [value=owner]")
        await screen.fill("#write [name=body]", "sigo yo")
        await screen.click("#write button.primary")
        assert (await web.received("sigo yo"))["me"] is True
        await screen.click("#self")
        await screen.fill("#write [name=body]", "activar bot")
        await screen.click("#write button.primary")
        assert (await web.received("activar bot"))["chat"] == f"{owner}@c.us"

        await screen.click(".languages a[lang=en]")
        await expect(screen.locator("h1")).to_have_text("This is not WhatsApp")
        await screen.click("#logout")
        await phone.saw("unlinked")
        await expect(screen.locator("#devices")).to_contain_text("None.")
    width = await screen.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width == 0
    await phone.close()


async def take(screen: Page, sandbox: Endpoints, prefix: str) -> Phone:
    """Take a phone of which no other test knows."""
    width = screen.viewport_size["width"] if screen.viewport_size else 0
    phone = Phone(sandbox, f"{prefix}{width:05d}")
    await screen.goto(f"{sandbox.url}/phone/")
    await screen.fill("#open [name=phone]", phone.number)
    await screen.click("#open button")
    await expect(screen.locator("#held")).to_be_visible()
    return phone


async def assert_fits(screen: Page) -> None:
    """Nothing is wider than the screen."""
    width = await screen.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width == 0


async def test_a_person_makes_whatsapp_fail_for_a_phone(screen: Page, sandbox: Endpoints) -> None:
    phone = await take(screen, sandbox, "54911734")
    await pick(screen, "failures")
    for switch in ("refuse", "restrict", "passkey", "replay"):
        await screen.check(f"#{switch}")
    await screen.fill("#sync [name=seconds]", "20")
    await screen.click("#sync button")
    await screen.select_option("#lose [name=lose]", "answer")
    await screen.fill("#lose [name=count]", "2")
    await screen.click("#lose button")
    await expect(screen.locator("#losses")).to_contain_text("la respuesta, la respuesta")
    await screen.click("#conflict")
    await phone.saw("conflict", pages=0)
    await assert_fits(screen)
    phones = (await phone.http.get("/state")).json()["phones"]
    held = next(held for held in phones if held["phone"] == phone.number)
    switches = ("refuses_sends", "restricted", "stalls_pairing", "replays_late")
    assert [held[name] for name in switches] == [True] * 4
    assert (held["sync_seconds"], held["losses"]) == (20, {"send": ["answer", "answer"]})
    await screen.click("#losses button")
    await expect(screen.locator("#losses li")).to_have_count(0)
    await phone.close()


async def test_a_late_answer_does_not_move_a_switch_back(screen: Page, sandbox: Endpoints) -> None:
    phone = await take(screen, sandbox, "54911736")
    await pick(screen, "failures")
    asked, moved = asyncio.Event(), asyncio.Event()

    async def hold_back(route: Route) -> None:
        answer = await route.fetch()
        asked.set()
        await moved.wait()
        await route.fulfill(response=answer)

    await screen.route("**/phone/api/state", hold_back, times=1)
    await asyncio.wait_for(asked.wait(), timeout=60)
    async with screen.expect_response("**/phone/api/*/chats"):
        await screen.check("#refuse")
    await screen.evaluate(COUNT_SWITCHING_OFF, "#refuse")
    async with screen.expect_request("**/phone/api/state"):
        moved.set()
    assert await screen.evaluate("window.switchedOff") == 0
    assert await screen.is_checked("#refuse")
    await phone.close()


async def test_a_person_sends_a_file_and_changes_what_was_sent(screen: Page, sandbox: Endpoints) -> None:
    phone = await take(screen, sandbox, "54911735")
    await pick(screen, "chats")
    await screen.click("#customer summary")
    await screen.fill("#customer [name=from]", "5491155550030")
    picture = (REPOSITORY / "sandbox" / "whatsapp_web" / "thumbnail.jpg").read_bytes()
    upload = FilePayload(name="foto.jpg", mimeType="image/jpeg", buffer=picture)
    await screen.set_input_files("#customer [name=file]", upload)
    await screen.click("#customer button.primary")
    shown = screen.locator("#messages .file img")
    await expect(shown).to_be_visible()
    await expect(shown).to_have_js_property("naturalWidth", 16)

    await screen.check("#customer [name=undecrypted]")
    await screen.fill("#customer [name=body]", "secreto")
    await screen.click("#customer button.primary")
    last = screen.locator("#messages .bubble").last
    await last.get_by_text("descifrar").click()
    await expect(last.get_by_text("descifrar")).to_have_count(0)
    await last.get_by_text("editar").click()
    await screen.fill("#write [name=body]", "ya no es secreto")
    await screen.click("#write button.primary")
    await expect(last).to_contain_text("ya no es secreto")
    await last.get_by_text("reaccionar").click()
    await expect(last.locator(".reaction")).to_have_text("👍")
    await last.get_by_text("responder").click()
    await screen.fill("#write [name=body]", "otra cosa")
    await screen.click("#write button.primary")
    await expect(last.locator("blockquote")).to_have_text("ya no es secreto")
    await last.get_by_text("eliminar").click()
    await expect(last).to_contain_text("[mensaje eliminado]")
    await assert_fits(screen)
    messages = (await phone.http.get(f"/{phone.number}/messages")).json()
    assert [message["type"] for message in messages] == ["image", "chat", "revoked"]
    assert (messages[0]["mimetype"], messages[0]["size"]) == ("image/jpeg", len(picture))
    await phone.close()


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/pair", {"phone": "5491174000001", "qr": "2@x,a,b,c"}, 409),
        ("/pair", {"phone": "5491174000001"}, 422),
        ("/pair", {"phone": "not digits", "qr": "2@x,a,b,c"}, 422),
        ("/5491174999999/incoming", {"from": "5491155550001", "body": "x"}, 404),
        ("/5491174000002/incoming", {"from": "5491155550001", "unknown": 1}, 422),
        ("/5491174000002/raw", {"id": {"remote": "status@broadcast"}}, 422),
        ("/5491174000002/receipt", {"id": "3A0000000000", "ack": 3}, 404),
        ("/5491174000002/edit", {"id": "3A0000000000", "body": "x"}, 404),
        ("/5491174000002/frames", {"operation": "unknown", "lose": "request"}, 422),
        ("/5491174000002/frames", {"operation": "send", "lose": "both"}, 422),
        ("/5491174000002/incoming", {"from": "5491155550001", "media": {"data": "?", "mimetype": "image/png"}}, 422),
        ("/5491174000002/incoming", {"from": "5491155550001", "quoted": "3A0000000000"}, 404),
    ],
)
async def test_the_api_refuses_what_it_cannot_do(
    sandbox: Endpoints, path: str, body: dict[str, object], status: int
) -> None:
    async with httpx2.AsyncClient(base_url=f"{sandbox.url}/phone/api", timeout=60) as http:
        assert (await http.post("/phones", json={"phone": "5491174000002"})).status_code == 200
        answer = await http.post(path, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


async def test_pages_of_other_sites_cannot_use_the_phone(sandbox: Endpoints) -> None:
    async with httpx2.AsyncClient(headers={"Sec-Fetch-Site": "cross-site"}, timeout=60) as http:
        answer = await http.post(f"{sandbox.url}/phone/api/phones", json={"phone": "5491174000003"})
    assert answer.status_code == 403


def launch(directory: Path, *ports: int) -> subprocess.Popen[str]:
    names = ("FLAME_SANDBOX_PORT", "FLAME_SANDBOX_TLS_PORT", "FLAME_SANDBOX_SMTP_PORT")
    settings = {name: str(port) for name, port in zip(names, ports, strict=True)}
    environment = {**os.environ, **settings, "FLAME_DATA_DIRECTORY": str(directory)}
    command = [sys.executable, "-m", "sandbox"]
    return subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True)


def test_a_taken_port_is_named_with_the_setting_that_changes_it(tmp_path: Path, free_port: Callable[[], int]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        process = launch(tmp_path, free_port(), taken, free_port())
        _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"127.0.0.1:{taken}" in said
    assert "FLAME_SANDBOX_TLS_PORT" in said
    assert "Traceback" not in said


async def test_a_signal_ends_the_process_and_frees_its_ports(tmp_path: Path, free_port: Callable[[], int]) -> None:
    ports = [free_port() for _ in range(3)]
    process = launch(tmp_path, *ports)
    try:
        async with httpx2.AsyncClient() as http:

            async def answers() -> bool:
                try:
                    return (await http.get(f"http://127.0.0.1:{ports[0]}/health")).status_code == 200
                except httpx2.HTTPError:
                    return False

            await wait_for(answers)
            process.send_signal(signal.SIGTERM)
            await wait_for(lambda: process.poll() is not None, what="the process ends")
    finally:
        process.kill()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert (tmp_path / "sandbox").stat().st_mode & 0o777 == 0o700
    for port in ports:
        with socket.create_server(("127.0.0.1", port)):
            pass
