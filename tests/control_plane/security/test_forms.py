"""Forms of other sites, links to other sites, sessions that somebody else chose, passwords that are guessed."""

import re
from html import unescape
from http import HTTPStatus
from urllib.parse import quote, urljoin, urlsplit

import httpx2
import pytest

from control_plane.accounts.lockout import FREE_FROM_ANYWHERE
from control_plane.clients.models import Client, Wanted
from control_plane.dependencies import SESSION_COOKIE
from control_plane.permissions import RULES, Opens
from control_plane.web import FORM_COOKIE, FORM_FIELD
from tests.control_plane.accounts.test_login import fill, log_in
from tests.control_plane.security.conftest import SiteFactory
from tests.control_plane.security.raw import exchange, head
from tests.control_plane.site import Site
from tests.control_plane.test_permissions import FORM_TOKEN

EVIL = "evil.example"
FORMS = [
    rule.path
    for rule in RULES
    if rule.method == "POST" and rule.path.startswith(("/admin/", "/client/")) and rule.opens is not Opens.RUNNER_TOKEN
]


# ------------------------------------------------------------------------------------------------ CSRF


async def test_no_form_of_another_site_is_accepted(site: Site, client: Client, owner: httpx2.AsyncClient) -> None:
    names = {"{client_id}": client.id, "{slug}": client.slug, "{chat_id}": "5491100000000@c.us"}
    before = await site.clients.get(client.id)
    statuses = {}
    for form in FORMS:
        path = re.sub(r"\{\w+\}", lambda found: names.get(found[0], "none"), form)
        right = {FORM_FIELD: FORM_TOKEN}
        attempts = {
            "no token": owner.post(path),
            "another token": owner.post(path, data={FORM_FIELD: "another"}),
            "in the address": owner.post(path, params=right),
            "as JSON": owner.post(path, json=right),
            "from another site": owner.post(path, data=right, headers={"Sec-Fetch-Site": "cross-site"}),
            "from a neighbour": owner.post(path, data=right, headers={"Sec-Fetch-Site": "same-site"}),
        }
        for name, attempt in attempts.items():
            statuses[form, name] = (await attempt).status_code
    assert len(FORMS) > 15
    assert set(statuses.values()) == {HTTPStatus.FORBIDDEN}, statuses
    assert await site.clients.get(client.id) == before
    # The same form from its own page works.
    path = f"/admin/clients/{client.id}/disconnect"
    done = await owner.post(path, data={FORM_FIELD: FORM_TOKEN}, headers={"Sec-Fetch-Site": "same-origin"})
    assert done.status_code == HTTPStatus.SEE_OTHER
    changed = await site.clients.get(client.id)
    assert changed is not None
    assert changed.wanted is Wanted.DISCONNECTED


# ------------------------------------------------------------------------------------------------ redirects


@pytest.mark.parametrize(
    "target",
    [
        f"https://{EVIL}",
        f"//{EVIL}",
        f"/\\{EVIL}",
        f"/admin/\\{EVIL}",
        f"/admin@{EVIL}",
        f"/admin/../..//{EVIL}",
        f"/admin/\r\nLocation: https://{EVIL}",
        f"/admin/\t/{EVIL}",
        f"\u2028//{EVIL}",
        "javascript:alert(1)",
    ],
)
async def test_nobody_is_led_to_another_site(site: Site, owner: httpx2.AsyncClient, target: str) -> None:
    base = str(owner.base_url)
    led = await owner.get("/admin/login", params={"next": target})
    assert led.status_code == HTTPStatus.SEE_OTHER
    assert urlsplit(urljoin(base, led.headers["location"])).netloc == urlsplit(base).netloc
    # The log-in's form keeps it for later, and the links to other languages keep the rest of the address.
    page = await site.visitor.get("/admin/login", params={"next": target})
    kept = re.search(r'name="next" value="([^"]*)"', page.text)
    assert kept
    assert urlsplit(urljoin(base, unescape(kept[1]))).netloc == urlsplit(base).netloc


async def test_no_page_links_to_what_its_address_says(site: Site) -> None:
    for path in (
        f"//{EVIL}/x",
        f"//{EVIL}",
        f"/\\{EVIL}",
        f"/client/x/..//{EVIL}",
        f"/https://{EVIL}",
        f"//{EVIL}/admin",
    ):
        answer = (await exchange(site.settings.port, head(f"GET {path}"))).decode()
        base = f"http://127.0.0.1:{site.settings.port}{path}"
        links = [unescape(link) for link in re.findall(r'(?:href|src|action)="([^"]*)"', answer)]
        links += re.findall(r"(?im)^location: (.*)\r$", answer)
        assert links
        for link in links:
            # As a browser reads it, to which a backslash is a slash.
            assert urlsplit(urljoin(base, link.replace("\\", "/"))).hostname == "127.0.0.1", (path, link)


# ------------------------------------------------------------------------------------------------ sessions


async def test_a_session_that_somebody_else_chose_is_never_used(site: Site) -> None:
    chosen = "a" * 43
    async with site.browser() as browser:
        browser.cookies.set(SESSION_COOKIE, chosen, domain="127.0.0.1")
        token = re.search(r'name="form_token" value="([^"]+)"', (await browser.get("/admin/login")).text)
        assert token
        entered = await browser.post(
            "/admin/login", data={FORM_FIELD: token[1], "username": "admin", "password": site.password}
        )
        assert entered.status_code == HTTPStatus.SEE_OTHER
        given = [value for value in entered.headers.get_list("set-cookie") if value.startswith(f"{SESSION_COOKIE}=")]
        assert len(given) == 1
        assert chosen not in given[0]
        # The token for forms is a new one too: the one from before the log-in is void.
        assert any(value.startswith(f'{FORM_COOKIE}=""') for value in entered.headers.get_list("set-cookie"))
    async with site.browser() as attacker:
        attacker.cookies.set(SESSION_COOKIE, chosen, domain="127.0.0.1")
        assert (await attacker.get("/admin")).headers["location"].startswith("/admin/login")


# ------------------------------------------------------------------------------------------------ guessing


async def guess(site: Site, number: int, *, username: str, address: str) -> int:
    async with site.browser() as browser:
        browser.headers["X-Forwarded-For"] = address
        return (await log_in(browser, f"guess {number}", username)).status_code


async def test_guessing_one_account_from_many_addresses_is_stopped(site: Site) -> None:
    guesses = range(FREE_FROM_ANYWHERE + 1)
    statuses = [await guess(site, n, username="admin", address=f"203.0.113.{n}") for n in guesses]
    assert statuses[0] == HTTPStatus.UNAUTHORIZED
    assert statuses[-1] == HTTPStatus.TOO_MANY_REQUESTS
    async with site.browser() as browser:
        # Also the right password waits: else the guesser would learn which one it is.
        browser.headers["X-Forwarded-For"] = "198.51.100.1"
        refused = await fill(browser, "/admin/login", username="admin", password=site.password)
    assert refused.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert SESSION_COOKIE not in refused.headers.get("set-cookie", "")


async def test_guessing_many_accounts_from_one_address_is_stopped(site_with: SiteFactory) -> None:
    # Without a trusted proxy the address cannot be talked away.
    async with site_with(trusted_proxies=()) as site:
        most = site.settings.login_attempts_per_minute
        statuses = [await guess(site, n, username=f"somebody-{n}", address=f"203.0.113.{n}") for n in range(most + 1)]
    assert statuses[0] == HTTPStatus.UNAUTHORIZED
    assert statuses[-1] == HTTPStatus.TOO_MANY_REQUESTS


async def test_keys_that_are_no_keys_open_nothing(site: Site, client: Client) -> None:
    paths = ("/api/admin/clients", "/internal/runner/config", f"/api/admin/clients/{client.id}")
    for key in ("", "flame_", "null", '{"$ne": null}', "flame_" + quote("%00"), client.runner_token_hash):
        for path in paths:
            assert (await site.visitor.get(path, headers={"X-Api-Key": key})).status_code == HTTPStatus.UNAUTHORIZED
