"""Where the platform's own requests go: to addresses of the operator's settings, and nowhere that an answer names."""

import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from pydantic import SecretStr

from control_plane.app import create_app
from control_plane.clients.openai_key import check_key
from control_plane.runners.gateway import RunnerGateway, RunnerRefused
from control_plane.settings import REPOSITORY, Settings
from tenant_runner.assistants.base import AssistantFailure, Question
from tenant_runner.assistants.openai import OpenAIReplies
from tenant_runner.contract import OpenAIAssistant, RunnerCredentials
from tenant_runner.control_plane_client import ControlPlaneAway, ControlPlaneClient
from tenant_runner.journal import Journal, Line
from tests.conftest import find_free_port
from tests.tenant_runner.http_server import HttpServer

ADDRESS = re.compile(r"ur[il]|host|domain|endpoint|webhook|callback|proxy|server|address", re.IGNORECASE)
TOKEN = "the-token-of-the-client"


@dataclass
class Trap:
    """A service of this machine that nobody may be led to, and a server that leads there."""

    port: int
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
async def trap() -> AsyncIterator[Trap]:
    secret, leading = Trap(find_free_port()), Trap(find_free_port())
    inside, outside = FastAPI(), FastAPI()

    @inside.api_route("/{path:path}", methods=["GET", "POST", "DELETE"])
    async def answer(request: Request) -> dict[str, Any]:
        secret.asked.append(f"{request.method} {request.url.path}")
        return {"data": [{"id": "gpt-6-luna"}], "status": "ok"}

    @outside.api_route("/{path:path}", methods=["GET", "POST", "DELETE"])
    async def lead(path: str) -> RedirectResponse:
        leading.asked.append(path)
        # 307 repeats the method and the body.
        return RedirectResponse(f"http://localhost:{secret.port}/{path}", 307)

    async with contextlib.AsyncExitStack() as stack:
        for app, place in ((inside, secret), (outside, leading)):
            server = HttpServer(app, place.port)
            await server.start()
            stack.push_async_callback(server.stop)
        yield leading
        assert leading.asked
        assert secret.asked == []


async def test_trying_a_key_is_not_led_elsewhere(trap: Trap) -> None:
    check = await check_key("sk-good-0000000000", f"{trap.url}/v1")
    assert (check.valid, check.problem) == (None, "unavailable")


async def test_a_runners_gateway_is_not_led_elsewhere(trap: Trap) -> None:
    gateway = RunnerGateway(trap.port, TOKEN, timeout_s=10)
    for call in (gateway.health, gateway.status, gateway.log_out):
        with pytest.raises(RunnerRefused):
            await call()


async def test_a_runner_is_not_led_elsewhere_for_its_configuration(trap: Trap) -> None:
    credentials = RunnerCredentials(client_id="c1", control_plane_url=trap.url, token=SecretStr(TOKEN), port=3001)
    control_plane = ControlPlaneClient(credentials)
    with pytest.raises(ControlPlaneAway):
        await control_plane.fetch_config()
    await control_plane.close()


async def test_an_assistant_is_not_led_elsewhere_with_a_customers_words(trap: Trap, tmp_path: Path) -> None:
    config = OpenAIAssistant(
        api_key=SecretStr("sk-good-0000000000"), base_url=f"{trap.url}/v1", model="gpt-6-luna", instructions="Breve."
    )
    journal = await Journal.open(tmp_path / "journal.sqlite")
    replies = OpenAIReplies(config, journal.threads)
    with pytest.raises(AssistantFailure):
        await replies.answer(Question("549110000@c.us", (), (Line(1, "user", "hola"),)))
    await replies.close()
    await journal.close()


def _properties(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        for name, inner in schema.get("properties", {}).items():
            yield name, inner
        for inner in schema.values():
            yield from _properties(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _properties(inner)


def test_nobody_can_configure_an_address_that_the_platform_asks(settings: Settings) -> None:
    """There is no guard against forged requests because there is nothing to forge: no field takes an address.

    Whoever adds one (a webhook, say) makes this fail, and has to resolve and check the address before each request.
    """
    document = create_app(settings).openapi()
    asked = {
        reference.rsplit("/", 1)[1]
        for methods in document["paths"].values()
        for operation in methods.values()
        for reference in re.findall(r"#/components/schemas/\w+", str(operation.get("requestBody", "")))
    }
    schemas, known = document["components"]["schemas"], set[str]()
    while asked - known:
        name = (asked - known).pop()
        known.add(name)
        asked |= {found.rsplit("/", 1)[1] for found in re.findall(r"#/components/schemas/\w+", str(schemas[name]))}
    fields = {name: schema for model in known for name, schema in _properties(schemas[model])}
    assert {"name", "api_key", "instructions", "whatsapp_web_version"} <= fields.keys()
    assert [name for name, schema in fields.items() if ADDRESS.search(name) or "uri" in str(schema)] == []
    inputs = {
        name
        for template in (REPOSITORY / "templates" / "portal").glob("*.html")
        for name in re.findall(r"""(?:name="|field\(form, "|text_area\(form, ")([\w-]+)""", template.read_text())
    }
    assert {"api_key", "email", "retention_hours"} <= inputs
    assert [name for name in inputs if ADDRESS.search(name)] == []
