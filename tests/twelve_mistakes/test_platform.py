"""Mistakes 7, 8, 10 and 11: what the platform shows, starts and lets in."""

import asyncio
import os
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from pydantic import SecretStr

from control_plane.clients.models import Client, StoredAutomaticAssistant
from control_plane.clients.stored_secrets import read_runner_token
from control_plane.runners.launchers.base import ObservedRunner, ProcessState
from control_plane.runners.models import Heard, Runner
from control_plane.runners.starts import StartQueue, find_starting
from control_plane.sessions.repository import ClientSession
from control_plane.settings import Settings
from tenant_runner.app import create_app
from tests.conftest import find_free_port
from tests.control_plane.internal.test_events import scan, working
from tests.control_plane.site import Site, message
from tests.tenant_runner.http_server import HttpServer
from tests.tenant_runner.test_app import TOKEN, StubService

GUESSES = ("admin", "password", "changeme", "change-me", "secret", "mude-me", "0" * 32)


async def test_7_a_code_that_is_told_again_and_again_is_one_change_for_the_pages(site: Site) -> None:
    client = await site.create()
    runner = site.runner(client)
    await runner.deliver(session=scan())
    shown = await ClientSession(site.database, client.id).get()
    for _ in range(50):
        await runner.deliver(session=scan())
    again = await ClientSession(site.database, client.id).get()
    assert (again.version, again.updated_at) == (shown.version, shown.updated_at)


async def test_8_a_runner_that_is_silent_is_not_shown_as_connected(site: Site) -> None:
    client = await site.create()
    await site.runner(client).deliver(session=working())
    status = (await site.visitor.get(f"/api/client/{client.slug}/status")).json()
    assert status["state"] == "WORKING"
    long_ago = datetime.now(UTC) - timedelta(minutes=10)
    await site.database["client_sessions"].update_one({"_id": client.id}, {"$set": {"heard_at": long_ago}})
    await site.database["clients"].update_one({"_id": client.id}, {"$set": {"updated_at": long_ago}})
    page = (await site.visitor.get(f"/client/{client.slug}")).text
    assert 'data-situation="silent"' in page


def test_10_after_a_reboot_few_of_many_sessions_start_at_once() -> None:
    began = datetime(2026, 11, 21, 12, tzinfo=UTC)
    clients = [
        Client(
            id=f"c{number}",
            name="x",
            email="x@example.com",
            port=3001 + number,
            environment="production",
            assistant=StoredAutomaticAssistant(default_answer="hola"),
            retention_hours=24,
            runner_token_encrypted="x",
            runner_token_hash=f"{number}",
            updated_at=began + timedelta(seconds=number),
        )
        for number in range(50)
    ]
    places = Settings(_env_file=None).start_places
    assert 2 <= places <= max(2, os.cpu_count() or 1)
    up: list[str] = []
    heard: dict[str, Heard] = {}
    while len(up) < len(clients):
        now = datetime.now(UTC)
        observed = [ObservedRunner(i, ProcessState.RUNNING, run="1", started_at=now) for i in up]
        starting = len(find_starting(observed, heard))
        waiting = [(client, Runner(client_id=client.id)) for client in clients if client.id not in up]
        queue = StartQueue(places - starting, waiting, now)
        started = [client.id for client, _ in waiting if queue.count_before(client.id) is None]
        assert len(started) + starting <= places
        assert started == [client.id for client, _ in waiting][: len(started)]
        assert queue.count_before(clients[-1].id) in (None, len(waiting) - len(started) - 1)
        up += started
        # All but one of those that started have their sessions up.
        later = datetime.now(UTC) + timedelta(hours=1)
        heard |= {client_id: Heard(later) for client_id in up[: len(up) - 1 or 1]}
    assert len(set(up)) == 50


async def test_11_no_password_or_key_comes_with_the_product(site: Site) -> None:
    for guess in GUESSES:
        for headers in ({"X-Api-Key": guess}, {"Authorization": f"Bearer {guess}"}):
            assert (await site.visitor.get("/api/admin/clients", headers=headers)).status_code == 401
        assert (await site.visitor.get("/internal/runner/config", headers={"X-Api-Key": guess})).status_code == 401
    one, two = await site.create("Uno"), await site.create("Dos")
    secrets = [read_runner_token(client, site.cipher) for client in (one, two)]
    assert len({*secrets, one.slug, two.slug}) == 4
    assert all(len(secret) >= 32 for secret in secrets)


async def test_11_a_wrong_secret_is_refused_and_nothing_goes_on(site: Site) -> None:
    client = await site.create()
    runner = site.runner(client)
    runner.headers = {"X-Api-Key": "wrong"}
    assert (await runner.deliver(message(1, "a"), session=working())).status_code == 401
    assert await site.database["client_messages"].count_documents({}) == 0
    assert (await ClientSession(site.database, client.id).get()).version == -1
    toggled = await site.visitor.post(f"/api/admin/clients/{client.id}/toggle", headers={"X-Api-Key": "wrong"})
    assert toggled.status_code == 401
    unchanged = await site.clients.get(client.id)
    assert unchanged is not None
    assert unchanged.wanted == client.wanted


async def test_11_no_address_ends_a_process(site: Site) -> None:
    runner = HttpServer(create_app(StubService(), SecretStr(TOKEN)), port := find_free_port())
    await runner.start()
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as visitor:
            for http, health in ((visitor, "/health"), (site.visitor, "/health")):
                for path in ("/unhealthy", "/shutdown", "/exit", "/restart"):
                    for method in ("GET", "POST"):
                        assert (await http.request(method, path)).status_code in (404, 405)
                assert (await http.get(health)).status_code in (200, 503)
    finally:
        await runner.stop()


async def test_11_a_code_is_shown_on_its_own_clients_page_alone(site: Site) -> None:
    one, two = await site.create("Uno"), await site.create("Dos")
    await asyncio.gather(site.runner(one).deliver(session=scan(version=7)), site.runner(two).deliver(session=working()))
    assert (await site.visitor.get(f"/api/client/{one.slug}/qr")).status_code == 200
    assert (await site.visitor.get(f"/api/client/{two.slug}/qr")).status_code != 200
    assert "/qr" not in (await site.visitor.get(f"/client/{two.slug}")).text
    for path in (f"/api/client/{two.slug}/status", f"/client/{two.slug}", "/api/admin/clients"):
        answer = await site.api.get(path)
        assert "2@the-code" not in answer.text


@pytest.mark.parametrize("path", ["/api/client/{}/qr", "/api/client/{}/status", "/client/{}"])
async def test_11_a_link_that_is_guessed_shows_nothing(site: Site, path: str) -> None:
    client = await site.create()
    await site.runner(client).deliver(session=scan())
    assert (await site.visitor.get(path.format(client.id))).status_code == 404
    other = "a" if client.slug[-1] != "a" else "b"
    assert (await site.visitor.get(path.format(client.slug[:-1] + other))).status_code == 404
