from control_plane.accounts.repository import Accounts
from control_plane.accounts.service import create_admin
from control_plane.dependencies import SESSION_COOKIE
from tests.control_plane.portal.site import PASSWORD, Site


async def test_a_stranger_is_sent_to_the_login_and_back_to_where_they_wanted(site: Site) -> None:
    answer = await site.get("/admin/cleanup")

    assert answer.status_code == 303
    assert answer.headers["location"] == "/admin/login?next=/admin/cleanup"
    page = await site.get("/admin/login?next=/admin/cleanup")
    assert 'value="/admin/cleanup"' in page.text


async def test_a_wrong_password_is_said_plainly_and_never_sent_back(site: Site) -> None:
    await create_admin(accounts=Accounts(site.database))

    answer = await site.post("/admin/login", {"username": "admin", "password": "guess-guess"})

    assert answer.status_code == 401
    assert "El usuario o la contraseña no son correctos." in answer.text
    assert 'value="admin"' in answer.text
    assert "guess-guess" not in answer.text
    assert SESSION_COOKIE not in site.browser.cookies


async def test_a_one_time_password_opens_nothing_but_its_own_change(site: Site) -> None:
    one_time = await create_admin(accounts=Accounts(site.database))
    await site.post("/admin/login", {"username": "admin", "password": one_time})

    for path in ("/admin", "/admin/clients/new", "/admin/account", "/admin/cleanup"):
        answer = await site.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/admin/password")

    typed = {"current_password": one_time, "new_password": PASSWORD, "repeat_password": "another one entirely"}
    assert "Las dos no son iguales." in (await site.post("/admin/password", typed)).text
    short = {"current_password": one_time, "new_password": "short", "repeat_password": "short"}
    assert "al menos 12 caracteres" in (await site.post("/admin/password", short)).text
    typed["repeat_password"] = PASSWORD
    assert (await site.post("/admin/password", typed)).headers["location"] == "/admin"
    assert (await site.get("/admin")).status_code == 200


async def test_too_many_attempts_are_told_to_wait(site: Site) -> None:
    await create_admin(accounts=Accounts(site.database))
    guess = {"username": "admin", "password": "guess-guess"}

    answers = [await site.post("/admin/login", guess) for _ in range(8)]

    assert answers[0].status_code == 401
    assert answers[-1].status_code == 429
    assert answers[-1].headers["retry-after"] == "60"
    assert "Demasiados intentos. Esperá un minuto" in answers[-1].text


async def test_a_form_without_its_token_or_from_another_site_is_refused(portal: Site) -> None:
    bare = await portal.browser.post("/admin/cleanup/force", data={})
    foreign = await portal.post("/admin/cleanup/force", headers={"Sec-Fetch-Site": "cross-site"})
    stolen = await portal.browser.post("/admin/cleanup/force", data={"form_token": "x" * 32})

    assert [bare.status_code, foreign.status_code, stolen.status_code] == [403, 403, 403]
    assert await portal.database["cleanup_runs"].count_documents({}) == 0


async def test_the_login_leads_to_no_other_site(site: Site) -> None:
    await site.log_in()
    await site.post("/admin/logout")

    for there in ("//evil.example/", "https://evil.example/", "/admin/\\evil.example", "/adminevil"):
        answer = await site.post("/admin/login", {"username": "admin", "password": PASSWORD, "next": there})
        assert answer.headers.get("location", "/admin") == "/admin"
        await site.post("/admin/logout")


async def test_logging_out_ends_the_session_itself(portal: Site) -> None:
    token = portal.browser.cookies[SESSION_COOKIE]

    answer = await portal.post("/admin/logout")

    assert answer.headers["location"] == "/admin/login"
    assert SESSION_COOKIE not in portal.browser.cookies
    portal.browser.cookies.set(SESSION_COOKIE, token, domain="127.0.0.1")
    assert (await portal.get("/admin")).headers["location"].startswith("/admin/login")


async def test_live_parts_of_an_ended_session_lead_to_the_login(site: Site) -> None:
    fragment = await site.get("/admin/fragment", headers={"HX-Request": "true"})
    events = await site.get("/admin/events", headers={"Accept": "text/event-stream"})

    assert fragment.status_code == 401
    assert fragment.headers["hx-redirect"].startswith("/admin/login")
    # 204 tells a browser's event source to stop asking.
    assert events.status_code == 204


async def test_session_cookies_are_kept_from_scripts_and_other_sites(site: Site) -> None:
    await site.log_in()
    await site.post("/admin/logout")
    answer = await site.post("/admin/login", {"username": "admin", "password": PASSWORD})

    cookies = [header for header in answer.headers.get_list("set-cookie") if header.startswith(SESSION_COOKIE)]
    assert len(cookies) == 1
    assert "HttpOnly" in cookies[0]
    assert "SameSite=lax" in cookies[0]


async def test_the_pages_speak_the_language_that_was_chosen(site: Site) -> None:
    assert "Ingresar" in (await site.get("/admin/login")).text
    assert "Log in" in (await site.get("/admin/login?lang=en")).text
    assert "Log in" in (await site.get("/admin/login")).text
    site.browser.cookies.clear()
    assert "Log in" in (await site.get("/admin/login", headers={"Accept-Language": "fr, en;q=0.8, es;q=0.5"})).text
