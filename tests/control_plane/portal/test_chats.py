"""Chats as an admin reads them: what happened to messages, who answers, and the buttons."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from control_plane.clients.models import Client
from control_plane.conversations.repository import Conversations
from tenant_runner.contract import SessionReason
from tests.control_plane.portal.site import Site, open_runner
from tests.control_plane.site import store_messages

CHAT = "5491144443333@c.us"


async def write(portal: Site, client: Client, *messages: dict[str, Any], chat_id: str = CHAT) -> None:
    start = datetime.now(UTC) - timedelta(hours=1)
    await store_messages(
        portal.database,
        client.id,
        (
            {
                "message_id": f"{chat_id}-{number}",
                "chat_id": chat_id,
                "author": "contact",
                "kind": "chat",
                "text": "",
                "sent_at": start + timedelta(seconds=number),
                "sequence": number + 1,
                **message,
            }
            for number, message in enumerate(messages)
        ),
    )


def address(client: Client, chat_id: str = CHAT) -> str:
    return f"/admin/clients/{client.id}/chats/{chat_id.replace('@', '%40')}"


async def test_what_happened_to_a_message_is_told_in_plain_words(portal: Site) -> None:
    client = await portal.add_client()
    now = datetime.now(UTC)
    reaction = {"emoji": "👍", "at": now}
    await write(
        portal,
        client,
        {"text": "¿A las <b>nueve</b>?", "edited_at": now, "reactions": {"owner": reaction}},
        {"kind": "image", "revoked_at": now, "outcome": "revoked"},
        {"kind": "ptt", "text": "hola, ¿abren?", "media": {"duration_s": 72.4, "size": 120_400}},
        {"kind": "document", "media": {"filename": "lista <1>.pdf"}, "outcome": "unsupported_kind"},
        {"kind": "location", "text": "/9j/4AAQ-raw-data", "outcome": "some_new_outcome"},
        {"text": "sí", "quoted_id": f"{CHAT}-0", "author": "assistant", "ack": "unknown"},
        {"text": "gracias", "quoted_id": "gone"},
    )

    page = (await portal.get(address(client))).text

    for words in (
        "¿A las &lt;b&gt;nueve&lt;/b&gt;?",
        "editado",
        "👍",
        "mensaje eliminado",
        "Nota de voz",
        "1:12",
        "120,4 kB",
        "Dice:",
        "lista &lt;1&gt;.pdf",
        "El asistente no entiende este tipo de mensaje",
        "Ubicación",
        "El asistente no respondió esto.",
        "sin confirmar",
        "Un mensaje que ya no está",
    ):
        assert words in page, words
    assert page.count("¿A las &lt;b&gt;nueve") == 2
    for raw in ("raw-data", "unsupported_kind", "some_new_outcome", "<b>nueve"):
        assert raw not in page


async def test_the_assistant_is_paused_and_activated_by_a_button(portal: Site) -> None:
    client = await portal.add_client()
    await write(portal, client, {"text": "hola"})
    page = address(client)
    assert "Responde el asistente" in (await portal.get(page)).text

    async with open_runner(portal, client) as runner:
        await portal.post(f"{page}/assistant", {"automatic": "false"})
        paused = (await portal.get(page)).text
        await portal.post(f"{page}/assistant", {"automatic": "true"})
        active = (await portal.get(page)).text

    asked = [("conversation", {"chat_id": CHAT, "automatic": on}) for on in (False, True)]
    assert runner.asked == asked
    assert "Asistente en pausa" in paused
    assert "Vuelve a responder cuando alguien lo active." in paused
    assert "Activar asistente" in paused
    assert "Pausar asistente" not in paused
    assert "El asistente responde en este chat." in active
    assert "Pausar asistente" in active


async def test_a_runner_that_is_away_changes_nothing_and_the_page_says_so(portal: Site) -> None:
    client = await portal.add_client()
    await write(portal, client, {"text": "hola"})

    await portal.post(f"{address(client)}/assistant", {"automatic": "false"})

    page = (await portal.get(address(client))).text
    assert "No se cambió nada: el proceso del cliente no contesta." in page
    assert "Responde el asistente" in page


async def test_who_took_over_and_until_when_is_shown(portal: Site) -> None:
    client = await portal.add_client()
    await write(portal, client, {"text": "hola"})
    now = datetime.now(UTC)
    until = now + timedelta(minutes=20)
    conversations = Conversations(portal.database, client.id)
    await conversations.set_status(CHAT, "suspended", "owner_wrote", now, until=until)

    page = (await portal.get(address(client))).text

    assert "El dueño escribió en este chat desde el teléfono." in page
    assert "Vuelve a responder solo a las" in page
    assert f"{until:%Y-%m-%dT%H:%M}" in page
    await portal.report(client, SessionReason.CONNECTED, automatic=False)
    assert "El dueño puso en pausa al asistente en todos los chats." in (await portal.get(address(client))).text


async def test_chats_that_wait_for_a_person_are_counted_and_filtered(portal: Site) -> None:
    client = await portal.add_client()
    await portal.report(client, SessionReason.CONNECTED, phone="5491155554821")
    for number in range(3):
        await write(portal, client, {"text": f"message {number}"}, chat_id=f"{number}@c.us")
    conversations = Conversations(portal.database, client.id)
    for number in (0, 2):
        await conversations.set_status(f"{number}@c.us", "waiting_for_human", "no_quota", datetime.now(UTC))

    page = f"/admin/clients/{client.id}"
    for path in ("/admin", "/admin/fragment", page, f"{page}/fragment"):
        assert "2 chats esperan a una persona" in (await portal.get(path)).text
    waiting = (await portal.get(f"{page}/chats?waiting=1")).text
    everything = (await portal.get(f"{page}/chats")).text
    assert [text in waiting for text in ("message 0", "message 1", "message 2")] == [True, False, True]
    assert "message 1" in everything
    assert "Esperan a una persona (2)" in everything
    assert "La cuenta de OpenAI se quedó sin crédito." in (await portal.get(f"{page}/chats/0%40c.us")).text


async def test_the_list_of_chats_goes_on_page_by_page(portal: Site) -> None:
    client = await portal.add_client()
    for number in range(120):
        await write(portal, client, {"text": "hola", "contact_name": f"Contact {number:03}"}, chat_id=f"{number}@c.us")

    seen: list[str] = []
    path = f"/admin/clients/{client.id}/chats"
    while path:
        page = (await portal.get(path)).text
        seen += re.findall(r"Contact \d{3}", page)
        older = re.search(r'href="([^"]+before=[^"]+)">Conversaciones anteriores', page)
        path = older.group(1).replace("&amp;", "&") if older else ""

    assert len(seen) == 120
    assert len(set(seen)) == 120
    assert (await portal.get(f"/admin/clients/{client.id}/chats?before=nonsense")).status_code == 404


async def test_the_clients_page_shows_the_last_proof_the_memory_and_the_pages_version(portal: Site) -> None:
    client = await portal.add_client()
    await portal.report(
        client,
        SessionReason.CONNECTED,
        phone="5491155554821",
        last_round_trip_at=datetime.now(UTC),
        memory_bytes=412_300_000,
        page_version="2.3000.1023",
    )

    page = (await portal.get(f"/admin/clients/{client.id}")).text

    for words in ("WhatsApp contestó", "412,3 MB", "2.3000.1023"):
        assert words in page
