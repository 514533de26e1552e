"""The JSON API keeps to its own description, whatever it is sent, by whomever."""

from pathlib import Path

from pydantic import SecretStr

from control_plane.clients.stored_secrets import read_runner_token
from tenant_runner.app import create_app
from tests.control_plane.site import Site
from tests.schemathesis_run import find_failures
from tests.tenant_runner.http_server import HttpServer
from tests.tenant_runner.test_app import StubService


async def test_with_a_key_nothing_breaks_the_description(site: Site, tmp_path: Path) -> None:
    client = await site.create()
    description = (await site.visitor.get("/openapi.json")).json()
    runner = HttpServer(create_app(StubService(), SecretStr(read_runner_token(client, site.cipher))), client.port)
    await runner.start()
    try:
        assert not await find_failures(
            description,
            str(site.visitor.base_url),
            tmp_path,
            headers={"X-Api-Key": site.api.headers["X-Api-Key"]},
            parameters={"client_id": client.id, "slug": client.slug},
            not_covered=("/api/admin/clients", "/api/admin/clients/{client_id}"),
        )
    finally:
        await runner.stop()


async def test_without_a_key_nothing_breaks_it_and_nothing_is_changed(site: Site, tmp_path: Path) -> None:
    client = await site.create()
    description = (await site.visitor.get("/openapi.json")).json()
    for path in list(description["paths"]):
        if path.startswith("/api/client/"):
            # Those are open to whoever has the link.
            del description["paths"][path]
    assert not await find_failures(
        description,
        str(site.visitor.base_url),
        tmp_path,
        parameters={"client_id": client.id},
        examples=1,
        coverage=False,
    )
    assert await site.clients.list() == [client]


async def test_every_route_says_what_it_may_refuse(site: Site) -> None:
    description = (await site.visitor.get("/openapi.json")).json()
    answers = {
        f"{method.upper()} {path}": set(operation["responses"])
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    }
    for route, statuses in answers.items():
        assert "503" in statuses, route
        if route.split()[1].startswith(("/api/admin/", "/api/clients/")):
            assert statuses >= {"401", "403"}, route
        if not route.startswith("GET"):
            assert statuses >= {"409", "422", "429"}, route
    assert {"404", "502"} <= answers["POST /api/clients/{client_id}/send"]
    assert "security" in description["paths"]["/api/admin/clients"]["get"]
    assert "security" not in description["paths"]["/api/client/{slug}/status"]["get"]
