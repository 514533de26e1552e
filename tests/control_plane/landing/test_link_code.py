"""Linking by a code that is typed on the phone, as the owner of the phone sees it."""

from datetime import UTC, datetime, timedelta

import pytest

from control_plane.sessions.repository import ClientSession
from tenant_runner.contract import SessionReason
from tests.control_plane.portal.site import Site, open_runner

CODE = "ABCD1234"


async def test_a_code_to_type_is_the_second_way_and_leads_back_to_the_qr(site: Site) -> None:
    client = await site.add_client()
    address = f"/client/{client.slug}"
    expires = datetime.now(UTC) + timedelta(seconds=60)
    await ClientSession(site.database, client.id).set_code("2@the-qr", expires, 1)
    await site.report(client, SessionReason.CODE_SHOWN)
    assert "Usar código en vez de QR" in (await site.get(address)).text
    assert "Número, con el código de país" in (await site.get(f"{address}/link-code")).text

    async with open_runner(site, client) as runner:
        answer = await site.post(f"{address}/link-code", {"phone": "+54 9 11 5555-1234"})
        page = (await site.get(address)).text
        again = await site.post(f"{address}/refresh", {"show": "qr"})

    assert (answer.status_code, answer.headers["location"]) == (303, address)
    assert runner.asked == [("session/link-code", {"phone": "5491155551234"}), ("session/refresh", None)]
    assert again.headers["location"] == f"{address}?show=qr"
    assert "ABCD-1234" in page
    assert "Copiar el código" in page
    assert "data-until=" in page
    assert "/qr?v=" not in page
    back = (await site.get(f"{address}?show=qr")).text
    assert "/qr?v=1" in back
    assert "ABCD-1234" not in back


@pytest.mark.parametrize(
    ("typed", "words"),
    [("", "Escribí el número con su código de país"), ("12<b>", "12&lt;b&gt;"), ("+54 9 11 9999 9999", "Ese no es el")],
)
async def test_a_number_that_cannot_be_is_told_at_its_field(site: Site, typed: str, words: str) -> None:
    client = await site.add_client(expected_phone="+54 9 11 5555 1190")
    await site.report(client, SessionReason.CODE_EXPIRED)

    async with open_runner(site, client) as runner:
        page = await site.post(f"/client/{client.slug}/link-code", {"phone": typed})

    assert page.status_code == 422
    assert words in page.text
    assert "••• ••• 1190" in page.text
    assert "5555" not in page.text.replace("+54 9 11 5555 1190", "")
    assert runner.asked == []


async def test_a_runner_that_is_away_gives_no_code_and_the_page_says_so(site: Site) -> None:
    client = await site.add_client()
    await site.report(client, SessionReason.CODE_SHOWN)

    page = await site.post(f"/client/{client.slug}/link-code", {"phone": "+54 9 11 5555 1234"})

    assert page.status_code == 422
    assert "WhatsApp no dio un código ahora." in page.text
    assert 'value="+54 9 11 5555 1234"' in page.text


async def test_the_form_leads_away_when_there_is_nothing_to_link(site: Site) -> None:
    client = await site.add_client()
    await site.report(client, SessionReason.CONNECTED, phone="5491155551234")

    answer = await site.get(f"/client/{client.slug}/link-code")

    assert (answer.status_code, answer.headers["location"]) == (303, f"/client/{client.slug}")
    assert (await site.get("/client/nobody/link-code")).status_code == 404


async def test_a_code_that_is_over_leads_to_a_new_one_and_never_to_a_spinner(site: Site) -> None:
    client = await site.add_client()
    await ClientSession(site.database, client.id).set_link_code(CODE, datetime.now(UTC) - timedelta(seconds=1))
    await site.report(client, SessionReason.LINK_CODE_SHOWN)

    page = (await site.get(f"/client/{client.slug}")).text

    assert 'data-situation="expired"' in page
    assert "Usar código en vez de QR" in page
    assert "ABCD-1234" not in page


async def test_a_code_is_gone_from_the_page_once_the_phone_is_linked(site: Site) -> None:
    client = await site.add_client()
    await ClientSession(site.database, client.id).set_link_code(CODE, datetime.now(UTC) + timedelta(seconds=180))
    await site.report(client, SessionReason.SYNCING, progress=10)

    for path in ("", "/fragment"):
        assert "ABCD" not in (await site.get(f"/client/{client.slug}{path}")).text


async def test_reconnecting_says_which_attempt_it_is_and_when_the_next_one_begins(site: Site) -> None:
    client = await site.add_client()
    soon = datetime.now(UTC) + timedelta(seconds=40)
    await site.report(client, SessionReason.RECONNECTING, attempt=3, next_attempt_at=soon)

    page = (await site.get(f"/client/{client.slug}")).text

    assert "Intento 3" in page
    assert "el próximo en" in page
    assert "data-until=" in page
