import asyncio
from collections.abc import AsyncIterator

from tenant_runner.contract import SessionReason
from tests.control_plane.portal.site import Site


async def read_states(site: Site, path: str) -> AsyncIterator[str]:
    """The fragments that the page is sent, one after the other."""
    async with asyncio.timeout(120), site.browser.stream("GET", path) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        event, lines = "", list[str]()
        async for line in stream.aiter_lines():
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif line.startswith("data: "):
                lines.append(line.removeprefix("data: "))
            elif not line:
                if event == "state":
                    yield "\n".join(lines)
                event, lines = "", []


async def test_the_list_and_the_clients_page_are_sent_each_change(portal: Site) -> None:
    client = await portal.add_client()

    for path in ("/admin/events", f"/admin/clients/{client.id}/events"):
        await portal.report(client, SessionReason.CODE_SHOWN)
        states = read_states(portal, path)
        assert "Esperando el escaneo" in await anext(states)
        await portal.report(client, SessionReason.CONNECTED, phone="5491155554821")
        changed = await anext(states)
        assert "Conectado" in changed
        assert "+5491155554821" in changed
        await states.aclose()  # type: ignore[attr-defined]


async def test_a_heartbeat_alone_does_not_disturb_the_list(portal: Site) -> None:
    client = await portal.add_client()
    await portal.report(client, SessionReason.CONNECTED, phone="5491155554821")
    states = read_states(portal, "/admin/events")
    await anext(states)

    for _ in range(3):
        await portal.report(client, SessionReason.CONNECTED, since=None, phone="5491155554821")
    await portal.report(client, SessionReason.RECONNECTING, phone="5491155554821")

    # Of all these only what a person would see is sent.
    assert "Reconectando" in await anext(states)
    await states.aclose()  # type: ignore[attr-defined]


async def test_the_fragment_for_pages_without_events_is_the_same_part(portal: Site) -> None:
    client = await portal.add_client()
    await portal.report(client, SessionReason.UNLINKED)

    for path in ("/admin/fragment", f"/admin/clients/{client.id}/fragment"):
        fragment = await portal.get(path)
        assert "Desvinculado" in fragment.text
        assert "<html" not in fragment.text
        assert fragment.headers["cache-control"] == "no-store"
