"""The stand-in's page under unmodified wa-js; what happened is asked of the phone."""

from pathlib import Path

import pytest
from playwright.async_api import Error, Playwright

from sandbox.servers import Endpoints, serve
from sandbox.settings import SandboxSettings
from tests.conftest import wait_for
from tests.sandbox.conftest import Open, numbers
from tests.sandbox.web_page import SEND, Phone, WebPage, open_page

# ------------------------------------------------------------------ linking


async def test_a_scanned_page_logs_in_and_logs_in_again_without_a_code(open_web: Open, phone: Phone) -> None:
    async with open_web() as page:
        assert (await phone.pair(qr=await page.qr())).status_code == 200
        await page.ready()
        assert await page.ask("String(WPP.conn.getMyUserId())") == f"{phone.number}@c.us"
        await phone.saw("device_ready")
    async with open_web() as page:
        await page.ready()
        assert await page.ask("WPP.conn.getAuthCode()") is None
        assert len(await phone.events("device_ready")) == 2
        await phone.saw("linked")


async def test_the_phone_refuses_a_code_with_other_keys_and_one_that_no_page_shows(
    open_web: Open, phone: Phone
) -> None:
    async with open_web() as page:
        ref, noise, identity, adv = (await page.qr()).split(",")[:4]
        forged = await phone.pair(qr=",".join((ref, noise, "AAAA" + identity[4:], adv)))
        unknown = await phone.pair(qr=",".join(("2@made-up", noise, identity, adv)))
        assert (forged.status_code, unknown.status_code) == (409, 409)
        assert await phone.events("linked") == []
        assert await page.ask("WPP.whatsapp.Stream.mode") == "QR"


async def test_a_page_links_by_a_code_that_only_its_own_phone_may_type(
    open_web: Open, phone: Phone, whatsapp: Endpoints
) -> None:
    stranger = Phone(whatsapp, str(next(numbers)))
    async with open_web() as page:
        await page.qr()
        code = await page.ask("(number) => WPP.conn.genLinkDeviceCodeForPhoneNumber(number)", phone.number)
        assert len(code) == 8
        assert (await stranger.pair(code=code)).status_code == 409
        assert (await phone.pair(code=f"{code[:4]}-{code[4:]}")).status_code == 200
        await page.ready()
        assert (await phone.pair(code=code)).status_code == 409
    await stranger.close()


async def test_codes_run_out_and_come_back_when_they_are_asked_for(playwright: Playwright, tmp_path: Path) -> None:
    settings = SandboxSettings(
        data_directory=tmp_path, port=0, tls_port=0, smtp_port=0, ref_seconds=0.7, first_ref_factor=12, max_refs=3
    )
    async with serve(settings) as whatsapp, open_page(playwright, whatsapp, tmp_path / "profile") as page:
        first = await page.qr()
        await page.until("WPP.conn.isIdle()")
        late = Phone(whatsapp, "5491171000001")
        assert (await late.pair(qr=first)).status_code == 409
        await page.ask("WPP.conn.refreshQR()")
        assert await page.qr() != first
        await late.close()


async def test_a_logout_on_either_side_ends_the_link_and_brings_a_new_code(open_web: Open, phone: Phone) -> None:
    async with open_web() as page:
        for reason in ("user_initiated", "unknown_companion"):
            assert (await phone.pair(qr=await page.qr())).status_code == 200
            await page.ready()
            if reason == "user_initiated":
                await page.ask("WPP.conn.logout()")
            else:
                await phone.tell("logout")
            await phone.saw("unlinked", reason=reason)
            await wait_for(lambda: "post_logout=1" in page.page.url, what="the page left its chats")
        assert await page.qr()


async def test_a_profile_that_was_unlinked_while_it_was_closed_shows_a_code(open_web: Open, phone: Phone) -> None:
    async with open_web() as page:
        assert (await phone.pair(qr=await page.qr())).status_code == 200
        await page.ready()
    await phone.tell("logout")
    async with open_web() as page:
        assert await page.qr()
        assert not await page.ask("WPP.conn.isAuthenticated()")


# ------------------------------------------------------------------ messages


async def test_a_customers_message_arrives_once_and_is_read(linked: tuple[WebPage, Phone]) -> None:
    page, phone = linked
    sent = await phone.tell("incoming", **{"from": "5491155550001"}, pushname="Ana", body="¿Abren hoy?")
    got = await page.received("¿Abren hoy?")
    assert (got["id"], got["chat"], got["me"]) == (sent["serialized"], "5491155550001@c.us", False)
    await phone.saw("delivered", id=sent["id"])
    unread = "WPP.chat.list({onlyWithUnreadMessage: true}).then((l) => l.map((c) => String(c.id)))"
    assert sent["chat"] in await page.ask(unread)
    await page.ask("(chat) => WPP.chat.markIsRead(chat)", sent["chat"])
    await phone.saw("read", chat=sent["chat"], ids=[sent["id"]])
    assert sent["chat"] not in await page.ask(unread)


async def test_a_hidden_identity_keeps_its_address_and_tells_its_number(linked: tuple[WebPage, Phone]) -> None:
    page, phone = linked
    sent = await phone.tell("incoming", **{"from": "5491155550002"}, addressing="lid", pushname="Beto", body="soy lid")
    assert sent["chat"].endswith("@lid")
    assert "5491155550002" not in sent["chat"]
    assert (await page.received("soy lid"))["chat"] == sent["chat"]
    number = "(chat) => WPP.contact.getPnLidEntry(chat).then((e) => String(e.phoneNumber._serialized || e.phoneNumber))"
    assert await page.ask(number, sent["chat"]) == "5491155550002@c.us"
    assert (await page.send(sent["chat"], "hola Beto"))["result"] == "OK"
    event = await phone.saw("sent", body="hola Beto")
    assert (event["to"], event["number"]) == (sent["chat"], "5491155550002")


async def test_a_reply_is_delivered_and_read(linked: tuple[WebPage, Phone]) -> None:
    page, phone = linked
    sent = await page.send("5491155550003@c.us", "buenas")
    assert sent["result"] == "OK"
    event = await phone.saw("sent", body="buenas", copies=1)
    await phone.tell("receipt", id=event["id"], ack=3)
    assert await page.until(f"seen.acks.some(([id, ack]) => id === {sent['id']!r} && ack === 3)")
    messages = (await phone.http.get(f"/{phone.number}/messages", params={"chat": "5491155550003@c.us"})).json()
    assert [(message["body"], message["ack"]) for message in messages] == [("buenas", 3)]


async def test_what_the_owner_types_is_told_apart_and_reads_the_chat(linked: tuple[WebPage, Phone]) -> None:
    page, phone = linked
    await phone.tell("incoming", **{"from": "5491155550004"}, body="para el dueño")
    await page.received("para el dueño")
    typed = await phone.tell("own", to="5491155550004", body="yo me ocupo")
    got = await page.received("yo me ocupo")
    assert (got["me"], got["chat"]) == (True, typed["chat"])
    assert await page.until(f"WPP.chat.get({typed['chat']!r}).unreadCount === 0")
    noted = await phone.tell("own", to=phone.number, body="suspender bot")
    assert noted["chat"] == f"{phone.number}@c.us"
    assert (await page.received("suspender bot"))["me"] is True


async def test_a_refused_send_resolves_with_an_error_and_never_leaves(linked: tuple[WebPage, Phone]) -> None:
    page, phone = linked
    await phone.tell("incoming", **{"from": "5491155550005"}, body="refuse")
    await page.received("refuse")
    await phone.tell("refuse-sends", refuse=True)
    assert (await page.send("5491155550005@c.us", "no sale"))["result"] != "OK"
    await phone.tell("refuse-sends", refuse=False)
    await phone.saw("refused", body="no sale", reason="refuses_sends")
    assert await phone.events("sent", body="no sale") == []


async def test_an_unregistered_number_is_unknown_and_gets_nothing(linked: tuple[WebPage, Phone]) -> None:
    page, phone = linked
    await phone.tell("unregistered", number="5491155550006")
    assert await page.ask("WPP.contact.queryExists('5491155550006@c.us')") is None
    with pytest.raises(Error):
        await page.send("5491155550006@c.us", "a nadie")
    assert await phone.events("sent", body="a nadie") == []


async def test_the_same_id_sent_twice_shows_on_the_phone(linked: tuple[WebPage, Phone]) -> None:
    page, phone = linked
    message_id = await page.ask("WPP.chat.generateMessageID('5491155550007@c.us').then(String)")
    for _ in range(2):
        assert (await page.send("5491155550007@c.us", "dos veces", message_id))["result"] == "OK"
    copies = await phone.events("sent", body="dos veces")
    assert [event["copies"] for event in copies] == [1, 2]
    assert len({event["id"] for event in copies}) == 1


# ------------------------------------------------------------------ being away


async def test_after_an_outage_the_page_is_back_and_what_waited_goes_both_ways_once(
    linked: tuple[WebPage, Phone],
) -> None:
    page, phone = linked
    assert (await page.send("5491155550008@c.us", "antes"))["result"] == "OK"
    before = await phone.saw("sent", body="antes")
    await phone.http.post("/outage", json={"seconds": 600})
    try:
        await page.until("WPP.whatsapp.Stream.mode === 'OFFLINE'")
        await phone.tell("receipt", id=before["id"], ack=3)
        await page.ask(f"window.waiting = ({SEND})(['5491155550008@c.us', 'durante', null]); null")
        await phone.tell("incoming", **{"from": "5491155550008"}, body="mientras tanto")
        assert await phone.events("sent", body="durante") == []
    finally:
        await phone.http.post("/outage", json={"seconds": 0})
    await page.ready()
    assert (await page.ask("window.waiting"))["result"] == "OK"
    await phone.saw("sent", body="durante", copies=1)
    await page.received("mientras tanto")
    await page.until(f"seen.acks.some(([id, ack]) => id.endsWith({before['id']!r}) && ack === 3)")


async def test_what_came_while_the_browser_was_closed_waits_unread(open_web: Open, phone: Phone) -> None:
    async with open_web() as page:
        assert (await phone.pair(qr=await page.qr())).status_code == 200
        await page.ready()
        await phone.tell("incoming", **{"from": "5491155550009"}, body="sin leer")
        await page.received("sin leer")
    for body in ("uno", "dos"):
        await phone.tell("incoming", **{"from": "5491155550009"}, body=body)
    async with open_web() as page:
        await page.ready()
        unread = "WPP.chat.getMessages('5491155550009@c.us', {onlyUnread: true, count: -1})"
        assert await page.ask(f"{unread}.then((l) => l.map((m) => m.body))") == ["sin leer", "uno", "dos"]
        await phone.saw("delivered", id=(await phone.tell("own", to="5491155550009", body="ya está"))["id"])


async def test_a_restarted_sandbox_knows_phones_devices_and_messages(playwright: Playwright, tmp_path: Path) -> None:
    first = SandboxSettings(data_directory=tmp_path, port=0, tls_port=0, smtp_port=0, sync_delay_ms=200)
    async with serve(first) as whatsapp:
        ports = {"port": whatsapp.port, "tls_port": whatsapp.tls_port, "smtp_port": whatsapp.smtp_port}
        phone = Phone(whatsapp, "5491172000001")
        async with open_page(playwright, whatsapp, tmp_path / "profile") as page:
            assert (await phone.pair(qr=await page.qr())).status_code == 200
            await page.ready()
            await phone.tell("incoming", **{"from": "5491155550010"}, body="antes del reinicio")
            await page.received("antes del reinicio")
    database = tmp_path / "sandbox" / "whatsapp.sqlite3"
    assert database.stat().st_mode & 0o777 == 0o600
    second = first.model_copy(update=ports)
    async with serve(second) as whatsapp, open_page(playwright, whatsapp, tmp_path / "profile") as page:
        await page.ready()
        messages = (await phone.http.get(f"/{phone.number}/messages")).json()
        assert [message["body"] for message in messages] == ["antes del reinicio"]
        await phone.saw("linked")
        assert (await page.send("5491155550010@c.us", "después"))["result"] == "OK"
        await phone.saw("sent", body="después")
    await phone.close()
