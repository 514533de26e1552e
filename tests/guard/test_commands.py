"""How often the database is asked for a page, and that it does not depend on how many clients there are."""

import functools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import httpx2

from control_plane.clients.models import Client
from control_plane.clients.repository import Clients
from control_plane.portal.overview import keep_overview
from control_plane.sessions.repository import Sessions
from tenant_runner.contract import MAX_EVENTS_PER_DELIVERY, SessionReason
from tests.control_plane.portal.site import Site as Portal
from tests.control_plane.site import AUTOMATIC, Site, event, message
from tests.guard.bounds import COMMANDS
from tests.guard.conftest import Counter

CHAT = "5491122223333@c.us"
FEW, MANY = 3, 30


async def test_what_is_asked_of_the_database_is_bounded_and_the_same_for_few_clients_and_for_many(
    site: Site, counter: Counter
) -> None:
    portal = Portal(str(site.visitor.base_url), site.settings, site.database)
    await site.database["accounts"].delete_many({})
    await portal.enter()
    clients = [await portal.add_client(f"Cliente {number}") for number in range(FEW)]
    async with portal.browser:
        few = await count_all(site, portal, clients[0], counter)
        clients += [await portal.add_client(f"Cliente {number}") for number in range(FEW, MANY)]
        for client in clients:
            await portal.report(client, SessionReason.CONNECTED)
        many = await count_all(site, portal, clients[1], counter)
    assert many == few
    assert few.keys() == COMMANDS.keys()


async def count_all(site: Site, portal: Portal, client: Client, counter: Counter) -> dict[str, int]:
    """Commands by what is asked."""
    runner, portal_client = site.runner(client), portal.browser
    await runner.deliver(message(1, f"{client.id}-first", chat_id=CHAT))
    await keep_overview_now(site)
    ids = [f"{client.id}-{number}" for number in range(MAX_EVENTS_PER_DELIVERY)]
    messages = [message(number, message_id, chat_id=CHAT) for number, message_id in enumerate(ids, start=2)]
    acknowledged = [
        event(number, event="message.ack", message_id=message_id, chat_id=CHAT, ack="read")
        for number, message_id in enumerate(ids, start=2 + len(ids))
    ]
    answered = [
        message(999, f"{client.id}-answer", author="assistant", chat_id=CHAT),
        event(1000, event="message.ack", message_id=f"{client.id}-answer", chat_id=CHAT, ack="server"),
    ]
    new = {"name": "Uno más", "email": "ana@example.com", "assistant": AUTOMATIC}
    asks: dict[str, Callable[[], Awaitable[httpx2.Response]]] = {
        "POST /api/admin/clients": lambda: site.api.post("/api/admin/clients", json=new),
        "a heartbeat": runner.deliver,
        "200 messages in one delivery": lambda: runner.deliver(*messages),
        "200 acknowledgements in one delivery": lambda: runner.deliver(*acknowledged),
        "a message with its acknowledgement": lambda: runner.deliver(*answered),
    }
    for what in COMMANDS:
        if what.startswith("GET "):
            path = what.removeprefix("GET ").format(client=client.id, chat=CHAT.replace("@", "%40"), slug=client.slug)
            asks[what] = functools.partial((site.api if path.startswith("/api/admin") else portal_client).get, path)
    # The first visit, and a key's first use, are noted.
    await portal_client.get("/admin")
    await site.api.get("/api/admin/clients")
    counts = {}
    for what, ask in asks.items():
        counter.clear()
        answer = await ask()
        assert answer.status_code in (200, 201), f"{what}: {answer.status_code}"
        counts[what] = len(counter.asked)
        assert counts[what] <= COMMANDS[what], f"{what}: {counter.asked}"
    return counts


async def keep_overview_now(site: Site) -> None:
    """As the scheduler does."""
    clients, sessions = await Clients(site.database).list(), await Sessions(site.database).list()
    await keep_overview(
        clients,
        sessions,
        read_at=datetime.now(UTC),
        database=site.database,
        settings=site.settings,
        cipher=site.cipher,
    )
