"""What a linked number lives through, seen from its phone; one runner for the whole file."""

import secrets
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial

import pytest

from tenant_runner.contract import RunnerConfig, WhatsAppWebChannel
from tests.conftest import find_free_port, wait_for
from tests.tenant_runner.conftest import AUTOMATIC
from tests.tenant_runner.control_plane import FakeControlPlane
from tests.tenant_runner.installation import Phone, RunnerProcess, Sandbox

HOURS = "Abrimos de 9 a 18."
DEFAULT = "Gracias por escribir."
OWNER = "5491155559000"


def configure(sandbox: Sandbox) -> RunnerConfig:
    return RunnerConfig(
        client_id="c1",
        revision=1,
        name="Panadería",
        language="es",
        channel=WhatsAppWebChannel(url="https://web.whatsapp.com/", browser_arguments=sandbox.browser_arguments),
        assistant=AUTOMATIC,
        # Two messages in a row may reach a slow machine with a pause between them.
        debounce_s=1,
        debounce_cap_s=3,
        fallback_text="Enseguida te atiende una persona.",
    )


@pytest.fixture(scope="module")
async def plane(sandbox: Sandbox) -> AsyncIterator[FakeControlPlane]:
    plane = FakeControlPlane(find_free_port(), secrets.token_urlsafe(16))
    plane.configure(configure(sandbox))
    await plane.start()
    yield plane
    await plane.stop()


@pytest.fixture(scope="module")
def phone(sandbox: Sandbox) -> Phone:
    return sandbox.phone(OWNER)


@pytest.fixture(scope="module")
async def linked(
    tmp_path_factory: pytest.TempPathFactory, plane: FakeControlPlane, phone: Phone
) -> AsyncIterator[RunnerProcess]:
    runner = RunnerProcess(tmp_path_factory.mktemp("linked"), "c1", plane)
    runner.start()
    try:
        await runner.link(phone)
        yield runner
    finally:
        await runner.stop()
        await runner.http.aclose()


@pytest.fixture
async def customer(linked: RunnerProcess, new_number: Callable[[], str]) -> str:
    await linked.wait_for_session("WORKING", "connected")
    return new_number()


def sent_to(phone: Phone, number: str, *expected: str) -> bool:
    return phone.sent(number) == list(expected)


def chat_of(plane: FakeControlPlane, number: str) -> Callable[[], list[tuple[str, str, str | None]]]:
    return lambda: [
        (message.author, message.text, message.outcome)
        for message in plane.messages()
        if message.chat_id == f"{number}@c.us"
    ]


async def test_two_messages_in_a_row_get_one_answer_after_reading_and_typing(customer: str, phone: Phone) -> None:
    phone.incoming(customer, "hola")
    phone.incoming(customer, "¿horario?")
    await wait_for(partial(sent_to, phone, customer, HOURS))
    chat = f"{customer}@c.us"
    order = [
        event["kind"]
        for event in phone.events("read") + phone.events("chatstate") + phone.events("sent")
        if chat in (event.get("chat"), event.get("to"))
    ]
    assert order[:2] == ["read", "chatstate"]
    assert order.count("sent") == 1
    moments = {kind: [e["at"] for e in phone.events(kind) if chat in (e.get("chat"), e.get("to"))] for kind in order}
    assert moments["read"][0] <= moments["chatstate"][0] <= moments["sent"][0]


async def test_an_answer_goes_to_the_address_that_the_message_came_from(
    customer: str, phone: Phone, plane: FakeControlPlane
) -> None:
    incoming = phone.incoming(customer, "¿horario?", addressing="lid", pushname="Ana")
    assert incoming["chat"].endswith("@lid")
    await wait_for(lambda: [e["to"] for e in phone.events("sent") if e["number"] == customer] == [incoming["chat"]])
    await wait_for(lambda: [m.contact_phone for m in plane.messages() if m.chat_id == incoming["chat"]][:1])
    [contact_phone] = [m.contact_phone for m in plane.messages("contact") if m.chat_id == incoming["chat"]]
    assert contact_phone == customer


async def test_a_message_that_is_decrypted_later_is_answered_then(
    customer: str, phone: Phone, plane: FakeControlPlane
) -> None:
    chat = f"{customer}@c.us"
    phone.incoming(customer, "hola")
    await wait_for(partial(sent_to, phone, customer, DEFAULT))
    message = phone.raw(
        {"id": {"fromMe": False, "remote": chat}, "type": "ciphertext", "body": "", "self": "in", "ack": 1}
    )
    phone.incoming(customer, "¿me leés?")
    await wait_for(partial(sent_to, phone, customer, DEFAULT, DEFAULT))
    phone.patch(message["id"], type="chat", body="¿horario?")
    await wait_for(partial(sent_to, phone, customer, DEFAULT, DEFAULT, HOURS))


async def test_groups_and_statuses_are_left_alone(customer: str, phone: Phone, plane: FakeControlPlane) -> None:
    for remote in ("120363025246125486@g.us", "status@broadcast"):
        key = {"fromMe": False, "remote": remote, "participant": f"{customer}@c.us"}
        phone.raw(
            {"id": key, "author": f"{customer}@c.us", "type": "chat", "body": "¿horario?", "self": "in", "ack": 1}
        )
    phone.incoming(customer, "hola")
    await wait_for(partial(sent_to, phone, customer, DEFAULT))
    # What came before is told before.
    await wait_for(lambda: chat_of(plane, customer)())
    assert {message.chat_id.split("@")[1] for message in plane.messages()} <= {"c.us", "lid"}
    assert [event["to"] for event in phone.events("sent") if not event["to"].endswith(("@c.us", "@lid"))] == []


async def test_an_unsupported_kind_is_recorded_and_not_answered(
    customer: str, phone: Phone, plane: FakeControlPlane
) -> None:
    phone.incoming(customer, "", type="location")
    await wait_for(lambda: chat_of(plane, customer)() == [("contact", "", "unsupported_kind")])
    # Whatever else was to be said has been said once a later text is answered.
    phone.incoming(customer, "hola")
    await wait_for(lambda: phone.sent(customer))
    assert phone.sent(customer) == [DEFAULT]


async def test_a_refused_answer_is_told_as_failed(customer: str, phone: Phone, plane: FakeControlPlane) -> None:
    phone.refuse_sends(refuse=True)
    try:
        phone.incoming(customer, "¿horario?")
        await wait_for(lambda: (f"{customer}@c.us", "waiting_for_human") in plane.statuses())
    finally:
        phone.refuse_sends(refuse=False)
    [answer] = [message for message in plane.messages("assistant") if message.chat_id == f"{customer}@c.us"]
    assert plane.acks(answer.message_id) == ["failed"]
    assert phone.sent(customer) == []
    phone.incoming(customer, "¿horario?")
    await wait_for(partial(sent_to, phone, customer, HOURS))


async def test_the_owner_suspends_one_chat_from_their_phone(
    customer: str, phone: Phone, plane: FakeControlPlane, new_number: Callable[[], str]
) -> None:
    other = new_number()
    phone.own(customer, "Suspender Bot")
    await wait_for(lambda: (f"{customer}@c.us", "suspended") in plane.statuses())
    phone.incoming(customer, "¿horario?")
    phone.incoming(other, "¿horario?")
    await wait_for(partial(sent_to, phone, other, HOURS))
    phone.own(customer, "ya te respondo yo")
    phone.own(customer, "activar bot")
    await wait_for(lambda: (f"{customer}@c.us", "automatic") in plane.statuses())
    assert phone.sent(customer) == []
    phone.incoming(customer, "hola")
    await wait_for(partial(sent_to, phone, customer, DEFAULT))
    await wait_for(lambda: len(chat_of(plane, customer)()) == 6)
    assert [author for author, _, _ in chat_of(plane, customer)()] == [
        "owner",
        "contact",
        "owner",
        "owner",
        "contact",
        "assistant",
    ]


async def test_the_owner_suspends_every_chat_in_the_chat_with_themselves(
    customer: str, phone: Phone, plane: FakeControlPlane
) -> None:
    phone.own(OWNER, "suspender bot")
    await wait_for(lambda: (None, "suspended") in plane.statuses())
    phone.incoming(customer, "¿horario?")
    await wait_for(lambda: chat_of(plane, customer)() == [("contact", "¿horario?", "suspended")])
    phone.own(OWNER, "activar bot")
    await wait_for(lambda: (None, "automatic") in plane.statuses())
    phone.incoming(customer, "hola")
    await wait_for(partial(sent_to, phone, customer, DEFAULT))


async def test_a_customer_who_writes_the_command_is_just_answered(
    customer: str, phone: Phone, plane: FakeControlPlane
) -> None:
    phone.incoming(customer, "suspender bot")
    await wait_for(partial(sent_to, phone, customer, DEFAULT))
    await wait_for(lambda: len(chat_of(plane, customer)()) == 2)
    assert (f"{customer}@c.us", "suspended") not in plane.statuses()


async def test_a_request_is_sent_once_and_its_end_is_told(
    linked: RunnerProcess, customer: str, phone: Phone, plane: FakeControlPlane
) -> None:
    body = {"chat_id": f"{customer}@c.us", "text": "Su pedido está listo"}
    answers = [await linked.http.post("/send", json=body, headers={"Idempotency-Key": "pedido-1"}) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {202}
    [message_id] = {answer.json()["message_id"] for answer in answers}
    await wait_for(partial(sent_to, phone, customer, "Su pedido está listo"))
    await wait_for(lambda: plane.acks(message_id)[:2] == ["server", "delivered"])
    phone._call("POST", "receipt", id=message_id.rsplit("_", 1)[1], ack=3)
    await wait_for(lambda: plane.acks(message_id) == ["server", "delivered", "read"])
    assert [event["copies"] for event in phone.events("sent") if event["number"] == customer] == [1]


async def test_an_outage_is_told_and_what_came_meanwhile_is_answered_once(
    linked: RunnerProcess, sandbox: Sandbox, customer: str, phone: Phone, plane: FakeControlPlane
) -> None:
    phone.incoming(customer, "hola")
    await wait_for(partial(sent_to, phone, customer, DEFAULT))
    sandbox.call("POST", "/phone/api/outage", seconds=600)
    try:
        await linked.wait_for_session("STARTING", "reconnecting")
        phone.incoming(customer, "¿horario?")
        old = int(datetime.now(UTC).timestamp()) - 20 * 60
        phone.incoming(customer, "¿horario? (hace rato)", t=old)
    finally:
        sandbox.call("POST", "/phone/api/outage", seconds=0)
    await linked.wait_for_session("WORKING", "connected")
    await wait_for(partial(sent_to, phone, customer, DEFAULT, HOURS))
    await wait_for(lambda: ("contact", "¿horario? (hace rato)", "too_old") in chat_of(plane, customer)())
    assert len(phone.events("linked")) == 1


async def test_an_answer_that_falls_into_an_outage_arrives_once(
    linked: RunnerProcess, sandbox: Sandbox, customer: str, phone: Phone, plane: FakeControlPlane
) -> None:
    phone.incoming(customer, "¿horario?")
    await wait_for(lambda: [e for e in phone.events("chatstate") if e["chat"] == f"{customer}@c.us"], interval_s=0.01)
    sandbox.call("POST", "/phone/api/outage", seconds=5)
    await wait_for(partial(sent_to, phone, customer, HOURS), deadline_s=90)
    await wait_for(lambda: [m for m in plane.messages("assistant") if m.chat_id == f"{customer}@c.us"])
    [answer] = [m for m in plane.messages("assistant") if m.chat_id == f"{customer}@c.us"]
    await wait_for(lambda: "server" in plane.acks(answer.message_id))
    assert [event["copies"] for event in phone.events("sent") if event["number"] == customer] == [1]


async def test_a_logout_on_request_unlinks_and_shows_codes(linked: RunnerProcess, phone: Phone) -> None:
    await linked.wait_for_session("WORKING", "connected")
    response = await linked.http.post("/session/logout")
    assert response.status_code == 202
    await linked.wait_for_session("SCAN_QR_CODE", "code_shown")
    assert phone.events("unlinked")
    await linked.link(phone)


async def test_codes_end_and_new_ones_come_only_on_demand(
    tmp_path_factory: pytest.TempPathFactory, new_number: Callable[[], str]
) -> None:
    sandbox = Sandbox(tmp_path_factory.mktemp("impatient"), ref_seconds=1, first_ref_factor=8, max_refs=2)
    plane = FakeControlPlane(find_free_port(), "t")
    plane.configure(configure(sandbox))
    await plane.start()
    runner = RunnerProcess(tmp_path_factory.mktemp("expiring"), "c1", plane)
    try:
        await sandbox.wait_until_ready()
        runner.start()
        session = await runner.wait_for_session("SCAN_QR_CODE", "code_expired")
        assert session.qr is None
        shown = len(plane.sessions)
        response = await runner.http.post("/session/refresh")
        assert response.status_code == 202

        assert (await runner.link(sandbox.phone(new_number()))).state == "WORKING"
        assert shown <= 20, "a change is told once"
    finally:
        await runner.stop()
        await runner.http.aclose()
        await plane.stop()
        sandbox.stop()
