"""Codes of a telephone after the password."""

import html
import re
import time
from datetime import UTC, datetime

import httpx2
import pyotp
import pytest

from control_plane.accounts import second_factor
from control_plane.accounts.roles import Role
from tests.control_plane.accounts.hands import PASSWORD, enrol, fill, is_in, log_in, read, session_token
from tests.control_plane.site import Site

FACTOR = "/admin/account/second-factor"


class Clock(datetime):
    """Half a minute passes when the test says so, and only then: no code is replaced by itself."""

    began = 0.0
    late_s = 0

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return datetime.fromtimestamp(cls.began + cls.late_s, UTC)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    Clock.began, Clock.late_s = time.time(), 0
    monkeypatch.setattr(second_factor, "datetime", Clock)
    return Clock


def code_of(secret: str) -> str:
    return pyotp.TOTP(secret).at(Clock.now())


async def turn_on(browser: httpx2.AsyncClient) -> tuple[str, list[str]]:
    """Walk through the pages; the secret and the recovery codes."""
    await fill(browser, FACTOR)
    page = await browser.get(FACTOR)
    found = re.search(r'id="totp-key">([A-Z2-7 ]+)<', page.text)
    assert found
    secret = found[1].replace(" ", "")
    assert "<svg" in page.text
    done = await fill(browser, f"{FACTOR}/confirm", FACTOR, code=code_of(secret))
    codes = re.search(r"<textarea[^>]*>([^<]+)", done.text)
    assert codes, done.text
    return secret, html.unescape(codes[1]).split()


async def test_after_the_password_a_code_is_asked_for_and_none_works_twice(site: Site, clock: type[Clock]) -> None:
    await enrol(site, "ana")
    async with site.browser() as browser, site.browser() as other:
        await log_in(browser, "ana")
        before = session_token(browser)
        secret, codes = await turn_on(browser)
        # What opens the account has changed: so has the session.
        assert session_token(browser) != before
        assert await is_in(browser)
        assert len(set(codes)) == 10
        stored = str(await site.database["accounts"].find().to_list())
        assert secret not in stored
        assert not any(code in stored or code.replace("-", "") in stored for code in codes)

        used = code_of(secret)
        asked = await log_in(other, "ana")
        assert asked.headers["location"].startswith("/admin/login/code")
        assert not await is_in(other)
        # The code that turned it on counts as used.
        assert (await fill(other, "/admin/login/code", code=used)).status_code == 401
        assert (await fill(other, "/admin/login/code", code="000000")).status_code == 401
        clock.late_s += 30
        assert (await fill(other, "/admin/login/code", code=code_of(secret))).status_code == 303
        assert await is_in(other)
    async with site.browser() as thief:
        await log_in(thief, "ana")
        assert (await fill(thief, "/admin/login/code", code=code_of(secret))).status_code == 401
        # One recovery code, typed loosely, once.
        typed = codes[3].upper().replace("-", " ")
        assert (await fill(thief, "/admin/login/code", code=typed)).status_code == 303
    async with site.browser() as thief:
        await log_in(thief, "ana")
        assert (await fill(thief, "/admin/login/code", code=codes[3])).status_code == 401


async def test_codes_cannot_be_guessed_one_after_the_other(site: Site, clock: type[Clock]) -> None:
    await enrol(site, "ana")
    async with site.browser() as browser, site.browser() as thief:
        await log_in(browser, "ana")
        await turn_on(browser)
        await log_in(thief, "ana")
        statuses = [(await fill(thief, "/admin/login/code", code=f"00000{number}")).status_code for number in range(6)]
    # The password's attempt counts too, until a code is right.
    assert statuses == [401] * 4 + [429] * 2


async def test_the_code_step_opens_only_for_whoever_knew_the_password(site: Site) -> None:
    await enrol(site, "ana")
    async with site.browser() as browser:
        assert (await browser.get("/admin/login/code")).headers["location"] == "/admin/login"
        answer = await fill(browser, "/admin/login/code", "/admin/login", code="000000")
        assert answer.headers["location"] == "/admin/login"


async def test_it_is_turned_off_with_the_password_and_a_code(site: Site, clock: type[Clock]) -> None:
    await enrol(site, "ana")
    async with site.browser() as browser:
        await log_in(browser, "ana")
        secret, codes = await turn_on(browser)
        for fields in ({"password": "wrong", "code": codes[0]}, {"password": PASSWORD, "code": "000000"}):
            refused = await fill(browser, f"{FACTOR}/off", FACTOR, **fields)
            assert refused.status_code == 422
        new = await fill(browser, f"{FACTOR}/codes", FACTOR, password=PASSWORD, code=codes[0])
        assert "<textarea" in new.text
        assert (await fill(browser, f"{FACTOR}/off", FACTOR, password=PASSWORD, code=codes[1])).status_code == 422
        clock.late_s += 30
        off = await fill(browser, f"{FACTOR}/off", FACTOR, password=PASSWORD, code=code_of(secret))
        assert off.status_code == 303
        assert await is_in(browser)
    async with site.browser() as other:
        assert (await log_in(other, "ana")).headers["location"] == "/admin"


async def test_an_owner_helps_somebody_who_lost_the_phone(site: Site, clock: type[Clock]) -> None:
    await enrol(site, "duena")
    luz = await enrol(site, "luz", Role.ADMIN)
    async with site.browser() as hers, site.browser() as browser:
        await log_in(hers, "luz")
        await turn_on(hers)
        await log_in(browser, "duena")
        await fill(browser, f"/admin/people/{luz.id}/second-factor-reset", "/admin/people")
        assert not await is_in(hers)
        assert (await log_in(hers, "luz")).headers["location"] == "/admin"
    assert not (await read(site, "luz")).has_second_factor
