"""The audit log in the portal: found, explained, paged, exported, and readable at both widths."""

import csv
import io
import json
from datetime import timedelta
from http import HTTPStatus

from control_plane.audit.models import Actor, ActorKind, AuditFilter
from control_plane.audit.repository import AuditEvents
from tests.control_plane.audit.test_reading import ANA, NOON, event
from tests.control_plane.portal.site import Site
from tests.control_plane.portal.test_browser import Window, window  # noqa: F401 - a fixture


async def test_the_portal_shows_finds_and_explains(portal: Site) -> None:
    client = await portal.add_client("Panadería Sol")
    await portal.post(f"/admin/clients/{client.id}/restart")
    link = f"/admin/audit?client={client.id}"
    assert f'href="{link}"' in (await portal.get(f"/admin/clients/{client.id}")).text
    page = (await portal.get(f"{link}&who=admin&outcome=done&q=")).text
    assert "admin reinició Panadería Sol: reinicios 0 → 1" in page
    assert f'<option value="{client.id}" selected>Panadería Sol</option>' in page
    [found] = await AuditEvents(portal.database).list(AuditFilter(client_id=client.id), before=None, limit=5)
    detail = (await portal.get(f"/admin/audit/{found.id}")).text
    for told in ("POST /admin/clients/{client_id}/restart", "127.0.0.1", "python-httpx2", "0 → 1", found.request_id):
        assert str(told) in detail
    assert "No se encontró nada." in (await portal.get(f"{link}&outcome=refused")).text
    assert (await portal.get("/admin/audit/nothing")).status_code == HTTPStatus.NOT_FOUND


async def test_pages_of_the_portal_keep_the_filter(portal: Site) -> None:
    log = AuditEvents(portal.database)
    for minute in range(60):
        await log.add(event(at=NOON + timedelta(minutes=minute)))
    first = (await portal.get("/admin/audit?who=Ana")).text
    oldest = (await log.list(AuditFilter(client_id="sol"), before=None, limit=50))[-1].id
    assert first.count("Ana editó") == 50
    assert f"?who=Ana&amp;before={oldest}" in first
    second = (await portal.get(f"/admin/audit?who=Ana&before={oldest}")).text
    assert second.count("Ana editó") == 10
    assert "Entradas anteriores" not in second


async def test_what_is_filtered_is_exported_and_no_cell_is_a_formula(portal: Site) -> None:
    log = AuditEvents(portal.database)
    evil = {"client_id": "sol", "client_name": '=HYPERLINK("http://evil.example";"Sol")'}
    await log.add(event(target=evil, user_agent="@SUM(1+1)", address="203.0.113.7"))
    await log.add(event(actor=ANA.model_copy(update={"name": "-Beto"}), changes=()))
    answer = await portal.get("/admin/audit/export?client=sol&format=csv")
    assert answer.headers["content-disposition"].startswith('attachment; filename="audit-')
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert {row["client_name"] for row in rows} == {f"'{evil['client_name']}", "Panadería Sol"}
    assert {row["who"] for row in rows} == {"Ana", "'-Beto"}
    assert [row["changes"] for row in rows].count("assistant.model: gpt-5 → gpt-6") == 1
    assert [cell for row in rows for cell in row.values() if cell[:1] in "=+-@\t\r" and cell] == []
    lines = (await portal.get("/admin/audit/export?client=sol&format=jsonl")).text.splitlines()
    assert {json.loads(line)["target"]["client_name"] for line in lines} == {evil["client_name"], "Panadería Sol"}
    exports = (await portal.get("/admin/audit?action=audit.export")).text
    assert exports.count("admin exportó la auditoría") == 2


async def test_its_pages_fit_both_widths_without_a_complaint(portal: Site, window: Window) -> None:  # noqa: F811
    log = AuditEvents(portal.database)
    long = {"client_id": "sol", "client_name": "Estudio Jurídico Paredes & Asociados de la Costa Atlántica" * 2}
    await log.add(event(target=long, user_agent="Mozilla/5.0 " + "x" * 180, address="2001:db8:85a3::8a2e:370:7334"))
    claimed = Actor(kind=ActorKind.CLAIMED, id="1", name="a" * 60)
    await log.add(event("session.log-in", actor=claimed, target={}, changes=(), at=NOON + timedelta(days=1)))
    [newest, oldest] = await log.list(AuditFilter(), before=None, limit=5)
    for width in (390, 1280):
        await window.page.set_viewport_size({"width": width, "height": 844})
        for address in ("/admin/audit?q=2001:db8:85a3::8a2e:370:7334", f"/admin/audit/{oldest.id}", "/admin/audit"):
            await window.page.goto(address)
            assert await window.page.evaluate("document.documentElement.scrollWidth") <= width, (address, width)
    assert await window.page.locator("tbody tr").count() == 2
    await window.page.select_option("#outcome", "done")
    await window.page.fill("#from", "2026-03-11")
    await window.page.click("button:has-text('Buscar')")
    await window.page.wait_for_url("**/admin/audit?*from=2026-03-11*")
    assert await window.page.locator("tbody tr a").first.get_attribute("href") == f"/admin/audit/{newest.id}"
    assert await window.page.locator("tbody tr").count() == 1
    assert window.complaints == []
