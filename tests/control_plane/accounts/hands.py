"""People with passwords, and their browsers, on a running site."""

import re
from typing import Any

import httpx2

from control_plane.accounts.models import Account
from control_plane.accounts.repository import Accounts
from control_plane.accounts.roles import Role
from control_plane.dependencies import SESSION_COOKIE
from tests.control_plane.site import Site, _hash

PASSWORD = "una contraseña larga"


async def enrol(site: Site, name: str, role: Role = Role.OWNER, **values: Any) -> Account:
    """An account with PASSWORD and the address `<name>@agencia.example`."""
    accounts = Accounts(site.database)
    address = f"{name}@agencia.example"
    made = await accounts.insert(name, _hash(PASSWORD), must_change_password=False, role=role, email=address, **values)
    assert made
    return await read(site, name)


async def read(site: Site, name: str) -> Account:
    account = await Accounts(site.database).get_by_username(name)
    assert account is not None
    return account


async def fill(browser: httpx2.AsyncClient, path: str, page: str | None = None, **fields: str) -> httpx2.Response:
    """Open the page of a form and send the form to `path`; `page` where the two differ."""
    opened = await browser.get(page or path)
    found = re.search(r'name="form_token" value="([^"]+)"', opened.text)
    assert found, opened.text
    return await browser.post(path, data={"form_token": found[1], **fields})


async def log_in(browser: httpx2.AsyncClient, name: str, password: str = PASSWORD, **fields: str) -> httpx2.Response:
    return await fill(browser, "/admin/login", username=name, password=password, **fields)


async def is_in(browser: httpx2.AsyncClient) -> bool:
    return (await browser.get("/admin/account")).status_code == 200


def session_token(browser: httpx2.AsyncClient) -> str:
    token: str = browser.cookies[SESSION_COOKIE]
    return token
