"""The table of permissions, tried whole on the running server: every route and role, one's own client and another's."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import httpx2
import pytest
from fastapi import FastAPI

from control_plane.accounts.access_tokens import open_family
from control_plane.accounts.api_keys import ApiKeys, create_api_key
from control_plane.accounts.models import AccountSession
from control_plane.accounts.repository import Accounts
from control_plane.accounts.roles import CLIENT_ROLES, Role
from control_plane.accounts.service import Visitor
from control_plane.app import create_app
from control_plane.clients.models import Client
from control_plane.dependencies import SESSION_COOKIE
from control_plane.permissions import RULES, Opens, Rule, RuleMissing, Scope, check_table, describe
from control_plane.security import hash_token, new_token
from control_plane.settings import REPOSITORY
from control_plane.web import FORM_COOKIE, FORM_FIELD
from tests.control_plane.site import Site

FORM_TOKEN = "the-token-of-the-form"
GUARDED = [rule for rule in RULES if rule.opens in (Opens.ROLE, Opens.FIRST_PASSWORD)]
RECORDS = r"\{(run_id|erasure_id|event_id|account_id|key_id)\}"
REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}


@dataclass(frozen=True)
class Person:
    """Somebody with an account: the cookie of a browser, and an access token for the API."""

    role: Role
    cookie: str
    bearer: str


async def enrol(site: Site, role: Role, own: Client, *, one_time: bool = False) -> Person:
    accounts, now, name = Accounts(site.database), datetime.now(UTC), f"{role}-{one_time}"
    client_id = own.id if role in CLIENT_ROLES else None
    assert await accounts.insert(name, "no password", must_change_password=one_time, role=role, client_id=client_id)
    account = await accounts.get_by_username(name)
    assert account is not None
    tokens = await open_family(account, Visitor("test"), accounts=accounts, key=site.app.state.signing_key)
    person = Person(role, new_token(), tokens.access_token)
    session = AccountSession(
        token_hash=hash_token(person.cookie),
        account_id=account.id,
        created_at=now,
        expires_at=now + timedelta(hours=1),
    )
    await accounts.insert_session(session)
    return person


async def ask(browser: httpx2.AsyncClient, rule: Rule, client: Client, person: Person | str | None) -> int:
    """Use the route as that person or key would, with nothing in the form or the body; the status."""
    names = {"client_id": client.id, "chat_id": "5491100000000@c.us", "slug": client.slug}
    path = rule.path
    for part in path.split("{")[1:]:
        name = part.split("}")[0]
        path = path.replace(f"{{{name}}}", names.get(name, "none"))
    cookies, headers = {FORM_COOKIE: FORM_TOKEN}, {}
    if isinstance(person, str):
        headers["X-Api-Key"] = person
    elif person is not None and rule.scope is not None:
        headers["Authorization"] = f"Bearer {person.bearer}"
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


def is_right(rule: Rule, status: int, expected: int | None) -> bool:
    """Whether the route answered as the table says; a record that is not there is no refusal."""
    if expected:
        return status == expected
    return status not in REFUSED or (status == HTTPStatus.NOT_FOUND and re.search(RECORDS, rule.path) is not None)


@pytest.mark.parametrize("role", Role)
async def test_every_route_is_open_to_the_roles_of_its_row_and_to_no_other(site: Site, role: Role) -> None:
    clients = {True: await site.create("Propio"), False: await site.create("Ajeno")}
    person = await enrol(site, role, clients[True])
    wrong = []
    async with site.browser() as browser:
        for rule in GUARDED:
            for own, client in clients.items() if "{client_id}" in rule.path else [(True, clients[True])]:
                status, expected = await ask(browser, rule, client, person), expect(rule, role, own=own)
                if not is_right(rule, status, expected):
                    wrong.append(f"{rule.method} {rule.path} own={own}: {status}, not {expected or 'let in'}")
    assert wrong == []


def expect_of_key(rule: Rule, scopes: set[Scope], *, of_client: bool, own: bool) -> int | None:
    """What the table asks for of a key: the role that it stands for, its scopes, its client."""
    if rule.scope is None:
        return HTTPStatus.UNAUTHORIZED
    role = Role.CLIENT_ADMIN if of_client else Role.ADMIN
    if rule.scope not in scopes:
        return HTTPStatus.FORBIDDEN
    return expect(rule, role, own=own)


@pytest.mark.parametrize("of_client", [True, False], ids=["client", "agency"])
async def test_a_key_opens_the_routes_of_its_scopes_and_client_and_no_other(site: Site, of_client: bool) -> None:
    clients, wrong = {True: await site.create("Propio"), False: await site.create("Ajeno")}, []
    client_id = clients[True].id if of_client else None
    async with site.browser() as browser:
        for scope in Scope:
            key = await create_api_key(keys=ApiKeys(site.database), scopes=[scope], client_id=client_id)
            for rule in GUARDED:
                for own, client in clients.items() if "{client_id}" in rule.path else [(True, clients[True])]:
                    # Without a scope no key opens it, whichever: that is tried once.
                    if rule.scope is None and scope is not Scope.CLIENTS_READ:
                        continue
                    status = await ask(browser, rule, client, key)
                    expected = expect_of_key(rule, {scope}, of_client=of_client, own=own)
                    if not is_right(rule, status, expected):
                        wrong.append(
                            f"{scope}: {rule.method} {rule.path} own={own}: {status}, not {expected or 'let in'}"
                        )
    assert wrong == []


async def test_only_those_who_may_invite_are_shown_the_link_that_links_a_phone(site: Site) -> None:
    client = await site.create()
    path, shown = f"/api/admin/clients/{client.id}", {}
    reader = await create_api_key(keys=ApiKeys(site.database), scopes=[Scope.CLIENTS_READ])
    async with site.browser() as browser:
        for role in Role:
            person = await enrol(site, role, client)
            page = await browser.get(
                f"/admin/clients/{client.id}", headers={"Cookie": f"{SESSION_COOKIE}={person.cookie}"}
            )
            answer = await browser.get(path, headers={"Authorization": f"Bearer {person.bearer}"})
            by_cookie = await browser.get(path, headers={"Cookie": f"{SESSION_COOKIE}={person.cookie}"})
            shown[role] = {client.slug in seen.text for seen in (page, answer, by_cookie)}
        by_key = await browser.get(path, headers={"X-Api-Key": reader})
    assert shown == {role: {role in (Role.OWNER, Role.ADMIN, Role.MANAGER)} for role in Role}
    assert by_key.json()["landing_url"] is None


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
            names = {"client_id": client.id, "chat_id": "x", "erasure_id": "none", "event_id": "x"}
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
        listed = await browser.get("/api/admin/clients", headers={"Authorization": f"Bearer {person.bearer}"})
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
