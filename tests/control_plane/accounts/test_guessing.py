"""Guessing passwords, fixed sessions, stolen cookies."""

from datetime import UTC, datetime, timedelta

from control_plane.accounts.lockout import FREE_FROM_ANYWHERE, FREE_FROM_ONE_ADDRESS, LONGEST_WAIT_S, LoginFailures
from control_plane.accounts.repository import Accounts
from control_plane.accounts.service import AttemptLimiter
from control_plane.dependencies import SESSION_COOKIE
from tests.conftest import find_free_port
from tests.control_plane.accounts.hands import PASSWORD, enrol, fill, is_in, log_in, read, session_token
from tests.control_plane.site import Site, change, serve


async def end_waits(site: Site) -> None:
    """As if the time had passed."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    await site.database["login_failures"].update_many({"locked_until": {"$ne": None}}, {"$set": {"locked_until": past}})


async def test_a_guesser_is_stopped_over_several_web_processes_and_told_for_how_long(site: Site) -> None:
    await enrol(site, "ana")
    site.app.state.login_limiter = AttemptLimiter(1000)
    second = change(site.settings, port=find_free_port(), login_attempts_per_minute=1000)
    async with serve(second), site.browser() as browser:
        for name in ("ana", "nadie"):
            for number in range(FREE_FROM_ONE_ADDRESS):
                base = "" if number % 2 else f"http://127.0.0.1:{second.port}"
                wrong = await fill(browser, f"{base}/admin/login", username=name, password="wrong")
                assert wrong.status_code == 401
        answers = {name: await log_in(browser, name) for name in ("ana", "nadie", "ana@agencia.example")}
        there = await fill(browser, f"http://127.0.0.1:{second.port}/admin/login", username="ana", password="wrong")
    # An unknown name is answered like a known one, and the right password like a wrong one.
    assert [answer.status_code for answer in (*answers.values(), there)] == [429] * 4
    for answer in answers.values():
        assert 0 < int(answer.headers["retry-after"]) <= 60
        assert "Esperá un minuto" in answer.text
    assert "nadie" not in str(await site.database["login_failures"].find().to_list())


async def test_the_wait_doubles_has_an_end_and_a_right_password_forgets_it(site: Site) -> None:
    ana, failures = await enrol(site, "ana"), LoginFailures(site.database)
    waits: list[int] = []
    while len(waits) < 6:
        if wait_s := await failures.take_attempt("ana", "203.0.113.9", ana):
            waits.append(wait_s)
            await end_waits(site)
    for wait_s, expected in zip(waits, (60, 120, 240, 480, LONGEST_WAIT_S, LONGEST_WAIT_S), strict=True):
        assert expected - 20 < wait_s <= expected
    await failures.forget("ana", "203.0.113.9")
    for _ in range(FREE_FROM_ONE_ADDRESS):
        assert await failures.take_attempt("ana", "203.0.113.9", ana) == 0


async def test_strangers_close_an_account_to_strangers_and_not_to_its_holder(site: Site) -> None:
    await enrol(site, "ana")
    accounts, failures = Accounts(site.database), LoginFailures(site.database)
    async with site.browser() as browser:
        await log_in(browser, "ana")
    ana = await read(site, "ana")
    assert ana.known_addresses == ("127.0.0.1",)
    for number in range(FREE_FROM_ANYWHERE):
        assert await failures.take_attempt("ana", f"203.0.113.{number}", ana) == 0
    assert 0 < await failures.take_attempt("ana", "198.51.100.7", ana) <= 60
    assert await accounts.get_by_username("ana") == ana
    async with site.browser() as browser:
        assert (await log_in(browser, "ana")).headers["location"] == "/admin"


async def test_a_session_that_somebody_put_into_the_browser_is_not_the_one_that_is_opened(site: Site) -> None:
    await enrol(site, "mala")
    await enrol(site, "ana")
    async with site.browser() as evil, site.browser() as browser:
        await log_in(evil, "mala")
        for planted in ("chosen-by-the-attacker", session_token(evil)):
            browser.cookies.clear()
            browser.cookies.set(SESSION_COOKIE, planted, domain="127.0.0.1", path="/")
            await browser.get("/admin/forgot")
            fields = {"form_token": browser.cookies["flame_form"], "username": "ana", "password": PASSWORD}
            entered = await browser.post("/admin/login", data=fields)
            assert entered.headers["location"] == "/admin"
            assert session_token(browser) != planted
            assert await is_in(browser)
            async with site.browser() as other:
                other.cookies.set(SESSION_COOKIE, planted, domain="127.0.0.1")
                assert not await is_in(other)


async def test_sessions_are_listed_and_closed_one_or_all_others(site: Site) -> None:
    await enrol(site, "ana")
    async with site.browser() as here, site.browser() as there, site.browser() as third:
        for browser, agent in (
            (here, "Firefox/140.0 Linux"),
            (there, "Chrome/140.0 Android"),
            (third, "Safari/1 iPhone"),
        ):
            browser.headers["User-Agent"] = agent
            await log_in(browser, "ana")
        page = (await here.get("/admin/account")).text
        for device in ("Firefox · Linux", "Chrome · Android", "Safari · iPhone"):
            assert device in page
        assert session_token(there) not in page
        ids = [part.partition('"')[0] for part in page.split('name="session" value="')[1:]]
        await fill(here, "/admin/account/sessions", "/admin/account", session=ids[0])
        assert [await is_in(there), await is_in(third)].count(True) == 1
        await fill(here, "/admin/account/sessions", "/admin/account", session="others")
        assert not await is_in(there)
        assert not await is_in(third)
        assert await is_in(here)


async def test_nobody_closes_the_sessions_of_others(site: Site) -> None:
    await enrol(site, "ana")
    await enrol(site, "mala")
    async with site.browser() as browser, site.browser() as evil:
        await log_in(browser, "ana")
        await log_in(evil, "mala")
        sessions = await Accounts(site.database).list_sessions((await read(site, "ana")).id, datetime.now(UTC))
        await fill(evil, "/admin/account/sessions", "/admin/account", session=sessions[0].id)
        assert await is_in(browser)
