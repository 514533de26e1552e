"""Exporting and erasing from the portal."""

import io
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

from control_plane.clients.models import Client
from tests.control_plane.portal.site import Site

CHAT = "5491122223333@c.us"


async def write(site: Site, client: Client, **values: Any) -> None:
    message = {
        "client_id": client.id,
        "message_id": "m1",
        "chat_id": CHAT,
        "author": "contact",
        "kind": "chat",
        "text": "mi secreto",
        "contact_name": "Ana <b>",
        "contact_phone": "5491122223333",
        "sent_at": datetime.now(UTC) - timedelta(minutes=1),
    }
    await site.database["client_messages"].insert_one(message | values)


async def test_a_contact_is_exported_then_erased_by_typing_its_last_digits(portal: Site) -> None:
    client = await portal.add_client()
    await write(portal, client)
    address = f"/admin/clients/{client.id}/chats/5491122223333%40c.us"
    chat = await portal.get(address)
    assert f'href="{address}/export"' in chat.text
    assert f'href="{address}/erase"' in chat.text
    assert f'href="/admin/clients/{client.id}/export"' in (await portal.get(f"/admin/clients/{client.id}")).text
    export = await portal.get(f"{address}/export")
    assert export.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(export.content)) as file:
        assert any("mi secreto" in file.read(name).decode() for name in file.namelist())

    form = await portal.get(f"{address}/erase")
    assert "Borrar los datos de Ana &lt;b&gt;" in form.text
    wrong = await portal.post(f"{address}/erase", {"confirmation": "1111"})
    assert wrong.status_code == 422
    assert "No coincide; no se borró nada." in wrong.text
    assert await portal.database["client_messages"].count_documents({}) == 1

    done = await portal.post(f"{address}/erase", {"confirmation": " 3333 "})
    assert done.headers["location"] == "/admin/erasures"
    assert await portal.database["client_messages"].count_documents({}) == 0
    page = await portal.get("/admin/erasures")
    assert "Contacto •••3333" in page.text
    assert "Borrándose" in page.text
    assert "Ana" not in page.text
    record = await portal.database["erasures"].find_one({})
    assert record is not None
    assert record["requested_by"] == "admin"
    download = await portal.get(f"/admin/erasures/{record['_id']}")
    assert download.headers["content-disposition"] == f'attachment; filename="erasure-{record["_id"]}.json"'
    assert download.headers["cache-control"] == "no-store"
    assert "5491122223333" not in download.text


async def test_an_erasure_needs_the_token_of_the_form(portal: Site) -> None:
    client = await portal.add_client()
    await write(portal, client)
    address = f"/admin/clients/{client.id}/chats/5491122223333%40c.us/erase"
    refused = await portal.browser.post(address, data={"confirmation": "3333"})
    assert refused.status_code == 403
    assert await portal.database["client_messages"].count_documents({}) == 1
