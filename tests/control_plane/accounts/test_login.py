"""Logging in, staying in, getting out."""

import re
from collections.abc import AsyncIterator

import httpx2
import pytest

from control_plane.accounts.repository import Accounts
from control_plane.accounts.service import create_admin
from control_plane.settings import Settings
from tests.control_plane.site import Site, change

NEW_PASSWORD = "una contraseña larga"


@pytest.fixture
async def browser(site: Site) -> AsyncIterator[httpx2.AsyncClient]:
    async with site.browser() as browser:
        yield browser


async def fill(browser: httpx2.AsyncClient, path: str, **fields: str) -> httpx2.Response:
    """Open the page of a form and send the form."""
    page = await browser.get(path)
    found = re.search(r'name="form_token" value="([^"]+)"', page.text)
    assert found, page.text
    return await browser.post(path, data={"form_token": found[1], **fields})


async def log_in(browser: httpx2.AsyncClient, password: str, username: str = "admin") -> httpx2.Response:
    return await fill(browser, "/admin/login", username=username, password=password)


async def choose_password(site: Site, browser: httpx2.AsyncClient, password: str = NEW_PASSWORD) -> httpx2.Response:
    if "flame_session" not in browser.cookies:
        await log_in(browser, site.password)
    return await fill(
        browser,
        "/admin/password",
        current_password=site.password,
        new_password=password,
        repeat_password=password,
    )


async def test_the_one_time_password_opens_only_the_page_that_changes_it(
    site: Site, browser: httpx2.AsyncClient
) -> None:
    response = await log_in(browser, site.password)
    assert (response.status_code, response.headers["location"]) == (303, "/admin/password")
    portal = await browser.get("/admin")
    api = await browser.get("/api/admin/clients")
    assert (portal.status_code, portal.headers["location"]) == (303, "/admin/password")
    assert (api.status_code, api.json()["type"]) == (403, "/problems/password-change-needed")

    changed = await choose_password(site, browser)
    assert (changed.status_code, changed.headers["location"]) == (303, "/admin")
    assert (await browser.get("/admin")).status_code == 200
    assert (await browser.get("/api/admin/clients")).json() == []


async def test_a_short_password_is_not_taken(site: Site, browser: httpx2.AsyncClient) -> None:
    assert (await choose_password(site, browser, "corta")).status_code == 422
    assert (await browser.get("/admin")).headers["location"] == "/admin/password"


async def test_the_sessions_cookie_is_hidden_from_scripts_and_stored_as_a_hash(
    site: Site, browser: httpx2.AsyncClient
) -> None:
    response = await log_in(browser, site.password)
    cookie = next(value for value in response.headers.get_list("set-cookie") if value.startswith("flame_session="))
    token = browser.cookies["flame_session"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie
    assert token not in str(await site.database["account_sessions"].find().to_list())
    assert site.password not in str(await site.database["accounts"].find().to_list())


async def test_the_cookie_is_secure_where_people_come_by_https(
    site: Site, browser: httpx2.AsyncClient, site_settings: Settings
) -> None:
    site.app.state.settings = change(site_settings, public_url="https://flame.example.com")
    page = await browser.get("/admin/login")
    assert all("Secure" in value for value in page.headers.get_list("set-cookie"))


async def test_changing_the_password_ends_every_other_session(site: Site, browser: httpx2.AsyncClient) -> None:
    await choose_password(site, browser)
    async with site.browser() as other:
        await log_in(other, NEW_PASSWORD)
        assert (await other.get("/admin")).status_code == 200
        changed = await fill(
            browser,
            "/admin/account",
            current_password=NEW_PASSWORD,
            new_password="otra contraseña larga",
            repeat_password="otra contraseña larga",
        )
        assert changed.status_code == 303
        assert (await other.get("/admin")).headers["location"].startswith("/admin/login")
    assert (await browser.get("/admin")).status_code == 200


async def test_logging_out_ends_the_session_on_the_server(site: Site, browser: httpx2.AsyncClient) -> None:
    await choose_password(site, browser)
    token = browser.cookies["flame_session"]
    page = await browser.get("/admin")
    found = re.search(r'name="form_token" value="([^"]+)"', page.text)
    assert found
    await browser.post("/admin/logout", data={"form_token": found[1]})
    async with site.browser() as other:
        response = await other.get("/admin", headers={"Cookie": f"flame_session={token}"})
    assert response.headers["location"].startswith("/admin/login")


async def test_guessing_is_stopped_and_says_for_how_long(site: Site, browser: httpx2.AsyncClient) -> None:
    statuses = [
        (await log_in(browser, "wrong")).status_code for _ in range(site.settings.login_attempts_per_minute + 1)
    ]
    # From now on the right password does not help either: the answer tells a guesser nothing.
    right = await log_in(browser, site.password)
    assert statuses == [401] * site.settings.login_attempts_per_minute + [429]
    assert right.status_code == 429
    assert 0 < int(right.headers["retry-after"]) <= 60
    assert "flame_session" not in browser.cookies


async def test_one_account_cannot_be_guessed_at_from_many_browsers(site: Site) -> None:
    for _ in range(site.settings.login_attempts_per_minute):
        async with site.browser() as browser:
            await log_in(browser, "wrong", username=" ADMIN ")
    async with site.browser() as browser:
        assert (await log_in(browser, "wrong")).status_code == 429


async def test_an_unknown_name_is_answered_like_a_wrong_password(site: Site, browser: httpx2.AsyncClient) -> None:
    unknown = await log_in(browser, "wrong", username="nobody")
    wrong = await log_in(browser, "wrong")
    assert unknown.status_code == wrong.status_code == 401


async def test_a_form_without_its_token_or_from_another_site_is_refused(
    site: Site, browser: httpx2.AsyncClient
) -> None:
    await choose_password(site, browser)
    page = await browser.get("/admin/cleanup")
    found = re.search(r'name="form_token" value="([^"]+)"', page.text)
    assert found
    fields = {"current_password": NEW_PASSWORD, "new_password": "x" * 20, "repeat_password": "x" * 20}
    without = await browser.post("/admin/account", data=fields)
    wrong = await browser.post("/admin/account", data={"form_token": "wrong", **fields})
    foreign = await browser.post(
        "/admin/account", data={"form_token": found[1], **fields}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert [response.status_code for response in (without, wrong, foreign)] == [403, 403, 403]
    async with site.browser() as other:
        assert (await log_in(other, NEW_PASSWORD)).status_code == 303


async def test_a_browsers_cookie_reads_the_api_and_changes_nothing(site: Site, browser: httpx2.AsyncClient) -> None:
    await choose_password(site, browser)
    assert (await browser.get("/api/admin/cleanup/runs")).status_code == 200
    assert (await browser.post("/api/admin/cleanup/force")).status_code == 401
    assert await site.database["cleanup_runs"].count_documents({}) == 0


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/admin\\evil", "/client/x"])
async def test_logging_in_leads_nowhere_but_into_the_portal(
    site: Site, browser: httpx2.AsyncClient, target: str
) -> None:
    await choose_password(site, browser)
    async with site.browser() as other:
        response = await fill(other, "/admin/login", username="admin", password=NEW_PASSWORD, next=target)
    assert response.headers["location"] == "/admin"


async def test_the_one_time_password_is_made_anew_until_somebody_chose_a_password(site: Site) -> None:
    accounts = Accounts(site.database)
    again = await create_admin(accounts=accounts)
    assert again not in (None, site.password)
    async with site.browser() as browser:
        assert (await log_in(browser, site.password)).status_code == 401
        await log_in(browser, str(again))
        await fill(
            browser,
            "/admin/password",
            current_password=str(again),
            new_password=NEW_PASSWORD,
            repeat_password=NEW_PASSWORD,
        )
        assert await create_admin(accounts=accounts) is None
        forgotten = await create_admin(accounts=accounts, reset=True)
        assert (await browser.get("/admin")).headers["location"].startswith("/admin/login")
        assert (await log_in(browser, str(forgotten))).headers["location"] == "/admin/password"
