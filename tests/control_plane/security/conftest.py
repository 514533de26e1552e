"""The running web process as an attacker meets it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx2
import pytest

from control_plane.accounts.roles import Role
from control_plane.clients.models import Client
from control_plane.database import Database
from control_plane.dependencies import SESSION_COOKIE
from control_plane.settings import Settings
from control_plane.web import FORM_COOKIE
from tests.control_plane.site import Site, change, open_site
from tests.control_plane.test_permissions import FORM_TOKEN, enrol

SiteFactory = Callable[..., AbstractAsyncContextManager[Site]]


@pytest.fixture
async def site(site_settings: Settings, database: Database) -> AsyncIterator[Site]:
    """As elsewhere, but every form may be tried in every wrong way within a minute."""
    async with open_site(change(site_settings, actions_per_minute=10_000), database) as running:
        yield running


@pytest.fixture
def site_with(site_settings: Settings, database: Database) -> SiteFactory:
    """Opens a site whose settings have other values."""

    def make(**values: Any) -> AbstractAsyncContextManager[Site]:
        return open_site(change(site_settings, **values), database)

    return make


@pytest.fixture
async def client(site: Site) -> Client:
    return await site.create()


@pytest.fixture
async def owner(site: Site, client: Client) -> AsyncIterator[httpx2.AsyncClient]:
    """The browser of the agency's owner, logged in, with the token for forms."""
    person = await enrol(site, Role.OWNER, client)
    async with site.browser() as browser:
        browser.cookies.set(SESSION_COOKIE, person.cookie, domain="127.0.0.1")
        browser.cookies.set(FORM_COOKIE, FORM_TOKEN, domain="127.0.0.1")
        yield browser
