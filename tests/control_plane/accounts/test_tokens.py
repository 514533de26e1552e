"""Access tokens, refresh tokens and keys of programs."""

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta

import httpx2
import pyotp
from joserfc import jwt
from joserfc.jwk import OctKey

from control_plane.accounts import people
from control_plane.accounts.access_tokens import ACCESS_LASTS, ALGORITHM, ISSUER, SigningKey
from control_plane.accounts.repository import Accounts
from control_plane.accounts.roles import Role
from control_plane.accounts.service import Visitor, change_password
from control_plane.leases import Leases
from control_plane.security import place
from tests.control_plane.accounts.hands import PASSWORD, enrol, fill, log_in
from tests.control_plane.site import Site

CLIENTS = "/api/admin/clients"


async def enter(browser: httpx2.AsyncClient, name: str = "ana", **fields: str) -> httpx2.Response:
    return await browser.post("/api/auth/login", json={"username": name, "password": PASSWORD, **fields})


async def exchange(browser: httpx2.AsyncClient, token: str) -> httpx2.Response:
    return await browser.post("/api/auth/refresh", json={"refresh_token": token})


async def read(browser: httpx2.AsyncClient, access_token: str) -> int:
    answer = await browser.get(CLIENTS, headers={"Authorization": f"Bearer {access_token}"})
    return answer.status_code


async def test_a_program_logs_in_and_works_as_that_account(site: Site) -> None:
    await enrol(site, "ana", Role.VIEWER)
    async with site.browser() as browser:
        tokens = (await enter(browser)).json()
        assert tokens["token_type"] == "Bearer"
        assert tokens["expires_in"] == ACCESS_LASTS.total_seconds()
        assert await read(browser, tokens["access_token"]) == 200
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert (await browser.post("/api/admin/cleanup/force", headers=headers)).status_code == 403
        # It is for the API alone.
        assert (await browser.get("/admin", headers=headers)).status_code == 303
        stored = str(await site.database["account_sessions"].find().to_list())
        assert tokens["refresh_token"] not in stored
        wrong = await browser.post("/api/auth/login", json={"username": "ana", "password": "wrong-wrong"})
        assert (wrong.status_code, wrong.json()["type"]) == (401, "/problems/wrong-credentials")
        assert "wrong-wrong" not in wrong.text


async def test_a_refresh_token_that_is_used_again_ends_its_whole_family(site: Site) -> None:
    await enrol(site, "ana")
    async with site.browser() as browser:
        first, other = (await enter(browser)).json(), (await enter(browser)).json()
        second = (await exchange(browser, first["refresh_token"])).json()
        assert await read(browser, second["access_token"]) == 200
        stolen = await exchange(browser, first["refresh_token"])
        assert (stolen.status_code, stolen.json()["type"]) == (401, "/problems/refresh-refused")
        assert (await exchange(browser, second["refresh_token"])).status_code == 401
        assert [await read(browser, tokens["access_token"]) for tokens in (first, second)] == [401, 401]
        # Another log-in of the same account goes on.
        assert await read(browser, other["access_token"]) == 200


async def test_of_two_exchanges_at_once_one_succeeds(site: Site) -> None:
    await enrol(site, "ana")
    async with site.browser() as browser:
        token = (await enter(browser)).json()["refresh_token"]
        answers = await asyncio.gather(*(exchange(browser, token) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]


async def test_what_ends_a_session_ends_its_access_token_at_once(site: Site) -> None:
    ana = await enrol(site, "ana", Role.ADMIN)
    boss, accounts = await enrol(site, "duena"), Accounts(site.database)
    async with site.browser() as browser:

        async def log_out(refresh_token: str) -> None:
            for _ in range(2):
                answer = await browser.post("/api/auth/logout", json={"refresh_token": refresh_token})
                assert answer.status_code == 204

        async def change(_: str) -> None:
            await change_password(ana, PASSWORD, "otra contraseña larga", Visitor("x"), accounts=accounts, hours=1)
            await accounts.update(ana.id, password_hash=ana.password_hash)

        async def demote(_: str) -> None:
            await people.change_role(ana, Role.VIEWER, boss, accounts=accounts, leases=Leases(site.database))

        async def disable(_: str) -> None:
            await people.disable(ana, boss, accounts=accounts, leases=Leases(site.database))

        for end in (log_out, change, demote, disable):
            tokens = (await enter(browser)).json()
            assert await read(browser, tokens["access_token"]) == 200
            await end(tokens["refresh_token"])
            assert await read(browser, tokens["access_token"]) == 401, end
            assert (await exchange(browser, tokens["refresh_token"])).status_code == 401, end


async def test_forged_and_old_access_tokens_open_nothing(site: Site) -> None:
    await enrol(site, "ana")
    async with site.browser() as browser:
        good = (await enter(browser)).json()["access_token"]
        claims = json.loads(base64.urlsafe_b64decode(good.split(".")[1] + "=="))
        key = await site.app.state.signing_key.load()
        past = int((datetime.now(UTC) - timedelta(minutes=1)).timestamp())
        unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=") + "." + good.split(".")[1] + "."
        forged = [
            jwt.encode({"alg": ALGORITHM}, claims, OctKey.import_key(b"another key, thirty-two bytes or more")),
            jwt.encode({"alg": ALGORITHM}, claims | {"exp": past}, key),
            jwt.encode({"alg": ALGORITHM}, claims | {"iss": "somebody"}, key),
            jwt.encode({"alg": ALGORITHM}, claims | {"sid": {"$ne": None}}, key),
            jwt.encode({"alg": ALGORITHM}, {"iss": ISSUER, "sub": claims["sub"], "exp": claims["exp"]}, key),
            unsigned,
            "nonsense",
        ]
        assert [await read(browser, token) for token in forged] == [401] * len(forged)
        assert await read(browser, good) == 200
        assert key.as_dict(private=True)["k"] not in str(await site.database["signing_keys"].find().to_list())


async def test_a_lost_key_for_access_tokens_is_made_anew(site: Site) -> None:
    await enrol(site, "ana")
    async with site.browser() as browser:
        old = (await enter(browser)).json()["access_token"]
        lost = site.cipher.encrypt("ff" * 32, "of another place")
        await site.database["signing_keys"].update_one({}, {"$set": {"key_encrypted": lost}})
        site.app.state.signing_key = SigningKey(site.database, site.cipher)
        new = (await enter(browser)).json()["access_token"]
        assert [await read(browser, token) for token in (old, new)] == [401, 200]


async def test_a_second_factor_is_asked_for_here_too(site: Site) -> None:
    ana = await enrol(site, "ana")
    secret = pyotp.random_base32()
    encrypted = site.cipher.encrypt(secret, place("accounts", ana.id, "totp_secret_encrypted"))
    await Accounts(site.database).update(ana.id, totp_secret_encrypted=encrypted)
    async with site.browser() as browser:
        bare = await enter(browser)
        assert (bare.status_code, bare.json()["type"]) == (401, "/problems/second-factor-needed")
        assert (await enter(browser, totp="000000")).json()["type"] == "/problems/wrong-code"
        assert (await enter(browser, totp=pyotp.TOTP(secret).now())).status_code == 200


async def test_a_one_time_password_opens_no_api(site: Site) -> None:
    async with site.browser() as browser:
        answer = await browser.post("/api/auth/login", json={"username": "admin", "password": site.password})
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/password-change-needed")


async def test_a_key_is_shown_once_its_use_is_seen_and_it_can_be_revoked(site: Site) -> None:
    await enrol(site, "ana", Role.ADMIN)
    async with site.browser() as browser:
        await log_in(browser, "ana")
        bare = await fill(browser, "/admin/api-keys", "/admin/people", name="tienda")
        assert bare.status_code == 422
        made = await fill(browser, "/admin/api-keys", "/admin/people", name="tienda", scope="clients:read")
        key = made.text.partition('id="new-key" value="')[2].partition('"')[0]
        assert key.startswith("flame_")
        page = (await browser.get("/admin/people")).text
        assert key not in page
        assert key not in str(await site.database["account_api_keys"].find().to_list())
        assert "nunca se usó" in page
        async with site.browser() as program:
            program.headers["X-Api-Key"] = key
            assert (await program.get(CLIENTS)).status_code == 200
            assert (await program.post("/api/admin/cleanup/force")).status_code == 403
            assert "usada por última vez" in (await browser.get("/admin/people")).text.partition('id="keys"')[2]
            stored = await site.database["account_api_keys"].find_one({"name": "tienda"})
            assert stored is not None
            await fill(browser, f"/admin/api-keys/{stored['id']}/revoke", "/admin/people")
            assert (await program.get(CLIENTS)).status_code == 401
