"""The table of permissions, tried whole on the running server: every route and role, one's own client and another's."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import httpx2
import pytest
from fastapi import FastAPI

from control_plane.accounts.models import AccountSession
from control_plane.accounts.repository import Accounts
from control_plane.accounts.roles import CLIENT_ROLES, Role
from control_plane.app import create_app
from control_plane.clients.models import Client
from control_plane.dependencies import SESSION_COOKIE
from control_plane.permissions import RULES, Opens, Rule, RuleMissing, check_table, describe
from control_plane.security import hash_token, new_token
from control_plane.settings import REPOSITORY
from control_plane.web import FORM_COOKIE, FORM_FIELD
from tests.control_plane.site import Site

FORM_TOKEN = "the-token-of-the-form"
GUARDED = [rule for rule in RULES if rule.opens in (Opens.ROLE, Opens.FIRST_PASSWORD)]
REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}


@dataclass(frozen=True)
class Person:
    """Somebody with an account: the cookie of a browser, and a key for the API."""

    role: Role
    cookie: str
    key: str


async def enrol(site: Site, role: Role, own: Client, *, one_time: bool = False) -> Person:
    accounts, now, name = Accounts(site.database), datetime.now(UTC), f"{role}-{one_time}"
    client_id = own.id if role in CLIENT_ROLES else None
    assert await accounts.insert(name, "no password", must_change_password=one_time, role=role, client_id=client_id)
    account = await accounts.get_by_username(name)
    assert account is not None
    person = Person(role, new_token(), f"flame_{new_token()}")
    session = AccountSession(
        token_hash=hash_token(person.cookie),
        account_id=account.id,
        created_at=now,
        expires_at=now + timedelta(hours=1),
    )
    await accounts.insert_session(session)
    await accounts.insert_api_key(hash_token(person.key), account.id)
    return person


async def ask(browser: httpx2.AsyncClient, rule: Rule, client: Client, person: Person | None) -> int:
    """Use the route as that person would, with nothing in the form or the body; the status."""
    names = {"client_id": client.id, "chat_id": "5491100000000@c.us", "slug": client.slug}
    path = rule.path
    for part in path.split("{")[1:]:
        name = part.split("}")[0]
        path = path.replace(f"{{{name}}}", names.get(name, "none"))
    cookies, headers = {FORM_COOKIE: FORM_TOKEN}, {}
    if person is not None and rule.scope is not None:
        headers["X-Api-Key"] = person.key
    elif person is not None:
        cookies[SESSION_COOKIE] = person.cookie
    headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    data = {FORM_FIELD: FORM_TOKEN} if rule.scope is None and rule.method == "POST" else None
    # Streamed: some answers are events without an end.
    async with browser.stream(rule.method, path, data=data, headers=headers) as answer:
        to_login = answer.headers.get("location", "").startswith("/admin/login")
        return HTTPStatus.UNAUTHORIZED if to_login else answer.status_code


def expect(rule: Rule, role: Role, *, own: bool) -> int | None:
    """The refusal that the table asks for; None where the role may."""
    if role not in rule.roles:
        return HTTPStatus.FORBIDDEN
    if role in CLIENT_ROLES and "{client_id}" in rule.path and not own:
        return HTTPStatus.NOT_FOUND
    return None


@pytest.mark.parametrize("role", Role)
async def test_every_route_is_open_to_the_roles_of_its_row_and_to_no_other(site: Site, role: Role) -> None:
    clients = {True: await site.create("Propio"), False: await site.create("Ajeno")}
    person = await enrol(site, role, clients[True])
    wrong = []
    async with site.browser() as browser:
        for rule in GUARDED:
            for own, client in clients.items() if "{client_id}" in rule.path else [(True, clients[True])]:
                status, expected = await ask(browser, rule, client, person), expect(rule, role, own=own)
                # A record that is not there is no refusal.
                missing = status == HTTPStatus.NOT_FOUND and re.search(r"\{(?!client_id|chat_id)", rule.path)
                is_right = status == expected if expected else missing or status not in REFUSED
                if not is_right:
                    wrong.append(f"{rule.method} {rule.path} own={own}: {status}, not {expected or 'let in'}")
    assert wrong == []


async def test_nobody_gets_in_without_an_account(site: Site) -> None:
    client = await site.create()
    async with site.browser() as browser:
        statuses = {(rule.method, rule.path): await ask(browser, rule, client, None) for rule in GUARDED}
    assert set(statuses.values()) == {HTTPStatus.UNAUTHORIZED}, statuses


async def test_a_one_time_password_opens_nothing_but_its_change(site: Site) -> None:
    client = await site.create()
    person = await enrol(site, Role.OWNER, client, one_time=True)
    async with site.browser() as browser:
        for rule in GUARDED:
            if rule.scope is not None or rule.method != "GET":
                continue
            names = {"client_id": client.id, "chat_id": "x", "event_id": "x"}
            path = rule.path.format(**names)
            answer = await browser.get(path, headers={"Cookie": f"{SESSION_COOKIE}={person.cookie}"})
            if rule.opens is Opens.FIRST_PASSWORD:
                assert answer.status_code == HTTPStatus.OK
            else:
                assert answer.headers["location"] == "/admin/password", path


async def test_a_clients_people_see_their_client_alone(site: Site) -> None:
    own, foreign = await site.create("Propio"), await site.create("Ajeno")
    person = await enrol(site, Role.CLIENT_ADMIN, own)
    async with site.browser() as browser:
        page = await browser.get("/admin", headers={"Cookie": f"{SESSION_COOKIE}={person.cookie}"})
        listed = await browser.get("/api/admin/clients", headers={"X-Api-Key": person.key})
    assert "Propio" in page.text
    assert "Ajeno" not in page.text
    assert foreign.id not in page.text
    assert [client["id"] for client in listed.json()] == [own.id]


async def test_a_cookie_does_not_open_what_changes_things_in_the_api(site: Site) -> None:
    client = await site.create()
    person = await enrol(site, Role.OWNER, client)
    async with site.browser() as browser:
        headers = {"Cookie": f"{SESSION_COOKIE}={person.cookie}"}
        assert (await browser.get("/api/admin/clients", headers=headers)).status_code == HTTPStatus.OK
        refused = await browser.post(f"/api/admin/clients/{client.id}/toggle", headers=headers)
    assert refused.status_code == HTTPStatus.UNAUTHORIZED
    assert (await site.clients.get(client.id)) == client


async def test_a_route_without_a_row_does_not_start(site: Site) -> None:
    app: FastAPI = create_app(site.settings)
    app.add_api_route("/admin/backdoor", lambda: None, methods=["POST"])
    with pytest.raises(RuleMissing, match="without a row: POST /admin/backdoor"):
        check_table(app.routes)


def test_the_documentation_is_the_table() -> None:
    assert (REPOSITORY / "docs" / "permissions.md").read_text() == describe(), "python -m control_plane permissions"
