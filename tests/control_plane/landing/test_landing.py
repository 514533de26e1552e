import re
from datetime import UTC, datetime, timedelta

import pytest

from control_plane.clients.models import Client, Wanted
from control_plane.clients.service import set_wanted
from control_plane.session_text import _OF_REASON, SESSION_TEXTS, Situation
from control_plane.sessions.repository import ClientSession
from control_plane.web import translate
from tenant_runner.contract import SessionReason
from tests.control_plane.portal.site import Site, open_runner
from tests.control_plane.portal.test_live import read_states


async def _show_code(site: Site, client: Client, version: int = 1, **values: object) -> None:
    expires = datetime.now(UTC) + timedelta(seconds=60)
    await ClientSession(site.database, client.id).set_code(f"2@code-{version}", expires, version)
    await site.report(client, SessionReason.CODE_SHOWN, version=version, **values)


def _plain(page: str) -> str:
    return re.sub(r"</?span[^>]*>", "", page)


CODES = (SessionReason.CODE_SHOWN, SessionReason.LINK_CODE_SHOWN)


@pytest.mark.parametrize("reason", [reason for reason in SessionReason if reason not in CODES])
async def test_every_state_says_what_it_is_in_both_languages(site: Site, reason: SessionReason) -> None:
    client = await site.add_client("Óptica <Norte>")
    await site.report(client, reason, phone="5491155554821", progress=62, phase="page")
    words = SESSION_TEXTS[_OF_REASON[reason]].owner

    spanish = (await site.get(f"/client/{client.slug}")).text
    english = (await site.get(f"/client/{client.slug}?lang=en")).text

    assert translate("es", words.title) in spanish
    assert words.title in english
    assert 'lang="es"' in spanish
    assert 'lang="en"' in english
    for page in (spanish, english):
        assert "Óptica &lt;Norte&gt;" in page
        assert "5491155554821" not in page
        assert "/qr?v=" not in page


async def test_a_code_is_shown_with_the_four_steps_and_its_countdown(site: Site) -> None:
    client = await site.add_client()
    await _show_code(site, client, version=7)

    page = await site.get(f"/client/{client.slug}")

    assert f'src="/api/client/{client.slug}/qr?v=7"' in page.text
    assert page.text.count("<li>") == 4
    assert "Dispositivos vinculados" in page.text
    assert "data-until=" in page.text
    assert "2@code-7" not in page.text
    picture = await site.get(f"/api/client/{client.slug}/qr?v=7")
    assert picture.content.startswith(b"\x89PNG")


async def test_a_connected_page_has_the_masked_number_and_no_code(site: Site) -> None:
    client = await site.add_client()
    await _show_code(site, client)
    await site.report(client, SessionReason.CONNECTED, phone="5491155554821")

    page = (await site.get(f"/client/{client.slug}")).text

    assert "Tu WhatsApp está conectado" in page
    assert "••• ••• 4821" in page
    assert "/qr?v=" not in page


async def test_a_wrong_number_is_told_by_last_digits_beside_a_new_code(site: Site) -> None:
    client = await site.add_client(expected_phone="+54 9 11 5555 1190")
    await site.report(client, SessionReason.WRONG_NUMBER, refused_phone="5491155554821")
    told = "Escaneaste con ••• ••• 4821 y se esperaba ••• ••• 1190"

    without_code = _plain((await site.get(f"/client/{client.slug}")).text)
    await _show_code(site, client)
    await site.report(client, SessionReason.WRONG_NUMBER, refused_phone="5491155554821")
    with_code = _plain((await site.get(f"/client/{client.slug}")).text)

    assert told in without_code
    assert "Generar un código nuevo" in without_code
    assert told in with_code
    assert "/qr?v=1" in with_code
    assert "5555" not in with_code


async def test_a_paused_client_says_so_whatever_its_runner_said_last(site: Site) -> None:
    client = await site.add_client()
    await _show_code(site, client)
    await set_wanted(client.id, Wanted.DISCONNECTED, clients=site.clients)

    page = (await site.get(f"/client/{client.slug}")).text

    assert "Tu asistente está en pausa" in page
    assert "/qr?v=" not in page


async def test_a_silent_runner_is_not_shown_as_connected(site: Site) -> None:
    client = await site.add_client()
    long_ago = datetime.now(UTC) - timedelta(minutes=10)
    await site.report(client, SessionReason.CONNECTED, phone="5491155554821", heard_at=long_ago)
    await site.clients.update(client.id, {"name": "Old"}, runner_must_know=False)
    await site.database["clients"].update_one({"_id": client.id}, {"$set": {"updated_at": long_ago}})

    page = (await site.get(f"/client/{client.slug}")).text

    assert 'data-situation="silent"' in page
    assert "está conectado" not in page


async def test_an_unknown_and_a_deleted_link_give_the_very_same_page(site: Site) -> None:
    client = await site.add_client()
    await site.clients.mark_deleting(client.id)
    await site.get("/client/first-visit")

    unknown = await site.get("/client/nobody")
    deleted = await site.get(f"/client/{client.slug}")

    assert unknown.status_code == deleted.status_code == 404
    assert unknown.content == deleted.content
    assert unknown.headers.keys() == deleted.headers.keys()
    assert "Este enlace no está disponible" in unknown.text
    for part in ("fragment", "events"):
        answers = [await site.get(f"/client/{slug}/{part}") for slug in ("nobody", client.slug)]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].content == answers[1].content


async def test_every_answer_of_a_link_keeps_it_private(site: Site) -> None:
    client = await site.add_client()
    await _show_code(site, client)

    for path in (f"/client/{client.slug}", f"/client/{client.slug}/fragment", "/client/nobody"):
        headers = (await site.get(path)).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-robots-tag"].startswith("noindex")
        assert headers["referrer-policy"] == "no-referrer"


async def test_the_page_is_sent_each_change_as_it_happens(site: Site) -> None:
    client = await site.add_client()
    states = read_states(site, f"/client/{client.slug}/events")
    assert "Preparando tu conexión" in await anext(states)

    await _show_code(site, client, version=1)
    assert "/qr?v=1" in await anext(states)
    await _show_code(site, client, version=2)
    assert "/qr?v=2" in await anext(states)
    await site.report(client, SessionReason.SYNCING, progress=40)
    assert "40 %" in await anext(states)
    await ClientSession(site.database, client.id).delete_code()
    await site.report(client, SessionReason.CONNECTED, phone="5491155554821")
    async for fragment in states:
        if 'data-situation="connected"' in fragment:
            break
    assert "/qr?v=" not in fragment
    assert "<html" not in fragment
    await states.aclose()  # type: ignore[attr-defined]


async def test_the_client_chooses_the_language_and_the_visitor_may_change_it(site: Site) -> None:
    client = await site.add_client(language="en")

    assert "Preparing your connection" in (await site.get(f"/client/{client.slug}")).text
    assert "Preparando tu conexión" in (await site.get(f"/client/{client.slug}?lang=es")).text
    assert "Preparando tu conexión" in (await site.get(f"/client/{client.slug}")).text


async def test_a_new_code_is_asked_for_without_scripts(site: Site) -> None:
    client = await site.add_client()
    address = f"/client/{client.slug}"
    await site.report(client, SessionReason.CODE_EXPIRED)
    page = await site.get(address)
    assert f'action="{address}/refresh"' in page.text

    async with open_runner(site, client) as runner:
        answer = await site.post(f"{address}/refresh")

    assert (answer.status_code, answer.headers["location"]) == (303, address)
    assert runner.asked == [("session/refresh", None)]
    assert "Hay un código nuevo en camino" in (await site.get(address)).text
    assert "Hay un código nuevo en camino" not in (await site.get(address)).text


async def test_asking_says_when_it_did_not_work_and_when_it_was_too_often(site: Site) -> None:
    client = await site.add_client()
    address = f"/client/{client.slug}"
    await site.get(address)

    await site.post(f"{address}/refresh")
    assert "No pudimos pedir un código ahora." in (await site.get(address)).text
    for _ in range(10):
        await site.post(f"{address}/refresh")
    assert "Pediste muchos códigos en poco tiempo." in (await site.get(address)).text


async def test_a_code_is_not_asked_for_by_another_site_or_without_the_pages_token(site: Site) -> None:
    client = await site.add_client()
    await site.get(f"/client/{client.slug}")

    async with open_runner(site, client) as runner:
        foreign = await site.post(f"/client/{client.slug}/refresh", headers={"Sec-Fetch-Site": "cross-site"})
        bare = await site.browser.post(f"/client/{client.slug}/refresh")

    assert [foreign.status_code, bare.status_code] == [403, 403]
    assert runner.asked == []
    assert "/admin" not in foreign.text


def test_every_state_that_needs_the_owner_offers_one_button() -> None:
    needs_scan = {Situation.EXPIRED, Situation.PASSKEY, Situation.WRONG_NUMBER, Situation.UNLINKED}
    for situation in needs_scan:
        owner = SESSION_TEXTS[situation].owner
        assert owner.action or "código" in translate("es", owner.explanation)
