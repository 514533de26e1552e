"""Every act leaves its record, by the table of permissions: done, refused and failed ones."""

import logging
from http import HTTPStatus
from typing import Any

import httpx2
import pytest
from pymongo.errors import AutoReconnect

from control_plane.accounts.roles import Role
from control_plane.audit import trail
from control_plane.audit.actions import name_action
from control_plane.audit.models import AuditEvent, AuditFilter
from control_plane.audit.repository import AuditEvents
from control_plane.dependencies import SESSION_COOKIE
from control_plane.permissions import RULES, Opens
from control_plane.web import FORM_COOKIE, FORM_FIELD
from tests.conftest import Document
from tests.control_plane.site import Site
from tests.control_plane.test_permissions import FORM_TOKEN, Person, ask, enrol

KEY = "API key create-api-key"
EDIT = "/api/admin/clients/{client_id}"
RECORDED = [rule for rule in RULES if rule.leaves_a_record]
BY_ROLE = [rule for rule in RECORDED if rule.opens in (Opens.ROLE, Opens.FIRST_PASSWORD)]


async def read(site: Site) -> list[AuditEvent]:
    """Every event, newest first."""
    return await AuditEvents(site.database).list(AuditFilter(), before=None, limit=1000)


async def post_form(site: Site, path: str, person: Person | None, **fields: str) -> httpx2.Response:
    """Send a form of the portal as that person would."""
    cookies = {FORM_COOKIE: FORM_TOKEN} | ({SESSION_COOKIE: person.cookie} if person else {})
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
    return await site.visitor.post(path, data={FORM_FIELD: FORM_TOKEN, **fields}, headers=headers)


def shown(event: AuditEvent) -> dict[str, Any]:
    """Before and after by field, as far as told."""
    return {change.field: (change.before, change.after) for change in event.changes}


def test_whatever_changes_something_leaves_a_record() -> None:
    silent = {f"{rule.method} {rule.path}" for rule in RULES if rule.method != "GET" and not rule.leaves_a_record}
    assert silent == {"POST /internal/runner/events", "POST /internal/runner/start"}
    assert any(rule.method == "GET" for rule in RECORDED)


@pytest.mark.parametrize("role", [Role.OWNER, Role.VIEWER, Role.CLIENT_USER])
async def test_every_row_leaves_exactly_one_event_for_whom_it_is_open_and_one_refusal_for_whom_not(
    site: Site, role: Role
) -> None:
    client = await site.create()
    person = await enrol(site, role, client)
    wrong = []
    async with site.browser() as browser:
        for rule in BY_ROLE:
            await site.database["audit_events"].delete_many({})
            status = await ask(browser, rule, client, person)
            events = await read(site)
            what = [(e.action, e.route, str(e.outcome), e.actor.name, e.actor.role) for e in events]
            allowed = role in rule.roles
            expected_outcomes = (
                {"refused"} if not allowed else {"failed"} if status >= HTTPStatus.BAD_REQUEST else {"done", "failed"}
            )
            name = name_action(rule.method, rule.path)
            right = (
                len(events) == 1
                and what[0][:2] == (name, f"{rule.method} {rule.path}")
                and what[0][2] in expected_outcomes
                and what[0][3:] == (f"{role}-False", str(role))
                and events[0].target.get("client_id") == (client.id if "{client_id}" in rule.path else None)
                and events[0].actor.via == ("token" if rule.scope else "cookie")
            )
            if not right:
                wrong.append(f"{rule.method} {rule.path}: {status} {what}")
    assert wrong == []


async def test_nobody_without_an_account_acts_unseen_and_what_only_reads_leaves_nothing(site: Site) -> None:
    client = await site.create()
    await site.database["audit_events"].delete_many({})
    async with site.browser() as browser:
        for rule in [rule for rule in RULES if rule.opens is Opens.ROLE and "/events" not in rule.path]:
            await ask(browser, rule, client, None)
    events = await read(site)
    expected = {f"{rule.method} {rule.path}" for rule in RECORDED if rule.opens is Opens.ROLE}
    assert {event.route for event in events} == expected
    assert {(str(event.outcome), str(event.actor.kind)) for event in events} == {("refused", "unknown")}


async def test_another_clients_people_are_refused_and_named(site: Site) -> None:
    own, foreign = await site.create("Propio"), await site.create("Ajeno")
    person = await enrol(site, Role.CLIENT_ADMIN, own)
    assert (await post_form(site, f"/admin/clients/{foreign.id}/restart", person)).status_code == HTTPStatus.NOT_FOUND
    [event, *_] = await read(site)
    assert (event.action, str(event.outcome), event.status) == ("client.restart", "refused", 404)
    assert (event.actor.name, event.target["client_id"]) == ("client-admin-False", foreign.id)


async def test_an_event_tells_who_what_when_from_where_before_and_after(site: Site) -> None:
    client = await site.create()
    path = f"/api/admin/clients/{client.id}"
    headers = {"User-Agent": "curl/8" + "x" * 400, "X-Request-Id": "request-of-ana"}
    await site.api.patch(path, json={"name": "Panadería Luna", "retention_hours": 48}, headers=headers)
    [event, created] = await read(site)
    assert (created.action, shown(created)["name"]) == ("client.create", (None, "Panadería Sol"))
    assert shown(created)["invitation"] == (None, "ana@example.com")
    assert (event.action, str(event.outcome), event.status) == ("client.edit", "done", 200)
    assert shown(event) == {"name": ("Panadería Sol", "Panadería Luna"), "retention_hours": (24, 48)}
    assert event.target == {"client_id": client.id, "client_name": "Panadería Sol"}
    assert (event.actor.name, event.actor.role, event.actor.via) == (KEY, "admin", "key")
    assert (event.address, event.request_id, event.route) == ("127.0.0.1", "request-of-ana", f"PATCH {EDIT}")
    assert len(event.user_agent or "") == 200
    await site.api.post(f"{path}/toggle")
    await site.api.post(f"{path}/restart")
    await site.api.request("DELETE", path, json={"name": "Panadería Luna"})
    deleted, restarted, toggled, *_ = await read(site)
    assert shown(toggled) == {"wanted": ("connected", "disconnected")}
    assert shown(restarted) == {"restarts": (0, 1)}
    assert shown(deleted)["deleting"] == (False, True)


async def test_a_form_from_another_site_is_refused_and_recorded_with_its_reason(site: Site) -> None:
    client = await site.create()
    owner = await enrol(site, Role.OWNER, client)
    await site.visitor.post(
        f"/admin/clients/{client.id}/disconnect", headers={"Cookie": f"{SESSION_COOKIE}={owner.cookie}"}
    )
    [event, *_] = await read(site)
    assert (event.action, str(event.outcome), event.status) == ("client.disconnect", "refused", 403)
    assert (event.problem, event.actor.name) == ("/problems/wrong-form", "owner-False")


async def test_what_failed_behind_a_page_that_leads_on_is_recorded_as_failed(site: Site) -> None:
    client = await site.create()
    owner = await enrol(site, Role.OWNER, client)
    for action, expected in (
        ("unlink", "client.unlink"),
        ("chats/5491100000000@c.us/assistant", "chat.assistant"),
    ):
        answer = await post_form(site, f"/admin/clients/{client.id}/{action}", owner, automatic="false")
        assert answer.status_code == HTTPStatus.SEE_OTHER
        [event, *_] = await read(site)
        assert (event.action, str(event.outcome), event.status) == (expected, "failed", 503)
        assert event.problem == "/problems/runner-unreachable"
    assert event.target["chat_id"] == "…0000@c.us"


async def test_a_form_that_only_grows_is_no_act_and_trying_a_key_is_one_of_its_own(site: Site) -> None:
    client = await site.create()
    owner = await enrol(site, Role.OWNER, client)
    count = len(await read(site))
    await post_form(site, f"/admin/clients/{client.id}/edit", owner, action="add_rules")
    assert len(await read(site)) == count
    await post_form(site, f"/admin/clients/{client.id}/edit", owner, action="check_key")
    assert (await read(site))[0].action == "client.key-check"


async def test_log_ins_are_recorded_without_a_word_of_what_was_typed(site: Site) -> None:
    await post_form(site, "/admin/login", None, username="mi-clave-secreta", password="p1-secret")
    await post_form(site, "/admin/login", None, username="Admin", password="p2-secret")
    await post_form(site, "/admin/login", None, username="admin", password=site.password)
    by_right, by_name, by_nobody = await read(site)
    for _ in range(site.settings.login_attempts_per_minute):
        await post_form(site, "/admin/login", None, username="admin", password="p3-secret")
    [blocked, *_] = await read(site)
    assert (blocked.status, str(blocked.outcome), blocked.actor.name) == (429, "refused", "admin")
    assert [str(event.outcome) for event in (by_right, by_name, by_nobody)] == ["done", "refused", "refused"]
    assert [str(event.actor.kind) for event in (by_right, by_name, by_nobody)] == ["person", "claimed", "unknown"]
    assert (by_right.actor.name, by_name.actor.name, by_nobody.actor.name) == ("admin", "admin", None)
    stored = str([document async for document in site.database["audit_events"].find()])
    for secret in ("secreta", "p1-secret", "p2-secret", "p3-secret", site.password):
        assert secret not in stored


async def test_a_visitor_of_a_landing_page_is_recorded_with_the_client_and_never_with_the_link(site: Site) -> None:
    client = await site.create()
    await post_form(site, f"/client/{client.slug}/refresh", None)
    await site.visitor.post(f"/api/client/{client.slug}/link-code", json={"phone": "5491155551190"})
    typed, asked, *_ = await read(site)
    assert [(e.action, str(e.actor.kind), e.target) for e in (asked, typed)] == [
        (action, "visitor", {"client_id": client.id, "client_name": client.name})
        for action in ("landing.refresh", "landing.link-code")
    ]
    stored = str([document async for document in site.database["audit_events"].find()])
    assert client.slug not in stored
    assert "5491155551190" not in stored


async def test_secrets_and_texts_that_people_type_never_appear(site: Site, stand_ins: Any) -> None:
    key, other = "sk-the-first-key-1234567890", "sk-another-key-0987654321"
    assistant = {"kind": "openai", "api_key": key, "model": "gpt-5", "instructions": "La palabra mágica es xyzzy."}
    client = await site.create(assistant=assistant)
    path = f"/api/admin/clients/{client.id}"
    changed = {"assistant": assistant | {"api_key": other, "model": "gpt-6", "instructions": "Nada de xyzzy."}}
    assert (await site.api.patch(path, json=changed)).status_code == HTTPStatus.OK
    [event, *_] = await read(site)
    assert shown(event) == {
        "assistant.model": ("gpt-5", "gpt-6"),
        "assistant.api_key": (None, None),
        "assistant.instructions": (27, 14),
    }
    assert [change.unit for change in event.changes] == ["value", "secret", "characters"]
    await site.api.post(f"/api/clients/{client.id}/send", json={"chat_id": "549@c.us", "text": "mensaje de xyzzy"})
    await site.api.post(f"/api/clients/{client.id}/process-message", json={"contact": "549", "text": "xyzzy?"})
    owner = await enrol(site, Role.OWNER, client)
    form = {"current_password": "xyzzy-old", "new_password": "xyzzy-new-long", "repeat_password": "xyzzy-new-long"}
    await post_form(site, "/admin/account", owner, **form)
    events = await read(site)
    assert {event.action for event in events} >= {"message.send", "assistant.try", "account.password"}
    stored = str([document async for document in site.database["audit_events"].find()])
    secrets = [key, other, "sk-", "xyzzy", client.runner_token_encrypted, client.runner_token_hash, client.slug]
    secrets += [owner.cookie, owner.bearer, FORM_TOKEN, str(site.api.headers["X-Api-Key"])]
    assert [secret for secret in secrets if secret in stored] == []


async def test_a_handler_that_crashes_is_recorded_as_failed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await site.create()

    async def crash(*_: object, **__: object) -> None:
        raise RuntimeError("the handler's own fault")

    monkeypatch.setattr("control_plane.clients.service.restart", crash)
    answer = await site.api.post(f"/api/admin/clients/{client.id}/restart")
    assert answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    [event, *_] = await read(site)
    assert (event.action, str(event.outcome), event.status) == ("client.restart", "failed", 500)
    assert event.actor.name == KEY


async def test_an_act_whose_record_cannot_be_written_is_told_to_the_log_with_the_same_facts(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = await site.create()

    async def refuse(*_: object) -> None:
        raise AutoReconnect("the collection cannot be written")

    monkeypatch.setattr(AuditEvents, "add", refuse)
    with caplog.at_level(logging.ERROR):
        answer = await site.api.post(f"/api/admin/clients/{client.id}/restart")
    assert answer.status_code == HTTPStatus.ACCEPTED
    [line] = [record for record in caplog.records if record.message == "audit event could not be written"]
    facts: Document = vars(line)["event"]
    assert (facts["action"], facts["outcome"], facts["actor"]["name"]) == ("client.restart", "done", KEY)
    assert facts["target"]["client_id"] == client.id
    assert facts["changes"] == [{"field": "restarts", "before": 0, "after": 1, "unit": "value"}]


async def test_strangers_cannot_fill_the_log_and_known_people_are_always_recorded(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trail, "STRANGERS_PER_MINUTE", 3)
    for _ in range(6):
        assert (await site.visitor.post("/api/admin/cleanup/force")).status_code == HTTPStatus.UNAUTHORIZED
    for _ in range(4):
        await site.api.post("/api/admin/cleanup/force")
    events = await read(site)
    assert [event.actor.name for event in events] == [KEY] * 4 + [None] * 3
    left_out = [record for record in caplog.records if record.message == "audit event of a stranger was left out"]
    assert len(left_out) == 3
