"""Every kind of message through the real page, from the customer's phone to the model and back; one runner for all."""

import base64
import secrets
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
from pydantic import SecretStr

from tenant_runner.contract import (
    ConversationStatusChanged,
    MessageChanged,
    MessageRecorded,
    OpenAIAssistant,
    Pacing,
    RunnerConfig,
    WhatsAppWebChannel,
)
from tests.conftest import find_free_port, wait_for
from tests.tenant_runner.control_plane import FakeControlPlane
from tests.tenant_runner.installation import Phone, RunnerProcess, Sandbox

OWNER = "5491155559200"
PRICE = "El pan casero cuesta 900 pesos."
UNSUPPORTED = "Por ahora no puedo ver eso."
BYE = "No te escribimos más."
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
RECORDING = base64.b64encode(b"OggS" + bytes(400)).decode()


@pytest.fixture(scope="module")
async def plane(sandbox: Sandbox) -> AsyncIterator[FakeControlPlane]:
    plane = FakeControlPlane(find_free_port(), secrets.token_urlsafe(16))
    plane.configure(
        RunnerConfig(
            client_id="c1",
            revision=1,
            name="Panadería",
            language="es",
            channel=WhatsAppWebChannel(url="https://web.whatsapp.com/", browser_arguments=sandbox.browser_arguments),
            assistant=OpenAIAssistant(
                api_key=SecretStr("sk-test-00000000000000every1"),
                base_url=f"{sandbox.url}/openai/v1",
                model="gpt-6-luna",
                instructions=f"Sos la panadería. {PRICE}",
            ),
            debounce_s=1.5,
            debounce_cap_s=6,
            fallback_text="Enseguida te atiende una persona.",
            unsupported_text=UNSUPPORTED,
            opt_out_text=BYE,
            pacing=Pacing(gap_s=0.1),
        )
    )
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
    runner = RunnerProcess(tmp_path_factory.mktemp("every_kind"), "c1", plane)
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


def act(sandbox: Sandbox, action: str, **body: Any) -> None:
    sandbox.call("POST", f"/phone/api/{OWNER}/{action}", **body)


def sent_to(phone: Phone, number: str, *expected: str) -> bool:
    return phone.sent(number) == list(expected)


def of_chat(plane: FakeControlPlane, number: str) -> list[Any]:
    return [e.payload for e in plane.events if getattr(e.payload, "chat_id", None) == f"{number}@c.us"]


def outcomes(plane: FakeControlPlane, number: str) -> list[tuple[str, str | None]]:
    """Kind and last told outcome of the customer's messages."""
    told: dict[str, tuple[str, str | None]] = {}
    for event in of_chat(plane, number):
        if isinstance(event, MessageRecorded) and event.author == "contact":
            told[event.message_id] = (event.kind, event.outcome)
        elif isinstance(event, MessageChanged) and event.message_id in told and event.event != "message.reaction":
            kind, outcome = told[event.message_id]
            told[event.message_id] = (event.kind or kind, outcome if event.outcome is None else event.outcome or None)
    return list(told.values())


def changes(plane: FakeControlPlane, number: str) -> list[tuple[str, str | None]]:
    return [(event.event, event.text) for event in of_chat(plane, number) if isinstance(event, MessageChanged)]


async def settle_with_text(phone: Phone, number: str, *before: str) -> None:
    """Whatever else was to be said in this chat has been said once a later text is answered."""
    phone.incoming(number, "¿Cuánto cuesta el pan casero?")
    await wait_for(partial(sent_to, phone, number, *before, PRICE))


async def test_a_picture_reaches_the_model_with_its_caption(
    customer: str, phone: Phone, plane: FakeControlPlane, sandbox: Sandbox
) -> None:
    file = {"data": PICTURE, "mimetype": "image/png", "caption": "¿Cuánto cuesta el pan casero?"}
    phone.incoming(customer, "", type="image", media=file)
    await wait_for(partial(sent_to, phone, customer, PRICE))
    conversations = sandbox.call("GET", "/openai/control/conversations")["conversations"]
    parts = [part for each in conversations for item in each["items"] for part in item.get("content", [])]
    assert f"data:image/png;base64,{PICTURE}" in [part.get("image_url") for part in parts]
    message = await wait_for(lambda: next((m for m in plane.messages("contact") if customer in m.chat_id), None))
    assert message.media is not None
    assert (message.kind, message.text, message.media.mimetype) == ("image", file["caption"], "image/png")


async def test_a_voice_note_is_transcribed_and_answered(customer: str, phone: Phone, plane: FakeControlPlane) -> None:
    media = {"data": RECORDING, "mimetype": "audio/ogg; codecs=opus", "duration": 3}
    phone.incoming(customer, "", type="ptt", media=media)
    await wait_for(lambda: len(phone.sent(customer)) == 1)
    assert phone.sent(customer) != [UNSUPPORTED]
    await wait_for(lambda: changes(plane, customer))
    [(event, transcript)] = changes(plane, customer)
    assert event == "message.updated"
    assert "mensaje de voz" in (transcript or "")
    assert outcomes(plane, customer) == [("ptt", None)]


@pytest.mark.parametrize("kind", ["document", "video", "location", "vcard", "poll_creation"])
async def test_what_cannot_be_read_is_said_politely(
    customer: str, phone: Phone, plane: FakeControlPlane, kind: str
) -> None:
    types = {"document": "application/pdf", "video": "video/mp4"}
    media = {"media": {"data": RECORDING, "mimetype": types[kind], "filename": "a"}} if kind in types else {}
    phone.incoming(customer, "", type=kind, **media)
    await wait_for(partial(sent_to, phone, customer, UNSUPPORTED))
    await wait_for(lambda: outcomes(plane, customer) == [(kind, "unsupported_kind")])


async def test_a_sticker_is_recorded_and_not_answered(customer: str, phone: Phone, plane: FakeControlPlane) -> None:
    phone.incoming(customer, "", type="sticker", media={"data": PICTURE, "mimetype": "image/webp"})
    await wait_for(lambda: outcomes(plane, customer) == [("sticker", "no_answer_expected")])
    await settle_with_text(phone, customer)


async def test_an_undecrypted_message_is_answered_in_its_real_form(
    customer: str, phone: Phone, plane: FakeControlPlane, sandbox: Sandbox
) -> None:
    message = phone.incoming(customer, "¿Cuánto cuesta el pan casero?", undecrypted=True)
    await wait_for(lambda: outcomes(plane, customer) == [("ciphertext", None)])
    act(sandbox, "decrypt", id=message["id"])
    await wait_for(partial(sent_to, phone, customer, PRICE))
    await wait_for(lambda: outcomes(plane, customer) == [("chat", None)])


async def test_an_edited_message_is_answered_in_its_new_form(
    customer: str, phone: Phone, plane: FakeControlPlane, sandbox: Sandbox
) -> None:
    message = phone.incoming(customer, "hola")
    act(sandbox, "edit", id=message["id"], body="¿Cuánto cuesta el pan casero?")
    await wait_for(partial(sent_to, phone, customer, PRICE))
    await wait_for(lambda: changes(plane, customer) == [("message.edited", "¿Cuánto cuesta el pan casero?")])


async def test_a_revoked_message_is_not_answered(
    customer: str, phone: Phone, plane: FakeControlPlane, sandbox: Sandbox
) -> None:
    message = phone.incoming(customer, "hola")
    act(sandbox, "revoke", id=message["id"])
    await wait_for(lambda: outcomes(plane, customer) == [("chat", "revoked")])
    await settle_with_text(phone, customer)


async def test_a_reaction_and_a_quote_are_recorded(
    customer: str, phone: Phone, plane: FakeControlPlane, sandbox: Sandbox
) -> None:
    await settle_with_text(phone, customer)
    [answer] = [event for event in phone.events("sent") if event["number"] == customer]
    act(sandbox, "react", id=answer["id"], emoji="👍")
    await wait_for(lambda: ("message.reaction", "👍") in changes(plane, customer))
    phone.incoming(customer, "¿Cuánto cuesta el pan casero?", quoted=answer["id"])
    await wait_for(partial(sent_to, phone, customer, PRICE, PRICE))
    await wait_for(lambda: len([m for m in plane.messages("assistant") if customer in m.chat_id]) == 2)
    quotes = [m.quoted_id for m in plane.messages("contact") if m.chat_id == f"{customer}@c.us"]
    [assistants] = {m.message_id for m in plane.messages("assistant") if m.message_id in quotes}
    assert quotes == [None, assistants]


async def test_the_owner_who_types_takes_the_chat_over(customer: str, phone: Phone, plane: FakeControlPlane) -> None:
    phone.own(customer, "Hola, soy Marta")

    def holds() -> list[ConversationStatusChanged]:
        return [event for event in of_chat(plane, customer) if isinstance(event, ConversationStatusChanged)]

    await wait_for(lambda: [(e.status, e.reason, e.until is not None) for e in holds()])
    phone.incoming(customer, "¿Cuánto cuesta el pan casero?")
    await wait_for(lambda: outcomes(plane, customer) == [("chat", "taken_over")])
    phone.own(customer, "activar bot")
    await wait_for(lambda: holds()[-1].status == "automatic")
    await settle_with_text(phone, customer)


async def test_a_customer_opts_out(customer: str, phone: Phone, plane: FakeControlPlane) -> None:
    phone.incoming(customer, "BAJA")
    await wait_for(partial(sent_to, phone, customer, BYE))
    phone.incoming(customer, "¿Cuánto cuesta el pan casero?")
    await wait_for(lambda: [outcome for _, outcome in outcomes(plane, customer)] == ["opted_out"] * 2)
    assert phone.sent(customer) == [BYE]


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_frame_that_is_lost_neither_loses_nor_doubles_the_answer(
    customer: str, phone: Phone, plane: FakeControlPlane, sandbox: Sandbox, lost: str
) -> None:
    act(sandbox, "frames", operation="send", lose=lost, count=1)
    phone.incoming(customer, "¿Cuánto cuesta el pan casero?")
    await wait_for(partial(sent_to, phone, customer, PRICE), deadline_s=90)

    # The page waits for the answer that was lost; that the customer's phone has it tells as much.
    [left] = [event for event in phone.events("sent") if event["number"] == customer]
    act(sandbox, "receipt", id=left["id"], ack=2)

    def acknowledged() -> list[str]:
        answers = [m.message_id for m in plane.messages("assistant") if customer in m.chat_id]
        return [answer for answer in answers if "delivered" in plane.acks(answer)]

    await wait_for(acknowledged)
    await settle_with_text(phone, customer, PRICE)
