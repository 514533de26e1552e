"""Requests that no browser sends: other hosts, endless bodies, clients without haste, addresses that are not true."""

import asyncio
import json
from datetime import UTC, datetime

import httpx2
import pytest

from control_plane.clients.models import Client
from control_plane.http.rates import ACCOUNTS_PER_ADDRESS
from control_plane.sessions.repository import ClientSession
from tests.control_plane.security.conftest import SiteFactory
from tests.control_plane.security.raw import DEADLINE_S, exchange, head, read_all, status_of
from tests.control_plane.site import Site, message

EVIL = "evil.example"
SHORT_S = 0.4


# ------------------------------------------------------------------------------------------------ host


@pytest.mark.parametrize("host", [EVIL, f"{EVIL}:8001", "localhost@evil.example", "localhost.evil.example", "", "a b"])
async def test_another_host_is_refused(site: Site, host: str) -> None:
    page = await exchange(site.settings.port, head("GET /admin/login", host=host))
    problem = await exchange(site.settings.port, head("GET /api/admin/clients", host=host))
    assert status_of(page) == status_of(problem) == 400
    assert EVIL.encode() not in page + problem
    if host == EVIL:
        assert b"<html" in page
        assert b"FLAME_TRUSTED_HOSTS" in page
        assert b"/problems/unknown-host" in problem


async def test_the_names_of_the_installation_are_known(site_with: SiteFactory) -> None:
    values = {"public_url": "https://flame.example.com", "trusted_hosts": ("*.agency.example", "10.0.0.5")}
    async with site_with(**values) as site:
        port = site.settings.port
        known = ["flame.example.com", "FLAME.example.com:443", "localhost:8001", "[::1]:80", "a.b.agency.example"]
        statuses = {host: status_of(await exchange(port, head("GET /health", host=host))) for host in known}
        assert set(statuses.values()) == {200}, statuses
        assert status_of(await exchange(port, head("GET /health", host="agency.example"))) == 400
        assert status_of(await exchange(port, head("GET /health", host="10.0.0.5"))) == 200


async def test_no_link_is_built_from_what_a_request_says_of_its_host(site: Site, client: Client) -> None:
    claims = ("X-Forwarded-Host: evil.example", "Forwarded: host=evil.example", "X-Forwarded-Server: evil.example")
    for path in ("/admin/", "/admin", "/admin/login", f"/client/{client.slug}", "/nothing"):
        answer = await exchange(site.settings.port, head(f"GET {path}", *claims))
        assert status_of(answer) in (200, 303, 307, 404)
        assert EVIL.encode() not in answer
    told = await site.api.get(f"/api/admin/clients/{client.id}", headers={"Host": "127.0.0.1:9"})
    assert told.json()["landing_url"] == f"{site.settings.base_url}/client/{client.slug}"


# ------------------------------------------------------------------------------------------------ size


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(site: Site) -> None:
    length = site.settings.max_body_kb * 1024 + 1
    declared = (f"Content-Length: {length}", "Content-Type: application/x-www-form-urlencoded")
    page = await exchange(site.settings.port, head("POST /admin/login", *declared), b"username=a")
    problem = await exchange(site.settings.port, head("POST /api/admin/clients", *declared), b"{")
    unread = await exchange(site.settings.port, head("GET /nothing", *declared))
    assert [status_of(page), status_of(problem), status_of(unread)] == [413, 413, 413]
    assert b"<html" in page
    assert b"content-security-policy" in page.lower()
    assert b"/problems/body-too-large" in problem


async def test_a_body_without_a_length_is_cut_off_at_the_same_size(site_with: SiteFactory) -> None:
    async with site_with(max_body_kb=64) as site:
        chunked = ("Transfer-Encoding: chunked", "Content-Type: application/json")
        chunk = b"4000\r\n" + b"a" * 0x4000 + b"\r\n"
        within = await exchange(site.settings.port, head("POST /api/admin/clients", *chunked), chunk * 4, b"0\r\n\r\n")
        beyond = await exchange(site.settings.port, head("POST /api/admin/clients", *chunked), chunk * 4, b"1\r\na\r\n")
        assert status_of(within) in (401, 422)
        assert status_of(beyond) == 413
        assert b"/problems/body-too-large" in beyond


async def test_a_runner_may_deliver_all_that_its_contract_allows(site: Site, client: Client) -> None:
    events = [message(n, f"message-{n}", text="á" * 60_000) for n in range(1, 31)]
    assert len(json.dumps(events, ensure_ascii=False).encode()) > site.settings.max_body_kb * 1024
    answer = await site.runner(client).deliver(*events)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("line", ["GET /" + "a" * 200_000, "GET /\x01", "GET"])
async def test_a_head_that_is_no_request_is_refused(site: Site, line: str) -> None:
    assert status_of(await exchange(site.settings.port, head(line))) in (0, 400)
    many = tuple(f"X-{n}: {'a' * 1000}" for n in range(200))
    assert status_of(await exchange(site.settings.port, head("GET /health", *many))) in (0, 400)
    assert (await site.visitor.get("/health")).status_code == 200


# ------------------------------------------------------------------------------------------------ haste


async def trickle(port: int, first: bytes) -> bytes:
    """Send a byte now and then, for as long as the server takes them; what it said before it closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    said = asyncio.create_task(read_all(reader))
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not said.done():
                writer.write(b"a")
                await asyncio.sleep(SHORT_S / 10)
            return await said
    finally:
        said.cancel()
        writer.close()


async def test_a_client_that_takes_for_ever_is_given_up(site_with: SiteFactory) -> None:
    async with site_with(receive_timeout_s=SHORT_S) as site:
        port = site.settings.port
        form = "POST /admin/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        silent, no_head, no_body, after_the_answer = await asyncio.gather(
            exchange(port),
            trickle(port, b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-"),
            trickle(port, f"{form}Content-Length: 1000000\r\n\r\n".encode()),
            trickle(port, f"{form}Content-Length: 100000000\r\n\r\n".encode()),
        )
        assert (silent, no_head) == (b"", b"")
        assert status_of(no_body) == 408
        assert status_of(after_the_answer) == 413
        # The second request on a connection has a deadline too.
        request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        again = await trickle(port, request + request[:20])
        assert again.count(b"HTTP/1.1") == 1


async def test_a_stream_outlives_the_deadline_of_requests(site_with: SiteFactory) -> None:
    async with site_with(receive_timeout_s=SHORT_S) as site:
        client = await site.create()
        async with asyncio.timeout(DEADLINE_S), site.visitor.stream("GET", f"/client/{client.slug}/events") as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "event: state"
            await asyncio.sleep(4 * SHORT_S)
            await ClientSession(site.database, client.id).set(
                state="WORKING", reason="connected", since=datetime.now(UTC), heard_at=datetime.now(UTC)
            )
            async for line in lines:
                if 'data-situation="connected"' in line:
                    break
            else:
                pytest.fail("the stream ended")


# ------------------------------------------------------------------------------------------------ address


@pytest.mark.parametrize(("proxies", "believed"), [(("127.0.0.1",), "203.0.113.7"), ((), "127.0.0.1")])
async def test_an_address_is_believed_of_trusted_proxies_only(
    site_with: SiteFactory, caplog: pytest.LogCaptureFixture, proxies: tuple[str, ...], believed: str
) -> None:
    caplog.set_level("DEBUG")
    async with site_with(trusted_proxies=proxies) as site:
        # What the visitor claims itself stands before what the proxy adds.
        headers = {"X-Forwarded-For": "198.51.100.1, 203.0.113.7", "X-Forwarded-Proto": "https"}
        answer = await site.visitor.get("/admin/login", headers=headers)
    lines = [record.__dict__ for record in caplog.records if record.message == "request was answered"]
    assert [line["address"] for line in lines if line["route"] == "/admin/login"] == [believed]
    assert ("strict-transport-security" in answer.headers) is bool(proxies)


# ------------------------------------------------------------------------------------------------ rate


async def test_an_account_that_asks_too_often_waits_and_others_do_not(site_with: SiteFactory, one_minute: None) -> None:
    async with site_with(api_requests_per_minute=4) as site:
        client = await site.create()
        runner = site.runner(client)
        statuses = [(await site.api.get("/api/admin/clients")).status_code for _ in range(4)]
        refused = await site.api.get("/api/admin/clients")
        assert statuses == [200, 200, 200, 429]
        assert refused.json()["type"] == "/problems/too-many-requests"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert (await site.visitor.get(f"/api/client/{client.slug}/status")).status_code == 200
        assert {(await runner.config()).status_code for _ in range(40)} == {200}


async def test_an_address_that_asks_too_often_waits_and_others_do_not(site_with: SiteFactory, one_minute: None) -> None:
    async with site_with(api_requests_per_minute=2, actions_per_minute=2) as site:
        most = 2 * ACCOUNTS_PER_ADDRESS
        one, other = {"X-Forwarded-For": "2001:db8::1"}, {"X-Forwarded-For": "2001:db8:0:1::1"}
        neighbour = {"X-Forwarded-For": "2001:db8::ffff"}

        async def ask(headers: dict[str, str], *, page: bool = False) -> httpx2.Response:
            if page:
                return await site.visitor.post("/admin/login", headers=headers)
            return await site.visitor.get("/api/admin/clients", headers=headers)

        for page, before in ((False, 401), (True, 403)):
            statuses = [(await ask(one, page=page)).status_code for _ in range(most)]
            refused = await ask(neighbour, page=page)
            assert statuses == [before] * most
            assert refused.status_code == 429
            assert refused.headers["retry-after"]
            assert ("<html" in refused.text) is page
            assert (await ask(other, page=page)).status_code == before
        # Pages are read as often as one likes.
        assert {(await site.visitor.get("/admin/login", headers=one)).status_code for _ in range(20)} == {200}
