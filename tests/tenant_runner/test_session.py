"""The WhatsApp Web channel by itself, in a real browser against the stand-in; one linked session for the whole file."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tenant_runner.channels.base import ChannelMessage, ChannelNotReady
from tests.conftest import wait_for
from tests.tenant_runner.installation import Phone, Sandbox
from tests.tenant_runner.linked_session import LinkedSession

OWNER = "5491155559100"


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
        shown = await session.wait_for("SCAN_QR_CODE", "link_code_shown", 5)
        assert (shown.link_code, shown.link_code_expires_at) == (link_code.code, link_code.expires_at)
        assert shown.qr is None
        sandbox.call("POST", "/phone/api/pair", phone=phone.number, code=link_code.code)
        assert (await session.wait_for("WORKING", "connected")).phone == phone.number
        assert session.running.session.link_code is None
        with pytest.raises(ChannelNotReady):
            await session.running.link_code(phone.number)
    finally:
        await session.stop()


async def received(linked: LinkedSession, message: dict[str, Any], count: int = 1) -> list[ChannelMessage]:
    message_id = message["id"]
    await wait_for(lambda: len(linked.listener.of(message_id)) >= count, deadline_s=20)
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


async def test_an_edit_is_told_with_the_new_text(
    linked: LinkedSession, phone: Phone, new_number: Callable[[], str]
) -> None:
    message = raw(phone, new_number(), body="a las 9")
    [told] = await received(linked, message)
    phone.patch(message["id"], body="a las 10", latestEditMsgKey="edit-1")
    await wait_for(lambda: [c for c in linked.listener.changes if c.message_id == told.message_id], deadline_s=20)
    [change] = [c for c in linked.listener.changes if c.message_id == told.message_id]
    assert (change.change, change.text, change.from_me, change.chat_id) == ("edited", "a las 10", False, told.chat_id)


async def test_taking_a_message_back_is_told(
    linked: LinkedSession, phone: Phone, new_number: Callable[[], str]
) -> None:
    number = new_number()
    message = raw(phone, number, body="me equivoqué")
    [told] = await received(linked, message)
    stanza = told.message_id.rsplit("_", 1)[1]
    key = {"fromMe": False, "remote": f"{number}@c.us", "id": stanza}
    raw(phone, number, type="protocol", subtype="sender_revoke", protocolMessageKey=key)
    await wait_for(lambda: [c for c in linked.listener.changes if c.message_id == told.message_id], deadline_s=20)
    [change] = [c for c in linked.listener.changes if c.message_id == told.message_id]
    assert (change.change, change.text, change.from_me) == ("revoked", "", False)


async def test_beginning_anew_keeps_the_login_and_is_no_failure(linked: LinkedSession, phone: Phone) -> None:
    told = len(linked.listener.sessions)
    await linked.running.recycle()
    await wait_for(lambda: linked.shown[0] != "WORKING", deadline_s=20)
    await linked.wait_for("WORKING", "connected")
    assert {session.attempt for session in linked.listener.sessions[told:]} == {None}
    assert "FAILED" not in {session.state.value for session in linked.listener.sessions[told:]}
    assert len(phone.events("linked")) == 1
