"""The hard modes of the stand-in's WhatsApp, as unmodified wa-js reports them; what left is asked of the phone."""

import base64
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Playwright

from sandbox.servers import Endpoints
from tests.conftest import wait_for
from tests.sandbox.conftest import Open
from tests.sandbox.web_page import SEND, Phone, WebPage, open_page, open_tab

Linked = tuple[WebPage, Phone]


def forms(message_id: str) -> str:
    """Every form in which wa-js reported a message, as an expression of the page."""
    return f"seen.messages.filter((m) => m.id === {message_id!r}).map((m) => [m.type, m.body ?? null])"


# ------------------------------------------------------------------ messages


async def test_a_message_that_cannot_be_read_yet_comes_again_under_its_id(linked: Linked) -> None:
    page, phone = linked
    sent = await phone.tell("incoming", **{"from": "5491155551001"}, body="cifrado", undecrypted=True)
    await page.until(f"{forms(sent['serialized'])}.length === 1")
    assert await page.ask(forms(sent["serialized"])) == [["ciphertext", None]]
    await phone.tell("decrypt", id=sent["id"])
    await page.until(f"{forms(sent['serialized'])}.length === 2")
    assert (await page.ask(forms(sent["serialized"])))[1] == ["chat", "cifrado"]
    assert await page.ask(f"WPP.chat.get({sent['chat']!r}).unreadCount") == 1


async def test_a_message_that_becomes_readable_while_the_page_syncs_is_not_held_back(linked: Linked) -> None:
    page, phone = linked
    await phone.tell("sync", seconds=8)
    await phone.http.post("/outage", json={"seconds": 1.5})
    sent = await phone.tell("incoming", **{"from": "5491155551021"}, body="cifrado y lejos", undecrypted=True)
    # Its envelope is on the way with what came while the page was away.
    await page.until("WPP.whatsapp.Stream.mode === 'SYNCING'")
    await phone.tell("decrypt", id=sent["id"])
    assert await page.ask(forms(sent["serialized"])) == []
    await page.ready()
    await page.until(f"{forms(sent['serialized'])}.length === 2")
    assert (await page.ask(forms(sent["serialized"])))[1] == ["chat", "cifrado y lejos"]
    await phone.tell("sync", seconds=None)


def changes(message_id: str) -> str:
    """What wa-js reported of a message after it came."""
    return f"seen.changes.filter((c) => c[1] === {message_id!r}).map(([kind, , text]) => [kind, text])"


async def test_a_contact_edits_reacts_and_takes_back(linked: Linked) -> None:
    page, phone = linked
    sent = await phone.tell("incoming", **{"from": "5491155551009"}, body="a las 10")
    await page.received("a las 10")
    await phone.tell("edit", id=sent["id"], body="a las 11")
    await phone.tell("react", id=sent["id"], emoji="👍")
    await phone.tell("react", id=sent["id"], emoji="")
    await phone.tell("revoke", id=sent["id"])
    await page.until(f"{changes(sent['serialized'])}.length === 4")
    assert await page.ask(changes(sent["serialized"])) == [
        ["edited", "a las 11"],
        ["reaction", "👍"],
        ["reaction", ""],
        ["revoked", None],
    ]
    model = "(id) => WPP.chat.getMessageById(id).then((m) => [m.type, m.body ?? null])"
    assert await page.ask(model, sent["serialized"]) == ["revoked", None]
    # A change is no message: nobody is told of a new one, on neither side.
    assert await page.ask(f"{forms(sent['serialized'])}.length") == 1
    listed = (await phone.http.get(f"/{phone.number}/messages", params={"chat": sent["chat"]})).json()
    assert [message["type"] for message in listed] == ["revoked"]


async def test_what_happened_to_a_message_while_the_page_was_away_is_told_when_it_is_back(linked: Linked) -> None:
    page, phone = linked
    sent = await phone.tell("incoming", **{"from": "5491155551010"}, body="antes del corte")
    await page.received("antes del corte")
    await phone.http.post("/outage", json={"seconds": 1.5})
    await phone.tell("edit", id=sent["id"], body="durante el corte")
    await page.until(f"{changes(sent['serialized'])}.length === 1")
    assert await page.ask(changes(sent["serialized"])) == [["edited", "durante el corte"]]
    await page.ready()


@pytest.mark.parametrize("addressing", ["pn", "lid"])
async def test_a_quote_names_the_message_that_it_answers(linked: Linked, addressing: str) -> None:
    page, phone = linked
    contact = {"from": "5491155551011" if addressing == "pn" else "5491155551012", "addressing": addressing}
    first = await phone.tell("incoming", **contact, body=f"hola {addressing}")
    ours = await page.send(first["chat"], f"¿cuál? {addressing}")
    theirs = await phone.tell("incoming", **contact, body=f"esta {addressing}", quoted=ours["id"].rsplit("_")[-1])
    await page.received(f"esta {addressing}")
    quoted = "(id) => WPP.chat.getMessageById(id).then((m) => String(m.quotedMsgId))"
    assert await page.ask(quoted, theirs["serialized"]) == ours["id"]


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_frame_lost_in_flight_is_repeated_and_sends_once(linked: Linked, lost: str) -> None:
    page, phone = linked
    chat, text = "5491155551002@c.us", f"perdido: {lost}"
    await phone.tell("frames", operation="send", lose=lost)
    sending = f"window.sending = ({SEND})(['{chat}', '{text}', null]).then((sent) => window.sent = sent); null"
    await page.ask(sending)
    await phone.saw("frame_lost", operation="send", lost=lost)
    assert len(await phone.events("sent", body=text)) == (0 if lost == "request" else 1)
    assert await page.ask(f"WPP.chat.get('{chat}').msgs.last().ack") == 0
    await page.until("window.sent?.result === 'OK'")
    await phone.saw("sent", body=text, copies=1)
    await page.ask("delete window.sent")


async def download(page: WebPage, message_id: str) -> Any:
    """The bytes as wa-js gives them, or the code of its error."""
    script = """(id) => WPP.chat.downloadMedia(id).then(async (blob) => ({
      type: blob.type, data: (await WPP.util.blobToBase64(blob)).split(',')[1],
    }), (error) => error.code)"""
    return await page.ask(script, message_id)


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("image", {"mimetype": "image/jpeg", "caption": "mirá"}),
        ("ptt", {"mimetype": "audio/ogg; codecs=opus", "duration": 4}),
        ("document", {"mimetype": "application/pdf", "filename": "pedido.pdf"}),
    ],
)
async def test_an_incoming_file_is_described_and_downloads(linked: Linked, kind: str, facts: dict[str, Any]) -> None:
    page, phone = linked
    data = base64.b64encode(kind.encode() * 1000).decode()
    sent = await phone.tell("incoming", **{"from": "5491155551007"}, type=kind, media={"data": data, **facts})
    await page.until(f"{forms(sent['serialized'])}.length === 1")
    model = await page.ask("(id) => WPP.chat.getMessageById(id).then((m) => m.serialize())", sent["serialized"])
    assert {name: model.get(name) for name in facts} == facts
    assert (model["type"], model["size"]) == (kind, len(kind) * 1000)
    # The body of a picture is a small copy of it, not text.
    assert model["body"].startswith("/9j/") == (kind == "image")
    assert await download(page, sent["serialized"]) == {"type": facts["mimetype"], "data": data}


@pytest.mark.parametrize(
    ("options", "mimetype", "kind"),
    [
        ({"type": "image", "caption": "la foto"}, "image/png", "image"),
        ({"type": "document", "filename": "lista.pdf"}, "application/pdf", "document"),
        ({"type": "audio", "isPtt": True, "waveform": False}, "audio/ogg", "ptt"),
    ],
)
async def test_a_sent_file_reaches_the_phone(linked: Linked, options: dict[str, Any], mimetype: str, kind: str) -> None:
    page, phone = linked
    data = f"un archivo: {kind}".encode() * 500
    url = f"data:{mimetype};base64,{base64.b64encode(data).decode()}"
    script = """([url, options]) => WPP.chat.sendFileMessage('5491155551013@c.us', url,
      {...options, createChat: true, markIsRead: false, waitForAck: true}
    ).then(({id, sendMsgResult}) => [id, sendMsgResult.messageSendResult])"""
    message_id, result = await page.ask(script, [url, options])
    assert result == "OK"
    event = await phone.saw("sent", type=kind)
    assert message_id.endswith(event["id"])
    assert (event["number"], event["mimetype"], event["size"]) == ("5491155551013", mimetype, len(data))
    assert event["filename"] == options.get("filename", event["filename"])
    assert event["caption"] == options.get("caption", event["filename"])
    assert (await phone.http.get(f"/{phone.number}/files/{event['id']}")).content == data
    assert (await download(page, message_id))["data"] == base64.b64encode(data).decode()


async def test_a_file_that_the_servers_have_forgotten_cannot_be_had(linked: Linked) -> None:
    page, phone = linked
    media = {"data": base64.b64encode(b"viejo").decode(), "mimetype": "image/png"}
    sent = await phone.tell("incoming", **{"from": "5491155551007"}, media=media)
    await phone.tell("expire", id=sent["id"])
    await page.until(f"{forms(sent['serialized'])}.length === 1")
    assert await download(page, sent["serialized"]) == "media_not_found"


@pytest.mark.parametrize("kind", ["location", "vcard", "poll_creation", "sticker", "payment"])
async def test_a_message_of_any_kind_comes_as_that_kind(linked: Linked, kind: str) -> None:
    page, phone = linked
    sent = await phone.tell("incoming", **{"from": "5491155551008"}, type=kind, body="algo")
    await page.until(f"{forms(sent['serialized'])}.length === 1")
    assert (await page.ask(forms(sent["serialized"])))[0][0] == kind


# ------------------------------------------------------------------ the session


async def test_a_restricted_account_is_said_sends_nothing_and_keeps_its_session(linked: Linked) -> None:
    page, phone = linked
    await phone.tell("restrict", restricted=True)
    await page.until("WPP.whatsapp.Stream.mode === 'TOS_BLOCK'")
    assert (await page.send("5491155551003@c.us", "restringido"))["result"] != "OK"
    await phone.saw("refused", body="restringido", reason="restricted")
    await page.page.reload()
    await page.until("WPP.whatsapp.Stream.mode === 'TOS_BLOCK' && WPP.conn.isAuthenticated()")
    await phone.tell("restrict", restricted=False)
    await page.ready()
    assert (await page.send("5491155551003@c.us", "otra vez libre"))["result"] == "OK"
    assert await phone.events("unlinked") == []


async def test_a_conflict_ends_when_the_page_takes_over(linked: Linked) -> None:
    page, phone = linked
    await phone.tell("conflict")
    await page.until("WPP.whatsapp.Stream.mode === 'CONFLICT'")
    assert await page.ask("WPP.conn.isAuthenticated()") is True
    waiting = await phone.tell("incoming", **{"from": "5491155551004"}, body="en conflicto")
    await page.ask("WPP.whatsapp.Socket.takeover()")
    await page.ready()
    await page.received("en conflicto")
    await phone.saw("delivered", id=waiting["id"])


async def test_of_two_pages_of_one_device_the_newer_works_until_the_older_takes_over(linked: Linked) -> None:
    older, phone = linked
    newer = await open_tab(await older.page.context.new_page())
    await newer.ready()
    await older.until("WPP.whatsapp.Stream.mode === 'CONFLICT'")
    await phone.tell("incoming", **{"from": "5491155551005"}, body="para la nueva")
    await newer.received("para la nueva")
    await older.page.get_by_text("Use here").click()
    await older.ready()
    await newer.until("WPP.whatsapp.Stream.mode === 'CONFLICT'")
    await newer.page.close()
    await phone.tell("incoming", **{"from": "5491155551005"}, body="para la de antes")
    await older.received("para la de antes")


async def test_a_slow_sync_shows_its_progress(linked: Linked) -> None:
    page, phone = linked
    await phone.tell("sync", seconds=4)
    await page.page.reload()
    await page.until("WPP.whatsapp.Stream.mode === 'SYNCING'")
    seen: list[int] = []

    async def watch() -> bool:
        mode, progress = await page.ask("[WPP.whatsapp.Stream.mode, WPP.conn.getHistorySyncProgress().progress]")
        seen.append(progress)
        return str(mode) == "MAIN"

    await wait_for(watch)
    assert seen == sorted(seen)
    assert len({progress for progress in seen if 0 < progress < 100}) >= 3
    assert seen[-1] == 100
    await phone.tell("sync", seconds=None)


async def test_a_passkey_uses_the_code_up_and_never_logs_in(open_web: Open, phone: Phone) -> None:
    async with open_web() as page:
        shown = await page.qr()
        await phone.http.post("/phones", json={"phone": phone.number})
        await phone.tell("passkey", stall=True)
        assert (await phone.pair(qr=shown)).json() == {"deviceId": None, "phone": phone.number, "stalled": True}
        await page.until("WPP.whatsapp.Socket.state === 'PAIRING'")
        assert (await phone.pair(qr=shown)).status_code == 409
        assert await page.ask("WPP.conn.isAuthenticated()") is False
        await phone.saw("pairing_stalled")
        assert await phone.events("linked") == []
        await phone.tell("passkey", stall=False)
        await page.ask("WPP.conn.refreshQR()")
        await page.until("WPP.whatsapp.Socket.state === 'UNPAIRED'")
        assert (await phone.pair(qr=await page.qr())).status_code == 200
        await page.ready()


async def test_what_came_while_away_is_unread_and_comes_once_more_as_new(
    playwright: Playwright, whatsapp: Endpoints, phone: Phone, tmp_path: Path
) -> None:
    async with open_page(playwright, whatsapp, tmp_path / "profile") as page:
        assert (await phone.pair(qr=await page.qr())).status_code == 200
        await page.ready()
    await phone.tell("replay", late=True)
    sent: dict[str, Any] = await phone.tell("incoming", **{"from": "5491155551006"}, body="mientras no estaba")
    async with open_page(playwright, whatsapp, tmp_path / "profile") as page:
        await page.ready()
        unread = "WPP.chat.getMessages('5491155551006@c.us', {onlyUnread: true, count: -1})"
        assert await page.ask(f"{unread}.then((l) => l.map((m) => String(m.id)))") == [sent["serialized"]]
        assert (await page.received("mientras no estaba"))["id"] == sent["serialized"]
        assert await page.ask("WPP.chat.get('5491155551006@c.us').unreadCount") == 1
        await phone.saw("delivered", id=sent["id"])
