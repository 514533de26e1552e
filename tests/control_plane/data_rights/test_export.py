"""What an export has, how its files are named, and that it grows as a stream."""

import io
import json
import re
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from control_plane.clients.models import Client
from control_plane.clients.stored_secrets import read_runner_token
from control_plane.data_rights.export import safe_name
from tests.control_plane.site import Site, message, store_messages

NASTY = "../../etc/passwd\r\nX-Evil: 1"
PHONE = "5491122223333"


async def fill(site: Site, client: Client) -> None:
    """One person by number and by an opaque id, another one, and a chat whose address is an attack."""
    values: list[dict[str, Any]] = [
        {"message_id": "m1", "chat_id": f"{PHONE}@c.us", "contact_phone": PHONE, "text": "hola «ñ»"},
        {"message_id": "m2", "chat_id": "99887766@lid", "contact_phone": PHONE, "text": "soy yo también"},
        {"message_id": "m3", "chat_id": "5491100009999@c.us", "contact_phone": "5491100009999", "text": "soy otra"},
        {"message_id": "m4", "chat_id": NASTY, "text": "malo"},
    ]
    at = datetime.now(UTC) - timedelta(minutes=5)
    events = [
        message(number, sent_at=(at + timedelta(seconds=number)).isoformat(), **of)
        for number, of in enumerate(values, start=1)
    ]
    assert (await site.runner(client).deliver(*events)).json()["accepted_through"] == 4


def unpack(content: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert file.testzip() is None
        return {name: file.read(name).decode() for name in file.namelist()}


async def test_a_clients_export_has_everything_and_no_secret(site: Site) -> None:
    client, other = await site.create('La "Espiga" / ñ\r\nX-Evil: 1'.replace("\r\n", " ")), await site.create("Otra")
    await fill(site, client)
    await fill(site, other)
    answer = await site.api.get(f"/api/admin/clients/{client.id}/export")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    disposition = answer.headers["content-disposition"]
    assert re.fullmatch(r'attachment; filename="la-espiga-x-evil-1-\d{4}-\d\d-\d\d\.zip"', disposition)
    files = unpack(answer.content)
    assert {"README.txt", "client.json", "session.json", "mails.json", "erasures.json"} <= set(files)
    assert "datos exportados" in files["README.txt"]
    assert json.loads(files["client.json"])["name"] == client.name
    [mail] = json.loads(files["mails.json"])
    assert (mail["kind"], mail["to"]) == ("invitation", "ana@example.com")
    chats = [json.loads(content) for name, content in files.items() if name.startswith("conversations/")]
    texts = {chat["chat_id"]: [line["text"] for line in chat["messages"]] for chat in chats}
    assert texts == {
        f"{PHONE}@c.us": ["hola «ñ»"],
        "99887766@lid": ["soy yo también"],
        "5491100009999@c.us": ["soy otra"],
        NASTY: ["malo"],
    }
    everything = "".join(files.values())
    token = read_runner_token(client, site.cipher)
    for secret in (token, client.runner_token_hash, client.runner_token_encrypted, client.slug):
        assert secret not in everything
    assert other.id not in everything


async def test_names_in_the_archive_lead_nowhere(site: Site) -> None:
    client = await site.create()
    await fill(site, client)
    files = unpack((await site.api.get(f"/api/admin/clients/{client.id}/export")).content)
    assert all(re.fullmatch(r"[A-Za-z]+\.(txt|json)|conversations/\d{5}-[0-9a-z-]+\.json", name) for name in files)
    assert len(files) == 9


@pytest.mark.parametrize("text", ["../../x", "..", "", "/etc/passwd", "a\x00b", "C:\\x", "a\r\nb", "ñ", "." * 300])
def test_a_part_of_a_files_name_is_letters_and_digits(text: str) -> None:
    assert re.fullmatch(r"[0-9a-z-]{1,40}", safe_name(text))


async def test_a_contacts_export_has_every_chat_of_theirs_and_nobody_elses(site: Site) -> None:
    client = await site.create(language="en")
    await fill(site, client)
    for chat_id in (f"{PHONE}@c.us", "99887766@lid"):
        answer = await site.api.get(f"/api/admin/clients/{client.id}/contacts/{chat_id}/export")
        files = unpack(answer.content)
        assert "exported data" in files.pop("README.txt")
        chats = {chat["chat_id"] for chat in map(json.loads, files.values()) if chat["messages"]}
        assert chats == {f"{PHONE}@c.us", "99887766@lid"}
        assert "soy otra" not in "".join(files.values())


async def test_a_large_export_comes_in_parts(site: Site) -> None:
    client = await site.create()
    texts = [f"{number} {number * 7919 % 10_007:05}" * 40 for number in range(1_500)]
    now = datetime.now(UTC)
    await store_messages(
        site.database,
        client.id,
        (
            {
                "message_id": f"m{number}",
                "chat_id": f"{PHONE}@c.us",
                "author": "contact",
                "kind": "chat",
                "text": text,
                "sent_at": now + timedelta(seconds=number),
            }
            for number, text in enumerate(texts)
        ),
    )
    parts = []
    async with site.api.stream("GET", f"/api/admin/clients/{client.id}/export") as answer:
        assert "content-length" not in answer.headers
        async for part in answer.aiter_raw():
            parts.append(part)
    files = unpack(b"".join(parts))
    [chat] = [json.loads(content) for name, content in files.items() if name.startswith("conversations/")]
    assert [line["text"] for line in chat["messages"]] == texts
    assert len(parts) > 1
