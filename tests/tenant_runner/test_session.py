"""The WhatsApp Web channel by itself, in a real browser against the stand-in; one linked session for the whole file."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tenant_runner.channels.base import ChannelChange, ChannelMessage, ChannelNotReady, MediaGone
from tenant_runner.channels.whatsapp_web import page, pulse, watch
from tenant_runner.channels.whatsapp_web import session as session_module
from tenant_runner.channels.whatsapp_web.catch_up import CHATS_AT_ONCE
from tenant_runner.channels.whatsapp_web.page import MISSED_MESSAGES
from tests.conftest import wait_for
from tests.tenant_runner.installation import Phone, Sandbox
from tests.tenant_runner.linked_session import LinkedSession

OWNER = "5491155559100"
# The page takes half a second to find a number that an address hides.
SLOW_LOOKUP = """{
    const { contact } = WPP;
    const slow = async (...given) => {
      lookups += 1;
      await new Promise((resolve) => setTimeout(resolve, 500));
      return contact.getPnLidEntry(...given);
    };
    Object.defineProperty(WPP, 'contact', { value: { ...contact, getPnLidEntry: slow } });
    window.lookups = 0;
}"""


@pytest.fixture(scope="module")
def phone(sandbox: Sandbox) -> Phone:
    return sandbox.phone(OWNER)


@pytest.fixture(scope="module")
async def linked(
    tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox, phone: Phone
) -> AsyncIterator[LinkedSession]:
    session = LinkedSession(sandbox, tmp_path_factory.mktemp("session"))
    await session.start()
    try:
        await session.link(phone)
        yield session
    finally:
        await session.stop()


async def test_a_code_to_type_is_made_on_request_only_and_links(
    tmp_path: Path, sandbox: Sandbox, new_number: Callable[[], str]
) -> None:
    phone = sandbox.phone(new_number())
    session = LinkedSession(sandbox, tmp_path)
    await session.start()
    try:
        with pytest.raises(ChannelNotReady):
            await session.running.link_code(phone.number)
        await session.wait_for("SCAN_QR_CODE", "code_shown")
        link_code = await session.running.link_code(phone.number)
        shown = await session.wait_for("SCAN_QR_CODE", "link_code_shown")
        assert (shown.link_code, shown.link_code_expires_at) == (link_code.code, link_code.expires_at)
        assert shown.qr is None
        sandbox.call("POST", "/phone/api/pair", phone=phone.number, code=link_code.code)
        assert (await session.wait_for("WORKING", "connected")).phone == phone.number
        assert session.running.session.link_code is None
        with pytest.raises(ChannelNotReady):
            await session.running.link_code(phone.number)
    finally:
        await session.stop()


async def test_a_pairing_that_stalls_asks_for_the_passkey_until_new_codes_are_wanted(
    tmp_path: Path, sandbox: Sandbox, new_number: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "PASSKEY_S", 2.0)
    phone = sandbox.phone(new_number())
    phone.does("passkey", stall=True)
    session = LinkedSession(sandbox, tmp_path)
    await session.start()
    try:
        shown = await session.wait_for("SCAN_QR_CODE", "code_shown")
        assert shown.qr is not None
        assert phone.scan(shown.qr)
        told = await session.wait_for("PASSKEY_REQUIRED", "passkey")
        assert told.qr is None
        phone.does("passkey", stall=False)
        await session.running.refresh_code()
        await session.link(phone)
    finally:
        await session.stop()


async def received(linked: LinkedSession, message: dict[str, Any], count: int = 1) -> list[ChannelMessage]:
    message_id = message["id"]
    await wait_for(lambda: len(linked.listener.of(message_id)) >= count)
    return linked.listener.of(message_id)


def raw(phone: Phone, number: str, **facts: Any) -> dict[str, Any]:
    key = {"fromMe": False, "remote": f"{number}@c.us"}
    return phone.raw({"id": key, "type": "chat", "body": "", "self": "in", "ack": 1, **facts})


async def test_an_undecrypted_message_is_told_and_comes_again_under_its_id(
    linked: LinkedSession, phone: Phone, new_number: Callable[[], str]
) -> None:
    message = raw(phone, new_number(), type="ciphertext")
    [first] = await received(linked, message)
    assert (first.undecrypted, first.system, first.text) == (True, False, "")
    phone.patch(message["id"], type="chat", body="¿horario?")
    [_, second] = await received(linked, message, 2)
    assert (second.undecrypted, second.text, second.message_id) == (False, "¿horario?", first.message_id)


async def test_a_message_that_is_decrypted_after_the_page_began_anew_is_told_although_no_event_comes(
    linked: LinkedSession, phone: Phone, new_number: Callable[[], str]
) -> None:
    await linked.wait_for("WORKING", "connected")
    message = phone.incoming(new_number(), "¿horario?", undecrypted=True)
    assert [told.undecrypted for told in await received(linked, message)] == [True]
    await linked.running.recycle()
    await wait_for(lambda: linked.shown[0] != "WORKING")
    await linked.wait_for("WORKING", "connected")
    phone.does("decrypt", id=message["id"])
    told = await received(linked, message, 2)
    assert [(each.undecrypted, each.text) for each in told] == [(True, ""), (False, "¿horario?")]


async def test_everything_that_came_while_nobody_listened_is_told_however_many_chats_and_messages(
    tmp_path: Path, sandbox: Sandbox, phone: Phone, linked: LinkedSession, new_number: Callable[[], str]
) -> None:
    await linked.stop()
    talkative, numbers = new_number(), [new_number() for _ in range(2 * CHATS_AT_ONCE + 15)]
    written = [phone.incoming(talkative, f"mensaje {number}") for number in range(2 * MISSED_MESSAGES + 5)]
    written += [phone.incoming(number, "hola") for number in numbers]
    linked.listener.caught_up_through = None
    await linked.start(OWNER)
    await wait_for(lambda: linked.listener.caught_up_through)
    told = {message.message_id.rsplit("_", 1)[1] for message in linked.listener.messages}
    assert [message["id"] for message in written if message["id"] not in told] == []
    newest = max(message.sent_at for message in linked.listener.messages if not message.from_me)
    assert linked.listener.caught_up_through == newest


async def test_messages_are_told_in_their_order_though_an_address_is_looked_up_for_one(
    linked: LinkedSession, phone: Phone, new_number: Callable[[], str]
) -> None:
    page = linked.running._page
    assert page is not None
    await page._page.evaluate(SLOW_LOOKUP)
    first = phone.incoming(new_number(), "uno", addressing="lid")
    others = [phone.incoming(new_number(), text) for text in ("dos", "tres")]
    for message in (first, *others):
        await received(linked, message)
    texts = [message.text for message in linked.listener.messages if message.text in ("uno", "dos", "tres")]
    assert texts == ["uno", "dos", "tres"]
    assert await page._page.evaluate("lookups") == 1


async def test_every_message_brings_an_id_of_its_own_under_which_its_answer_leaves(
    linked: LinkedSession, phone: Phone, new_number: Callable[[], str]
) -> None:
    numbers = [new_number() for _ in range(4)]
    messages = await asyncio.gather(*(asyncio.to_thread(phone.incoming, number, "hola") for number in numbers))
    chats = [(await received(linked, message))[0].chat_id for message in messages]
    kept = dict(linked.running._reply_ids)
    ids = [await linked.running.new_message_id(chat) for chat in chats]
    assert [kept[chat] for chat in chats] == ids, "none was asked for"
    assert len(set(ids)) == len(ids)
    for chat, message_id in zip(chats, ids, strict=True):
        await linked.running.send(chat, "buenas", message_id)
    sent = {event["number"]: event["id"] for event in phone.events("sent") if event["number"] in numbers}
    assert [message_id.rsplit("_", 1)[1] for message_id in ids] == [sent[number] for number in numbers]
    assert [await linked.running.find(chat, message_id) for chat, message_id in zip(chats, ids, strict=True)] == [
        "server"
    ] * len(ids)


async def test_a_file_is_described_without_its_content(
    linked: LinkedSession, phone: Phone, new_number: Callable[[], str]
) -> None:
    thumbnail = "/9j/4AAQSkZJRg"
    message = raw(
        phone,
        new_number(),
        type="document",
        body=thumbnail,
        caption="la factura",
        mimetype="application/pdf",
        filename="factura.pdf",
        size=12_345,
    )
    [told] = await received(linked, message)
    assert (told.kind, told.text) == ("document", "la factura")
    assert told.media is not None
    assert told.media.model_dump() == {
        "mimetype": "application/pdf",
        "filename": "factura.pdf",
        "size": 12_345,
        "duration_s": None,
    }


async def test_a_quoted_message_is_named_by_its_id(
    linked: LinkedSession, phone: Phone, new_number: Callable[[], str]
) -> None:
    number = new_number()
    [first] = await received(linked, raw(phone, number, body="hola"))
    stanza = first.message_id.rsplit("_", 1)[1]
    answer = raw(phone, number, body="eso", quotedStanzaID=stanza, quotedParticipant=f"{number}@c.us")
    [told] = await received(linked, answer)
    assert told.quoted_id == first.message_id


async def test_a_location_keeps_its_picture_to_itself(
    linked: LinkedSession, phone: Phone, new_number: Callable[[], str]
) -> None:
    message = raw(phone, new_number(), type="location", body="/9j/4AAQSkZJRg", lat=-34.6, lng=-58.4, loc="Obelisco")
    [told] = await received(linked, message)
    assert (told.kind, told.text, told.media) == ("location", "Obelisco", None)


async def changes_of(linked: LinkedSession, message: ChannelMessage, count: int = 1) -> list[ChannelChange]:
    def found() -> list[ChannelChange]:
        return [change for change in linked.listener.changes if change.message_id == message.message_id]

    await wait_for(lambda: len(found()) >= count)
    return found()


async def test_an_edit_a_reaction_and_taking_back_are_told_in_their_order(
    linked: LinkedSession, phone: Phone, new_number: Callable[[], str]
) -> None:
    message = phone.incoming(new_number(), "a las 9")
    [told] = await received(linked, message)
    phone.does("edit", id=message["id"], body="a las 10")
    await changes_of(linked, told, 1)
    phone.does("react", id=message["id"], emoji="👍")
    await changes_of(linked, told, 2)
    phone.does("revoke", id=message["id"])
    changes = await changes_of(linked, told, 3)
    assert [(change.change, change.text) for change in changes] == [
        ("edited", "a las 10"),
        ("reaction", "👍"),
        ("revoked", ""),
    ]
    assert {(change.chat_id, change.from_me) for change in changes} == {(told.chat_id, False)}
    assert all(abs((datetime.now(UTC) - change.at).total_seconds()) < 60 for change in changes)


async def test_a_file_is_had_once_it_is_asked_for_and_never_a_larger_one(
    linked: LinkedSession, phone: Phone, new_number: Callable[[], str]
) -> None:
    content = bytes(range(256)) * 64
    media = {"data": base64.b64encode(content).decode(), "mimetype": "audio/ogg; codecs=opus", "duration": 7}
    message = phone.incoming(new_number(), "", type="ptt", media=media)
    [told] = await received(linked, message)
    assert told.media is not None
    assert (told.kind, told.text, told.media.duration_s) == ("ptt", "", 7)
    assert await linked.running.download(told.chat_id, told.message_id, len(content)) == content
    with pytest.raises(MediaGone, match="too_large"):
        await linked.running.download(told.chat_id, told.message_id, len(content) - 1)


async def test_a_file_that_is_no_more_is_gone(
    linked: LinkedSession, phone: Phone, new_number: Callable[[], str]
) -> None:
    media = {"data": base64.b64encode(b"x" * 500).decode(), "mimetype": "image/jpeg", "caption": "mirá"}
    message = phone.incoming(new_number(), "", media=media)
    [told] = await received(linked, message)
    assert (told.kind, told.text) == ("image", "mirá")
    phone.does("expire", id=message["id"])
    with pytest.raises(MediaGone):
        await linked.running.download(told.chat_id, told.message_id, 1000)
    text = phone.incoming(new_number(), "sin archivo")
    [told] = await received(linked, text)
    with pytest.raises(MediaGone):
        await linked.running.download(told.chat_id, told.message_id, 1000)


async def test_a_session_opened_elsewhere_is_left_to_them_for_a_while(
    linked: LinkedSession, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    await linked.wait_for("WORKING", "connected")
    monkeypatch.setattr(watch, "CONFLICT_S", 3.0)
    phone.does("conflict")
    told = await linked.wait_for("STARTING", "conflict")
    assert told.next_attempt_at is not None
    with pytest.raises(ChannelNotReady):
        await linked.running.new_message_id("5491155550001@c.us")
    back = await linked.wait_for("WORKING", "connected")
    assert back.since - told.since > timedelta(seconds=2)
    assert len(phone.events("linked")) == 1


async def test_a_restriction_stops_sending_and_keeps_the_session(
    linked: LinkedSession, phone: Phone, new_number: Callable[[], str]
) -> None:
    await linked.wait_for("WORKING", "connected")
    number = new_number()
    chat = f"{number}@c.us"
    message_id = await linked.running.new_message_id(chat)
    phone.does("restrict", restricted=True)
    try:
        told = await linked.wait_for("FAILED", "restricted")
        assert told.phone == OWNER
        with pytest.raises(ChannelNotReady):
            await linked.running.send(chat, "hola", message_id)
        assert phone.sent(number) == []
    finally:
        phone.does("restrict", restricted=False)
    await linked.wait_for("WORKING", "connected")
    assert phone.events("unlinked") == []


async def test_a_page_whose_server_answers_nothing_is_degraded_and_begun_anew(
    linked: LinkedSession, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    await linked.wait_for("WORKING", "connected")
    monkeypatch.setattr(session_module, "ROUND_TRIP_S", 0.5)
    monkeypatch.setattr(pulse, "EVERY_S", 0.5)
    monkeypatch.setattr(pulse, "AGAIN_S", 0.2)
    monkeypatch.setattr(page, "PROBE_S", 1.0)
    await linked.running.recycle()
    await wait_for(lambda: linked.shown[0] != "WORKING")
    await linked.wait_for("WORKING", "connected")
    proven = linked.running.session.last_round_trip_at
    await wait_for(lambda: linked.running.session.last_round_trip_at != proven)
    told = len(linked.listener.sessions)
    phone.does("frames", operation="query", lose="answer", count=10_000)
    try:
        await linked.wait_for("WORKING", "degraded")
        proven = linked.running.session.last_round_trip_at
        await linked.wait_for("STARTING", "reconnecting")
    finally:
        phone.does("frames", operation="query", lose="answer", count=0)
    assert linked.running.session.last_round_trip_at == proven
    await linked.wait_for("WORKING", "connected")
    assert {"degraded", "reconnecting"} <= {session.reason.value for session in linked.listener.sessions[told:]}
    assert len(phone.events("linked")) == 1


async def test_synchronising_is_told_with_its_progress(
    linked: LinkedSession, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    await linked.wait_for("WORKING", "connected")
    # Often enough that a slow machine sees more than the end of it.
    monkeypatch.setattr(session_module, "WATCH_S", 0.2)
    phone.does("sync", seconds=4)
    try:
        told = len(linked.listener.sessions)
        await linked.running.recycle()
        await linked.wait_for("STARTING", "syncing")
        await linked.wait_for("WORKING", "connected")
    finally:
        phone.does("sync", seconds=None)
    progress = [s.progress for s in linked.listener.sessions[told:] if s.reason == "syncing" and s.progress is not None]
    assert len(progress) >= 2
    assert progress == sorted(progress)


async def test_beginning_anew_keeps_the_login_and_is_no_failure(linked: LinkedSession, phone: Phone) -> None:
    told = len(linked.listener.sessions)
    await linked.running.recycle()
    await wait_for(lambda: linked.shown[0] != "WORKING")
    await linked.wait_for("WORKING", "connected")
    assert {session.attempt for session in linked.listener.sessions[told:]} == {None}
    assert "FAILED" not in {session.state.value for session in linked.listener.sessions[told:]}
    assert len(phone.events("linked")) == 1
