"""The landing link: a credential that can be changed, that may be for one use, and that nobody finds by trying."""

import asyncio
from http import HTTPStatus

from control_plane.clients.models import Client, new_slug
from control_plane.data_rights.repository import Erasures
from control_plane.mail.repository import Mails
from control_plane.sessions import service as sessions_service
from control_plane.sessions.repository import ClientSession
from tenant_runner.contract import Delivery, SessionReason
from tests.control_plane.portal.site import Site


async def test_a_link_has_more_than_128_random_bits() -> None:
    # 24 bytes from the system's generator, as 32 letters of six bits each.
    links = {new_slug() for _ in range(100)}
    assert {len(link) for link in links} == {32}
    assert len(links) == 100


async def test_a_landing_page_is_kept_by_nobody(site: Site) -> None:
    client = await site.add_client()
    pages = [f"/client/{client.slug}", f"/client/{client.slug}/fragment", f"/client/{client.slug}/link-code"]
    interfaces = [f"/api/client/{client.slug}/status", f"/api/client/{client.slug}/qr"]
    for path in [*pages, *interfaces, "/client/unknown", "/client/unknown/x", "/api/client/unknown/status"]:
        headers = (await site.get(path)).headers
        assert headers["cache-control"] == "no-store", path
        assert headers["referrer-policy"] == "no-referrer", path
        assert "noindex" in headers["x-robots-tag"], path


async def test_a_changed_link_is_gone_at_once_also_where_it_is_open(site: Site) -> None:
    client = await site.add_client()
    await site.enter()
    before, page = client.slug, f"/admin/clients/{client.id}"
    async with asyncio.timeout(120), site.browser.stream("GET", f"/client/{before}/events") as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == "event: state"
        changed = await site.post(f"{page}/rotate-link")
        assert changed.headers["location"] == page
        # The open page's stream ends by itself: nobody is served any more.
        assert [line async for line in lines][-1] == ""
    after = await site.clients.get(client.id)
    assert after is not None
    assert after.slug != before
    for path in (f"/client/{before}", f"/client/{before}/fragment", f"/api/client/{before}/status"):
        assert (await site.get(path)).status_code == HTTPStatus.NOT_FOUND
    assert (await site.get(f"/client/{after.slug}")).status_code == HTTPStatus.OK
    shown = await site.get(page)
    assert after.slug in shown.text
    assert before not in shown.text
    assert await Mails(site.database).latest(client.id, "invitation") is None


async def test_the_new_link_is_mailed_when_that_is_asked_for(site: Site) -> None:
    client = await site.add_client()
    await site.enter()
    await site.post(f"/admin/clients/{client.id}/rotate-link", {"invite": "on"})
    mail = await Mails(site.database).latest(client.id, "invitation")
    assert mail is not None
    assert mail.to == client.email


async def link_phone(site: Site, client: Client) -> None:
    """A phone links, as the client's runner tells it."""
    await site.report(client, SessionReason.CODE_SHOWN)

    async def tell(*told: object) -> None:
        pass

    now = client.created_at
    session = {"state": "WORKING", "reason": "connected", "since": now, "phone": "5491155554821", "version": 9}
    delivery = Delivery.model_validate(
        {"instance": "one", "started_at": now, "fence": 1, "journal_id": "j", "config_revision": 1, "session": session}
    )
    await sessions_service.accept(
        delivery,
        client=client,
        clients=site.clients,
        session=ClientSession(site.database, client.id),
        conversations=None,  # type: ignore[arg-type]  # no event is in it
        erasures=Erasures(site.database, only=client.id),
        tell_of_link=tell,
    )


async def test_a_link_for_one_use_shows_nothing_after_it(site: Site) -> None:
    client = await site.add_client("La Espiga", link_expires=True)
    async with asyncio.timeout(120), site.browser.stream("GET", f"/client/{client.slug}/events") as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == "event: state"
        await link_phone(site, client)
        # Whoever just linked sees that it worked.
        async for line in lines:
            if 'data-situation="used"' in line:
                break
    page = await site.get(f"/client/{client.slug}")
    assert page.status_code == HTTPStatus.OK
    assert "El teléfono quedó vinculado" in page.text
    for private in ("La Espiga", "4821", "/link-code", "/refresh"):
        assert private not in page.text.split("<main")[1]
    status = await site.get(f"/api/client/{client.slug}/status")
    assert (status.status_code, status.json()["type"]) == (HTTPStatus.GONE, "/problems/link-used")
    assert (await site.get(f"/api/client/{client.slug}/qr")).status_code == HTTPStatus.GONE
    for action in ("refresh", "link-code"):
        refused = await site.post(f"/client/{client.slug}/{action}", {"phone": "+5491155554821"})
        assert refused.headers["location"] == f"/client/{client.slug}"
    # The agency opens it again.
    await site.enter()
    assert "ya no vincula" in (await site.get(f"/admin/clients/{client.id}")).text
    await site.post(f"/admin/clients/{client.id}/rotate-link")
    opened = await site.clients.get(client.id)
    assert opened is not None
    assert (await site.get(f"/api/client/{opened.slug}/status")).json()["state"] == "WORKING"


async def test_other_links_go_on_after_linking(site: Site) -> None:
    client = await site.add_client()
    await link_phone(site, client)
    assert (await site.get(f"/api/client/{client.slug}/status")).json()["state"] == "WORKING"


async def test_the_form_asks_whether_the_link_is_for_one_use(site: Site) -> None:
    client = await site.add_client()
    await site.enter()
    fields = {"name": "La Espiga", "email": "a@example.com", "language": "es", "kind": "automatic"}
    fields |= {"default_answer": "Gracias", "retention_hours": "24", "action": "save"}
    for ticked in ("on", ""):
        await site.post(f"/admin/clients/{client.id}/edit", fields | {"link_expires": ticked})
        stored = await site.clients.get(client.id)
        assert stored is not None
        assert stored.link_expires is bool(ticked)
        form = await site.get(f"/admin/clients/{client.id}/edit")
        assert ('name="link_expires" value="on" checked' in form.text) is bool(ticked)


async def test_whoever_tries_links_has_to_wait(site: Site, one_minute: None) -> None:
    client = await site.add_client()
    most = site.settings.unknown_links_per_minute
    statuses = [(await site.get(f"/api/client/{new_slug()}/status")).status_code for _ in range(most)]
    assert set(statuses) == {HTTPStatus.NOT_FOUND}
    # A right guess would be answered no differently.
    for path in (f"/client/{client.slug}", f"/api/client/{client.slug}/status", "/client/unknown"):
        refused = await site.get(path)
        assert refused.status_code == HTTPStatus.TOO_MANY_REQUESTS
        assert refused.headers["retry-after"]
    other = {"X-Forwarded-For": "203.0.113.7"}
    assert (await site.get(f"/client/{client.slug}", headers=other)).status_code == HTTPStatus.OK
