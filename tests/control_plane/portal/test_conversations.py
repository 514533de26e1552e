import re
from datetime import UTC, datetime, timedelta

from control_plane.clients.models import Client
from tests.control_plane.portal.site import Site
from tests.control_plane.site import store_messages

CHAT = "5491144443333@c.us"


async def _write(portal: Site, client: Client, count: int) -> None:
    start = datetime.now(UTC) - timedelta(hours=2)
    await store_messages(
        portal.database,
        client.id,
        (
            {
                "message_id": f"m{9999 - number}",
                "chat_id": CHAT,
                "author": "contact" if number % 2 == 0 else "assistant",
                "kind": "chat",
                "text": f"message {number:04}",
                # Several in a second: what came first is not in their ids.
                "sent_at": start + timedelta(seconds=number // 7),
                "sequence": number + 1,
                "contact_name": "Lucía <i>F.</i>",
                "ack": "read",
            }
            for number in range(count)
        ),
    )


async def test_a_chat_is_read_in_order_and_page_by_page(portal: Site) -> None:
    client = await portal.add_client()
    await _write(portal, client, 120)

    chats = await portal.get(f"/admin/clients/{client.id}/chats")
    assert "Lucía &lt;i&gt;F.&lt;/i&gt;" in chats.text
    assert "message 0119" in chats.text
    seen: list[str] = []
    address = f"/admin/clients/{client.id}/chats/5491144443333%40c.us"
    while address:
        page = (await portal.get(address)).text
        here = [f"message {number:04}" for number in range(120) if f"message {number:04}" in page]
        assert sorted(here, key=page.index) == here
        seen = here + seen
        older = re.search(r'class="btn" href="([^"]+\?before=[^"]+)"', page)
        address = older.group(1) if older else ""
    assert seen == [f"message {number:04}" for number in range(120)]


async def test_message_text_is_shown_as_text(portal: Site) -> None:
    client = await portal.add_client()
    await _write(portal, client, 1)
    attack = {"$set": {"text": "<script>alert(1)</script>\nsecond line"}}
    await portal.database["client_messages"].update_one({"client_id": client.id}, attack)

    for path in ("", "/chats", "/chats/5491144443333%40c.us"):
        page = (await portal.get(f"/admin/clients/{client.id}{path}")).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


async def test_a_chat_of_another_client_stays_with_it(portal: Site) -> None:
    mine, other = await portal.add_client("Mine"), await portal.add_client("Other")
    await _write(portal, mine, 2)

    page = await portal.get(f"/admin/clients/{other.id}/chats/5491144443333%40c.us")

    assert "message 0000" not in page.text


async def test_a_page_that_no_chat_gave_is_not_found(portal: Site) -> None:
    client = await portal.add_client()

    page = await portal.get(f"/admin/clients/{client.id}/chats/5491144443333%40c.us?before=nonsense")

    assert page.status_code == 404


async def test_a_cleanup_is_asked_for_and_its_record_shown(portal: Site) -> None:
    assert "Todavía no corrió ninguna limpieza." in (await portal.get("/admin/cleanup")).text

    answer = await portal.post("/admin/cleanup/force")

    assert answer.headers["location"] == "/admin/cleanup"
    page = (await portal.get("/admin/cleanup")).text
    assert "La limpieza empieza en unos segundos" in page
    assert "En la cola" in page
    now = datetime.now(UTC)
    done = {
        "state": "failed",
        "started_at": now,
        "finished_at": now + timedelta(seconds=3),
        "clients": 3,
        "counts": {"messages": 1234},
        "failures": [{"client_id": "x", "client_name": "<b>Sur</b>", "detail": "it does not answer"}],
    }
    await portal.database["cleanup_runs"].update_one({}, {"$set": done})
    fragment = (await portal.get("/admin/cleanup/fragment")).text
    assert "Terminada en parte" in fragment
    assert "1.234" in fragment
    assert "&lt;b&gt;Sur&lt;/b&gt;" in fragment
