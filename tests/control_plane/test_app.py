"""The web process as a whole: its health, its errors, and a database that is not there."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from fastapi import APIRouter
from pydantic import SecretStr
from pymongo.errors import OperationFailure

from control_plane import embedded_database
from control_plane.leases import SCHEDULER, Leases
from control_plane.settings import Settings
from tests.conftest import wait_for
from tests.control_plane.site import Site, change, serve

PAGE = {"Accept": "text/html"}


async def test_health_says_whether_the_scheduler_is_alive(site: Site) -> None:
    before = (await site.visitor.get("/health")).json()
    await Leases(site.database).acquire(SCHEDULER, "somebody", 30)
    response = await site.visitor.get("/health")
    assert before["status"] == "degraded"
    assert response.status_code == 200
    assert response.json() == {**before, "status": "ok", "scheduler": "running"}


class DatabaseServer:
    """An embedded database that a test starts and stops."""

    def __init__(self, directory: Path, port: int) -> None:
        self.uri = embedded_database.prepare(directory, port=port)
        self._command = embedded_database.server_command(directory, port)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None


@pytest.fixture
def database_server(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[DatabaseServer]:
    server = DatabaseServer(tmp_path / "database", free_port())
    yield server
    server.stop()


async def test_the_web_process_starts_without_a_database_and_mends_itself(
    settings: Settings, database_server: DatabaseServer
) -> None:
    alone = change(settings, mongodb_uri=SecretStr(database_server.uri))
    base_url = f"http://127.0.0.1:{settings.port}"
    async with serve(alone) as app, httpx2.AsyncClient(base_url=base_url, timeout=30, trust_env=False) as visitor:
        clients = app.state.database["clients"]

        async def is_ready() -> bool:
            return (await visitor.get("/health")).status_code == 200 and "slug_1" in await clients.index_information()

        health = await visitor.get("/health")
        problem = await visitor.get("/api/admin/clients", headers={"X-Api-Key": "any"})
        page = await visitor.get("/admin", headers=PAGE | {"Cookie": "flame_session=any"})
        assert health.status_code == 503
        assert health.json()["database"] == "unavailable"
        assert problem.status_code == 503
        assert problem.headers["content-type"] == "application/problem+json"
        assert problem.headers["retry-after"]
        assert problem.json()["type"] == "/problems/database-unavailable"
        assert page.status_code == 503
        assert page.headers["content-type"].startswith("text/html")

        database_server.start()
        await wait_for(is_ready, what="healthy, with indexes")
        database_server.stop()
        assert (await visitor.get("/health")).status_code == 503
        database_server.start()
        await wait_for(is_ready, what="healthy again")


async def test_a_fault_is_a_problem_with_the_requests_id_and_nothing_of_the_cause(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    router = APIRouter()

    @router.get("/api/fault")
    async def fail() -> None:
        raise RuntimeError("the cause sk-abcdefgh")

    @router.get("/api/refused")
    async def refuse() -> None:
        raise OperationFailure("the query is wrong", code=2)

    site.app.include_router(router)
    for path in ("/api/fault", "/api/refused"):
        response = await site.visitor.get(path, headers={"X-Request-Id": "request-12345"})
        assert response.status_code == 500
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert response.json()["type"] == "/problems/unexpected"
        assert response.json()["request_id"] == response.headers["x-request-id"] == "request-12345"
        assert "cause" not in response.text
    assert any(record.message == "request failed" for record in caplog.records)


async def test_an_address_that_is_nothing_is_a_problem_for_programs_and_a_page_for_people(site: Site) -> None:
    problem = await site.visitor.get("/api/nothing")
    page = await site.visitor.get("/nothing", headers=PAGE)
    assert (problem.status_code, problem.headers["content-type"]) == (404, "application/problem+json")
    assert page.status_code == 404
    assert "<html" in page.text


async def test_every_answer_names_its_request(site: Site) -> None:
    given = await site.visitor.get("/health", headers={"X-Request-Id": "abcdefgh-1"})
    made = await site.visitor.get("/health", headers={"X-Request-Id": "not one\tof ours"})
    assert given.headers["x-request-id"] == "abcdefgh-1"
    assert len(made.headers["x-request-id"]) == 16


async def test_the_request_log_holds_no_landing_link(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    client = await site.create()
    caplog.set_level("DEBUG")
    await site.visitor.get(f"/api/client/{client.slug}/status")
    await site.visitor.get(f"/client/{client.slug}", headers=PAGE)
    lines = [record.__dict__ for record in caplog.records if record.name.startswith("control_plane")]
    assert any(line.get("route") == "/api/client/{slug}/status" for line in lines)
    assert client.slug not in str(lines)


async def test_the_api_documents_itself(site: Site) -> None:
    document = (await site.visitor.get("/openapi.json")).json()
    assert "/api/admin/clients/{client_id}/toggle" in document["paths"]
    assert "/internal/runner/events" not in document["paths"]


async def test_no_page_may_be_framed_or_run_a_foreign_script(site: Site) -> None:
    client = await site.create()
    for path in ("/admin/login", f"/client/{client.slug}", "/nothing", "/api/nothing"):
        headers = (await site.visitor.get(path)).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    # The landing link must not travel on.
    assert (await site.visitor.get(f"/client/{client.slug}")).headers["referrer-policy"] == "no-referrer"
