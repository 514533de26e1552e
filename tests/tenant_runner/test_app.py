"""The runner's HTTP API over real HTTP."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx2
import pytest
from pydantic import SecretStr

from tenant_runner.app import create_app
from tenant_runner.assistants.base import Rejected, TenantProblem, Unavailable
from tenant_runner.channels.base import ChannelNotReady
from tenant_runner.contract import (
    ConversationRequest,
    LinkCode,
    ProcessMessageRequest,
    PurgeReport,
    PurgeRequest,
    RunnerStatus,
    SendRequest,
    SessionChanged,
    SessionReason,
    SessionState,
)
from tenant_runner.journal.outbound import Outbound
from tenant_runner.service import NotConfigured
from tests.conftest import find_free_port
from tests.tenant_runner.http_server import HttpServer

TOKEN = "a-token-of-this-client"


class StubService:
    """Does nothing but remember, and fail when told to."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.promises: dict[str, Outbound] = {}
        self.purges: list[datetime | None] = []
        self.chats: dict[str, bool] = {}

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def status(self) -> RunnerStatus:
        now = datetime.now(UTC)
        session = SessionChanged(state=SessionState.WORKING, reason=SessionReason.CONNECTED, since=now)
        return RunnerStatus(
            client_id="c1",
            instance="i",
            started_at=now,
            config_revision=1,
            session=session,
            undelivered_events=0,
            open_turns=0,
        )

    async def send(self, request: SendRequest, key: str) -> Outbound:
        self._fail()
        new = Outbound(f"m{len(self.promises)}", request.chat_id, "agent", request.text, None, key, "prepared", None)
        return self.promises.setdefault(key, new)

    async def process_message(self, request: ProcessMessageRequest) -> str:
        self._fail()
        return f"re: {request.text}"

    async def purge(self, request: PurgeRequest) -> PurgeReport:
        self._fail()
        self.purges.append(request.before)
        return PurgeReport(messages=3)

    async def refresh_code(self) -> None:
        self._fail()

    async def link_code(self, phone: str) -> LinkCode:
        self._fail()
        return LinkCode(code="ABCD1234", expires_at=datetime.now(UTC))

    async def set_automatic(self, request: ConversationRequest) -> None:
        self._fail()
        self.chats[request.chat_id] = request.automatic

    async def logout(self) -> None:
        self._fail()


@pytest.fixture
def service() -> StubService:
    return StubService()


@pytest.fixture
async def http(service: StubService) -> AsyncIterator[httpx2.AsyncClient]:
    port = find_free_port()
    server = HttpServer(create_app(service, SecretStr(TOKEN)), port)
    await server.start()
    async with httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers={"X-Api-Key": TOKEN}, trust_env=False, timeout=60
    ) as client:
        yield client
    await server.stop()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/status"),
        ("POST", "/send"),
        ("POST", "/process-message"),
        ("POST", "/purge"),
        ("POST", "/session/refresh"),
        ("POST", "/session/logout"),
    ],
)
@pytest.mark.parametrize("token", [None, "", "wrong", f"{TOKEN}x", "ñ"])
async def test_nothing_works_without_the_token(
    http: httpx2.AsyncClient, method: str, path: str, token: str | None
) -> None:
    del http.headers["X-Api-Key"]
    headers = [] if token is None else [(b"X-Api-Key", token.encode())]
    response = await http.request(method, path, json={}, headers=headers)
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "/problems/unauthorized"


async def test_health_needs_no_token_and_tells_nothing(http: httpx2.AsyncClient) -> None:
    del http.headers["X-Api-Key"]
    response = await http.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_status_has_the_session(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/status")).json()["session"]["state"] == "WORKING"


async def test_a_repeated_key_gives_the_same_message_and_another_text_a_conflict(http: httpx2.AsyncClient) -> None:
    body = {"chat_id": "1@c.us", "text": "listo"}
    key = {"Idempotency-Key": "k1"}
    first = await http.post("/send", json=body, headers=key)
    assert first.status_code == 202
    assert (await http.post("/send", json=body, headers=key)).json() == first.json()
    assert (await http.post("/send", json={**body, "text": "otro"}, headers=key)).status_code == 409
    assert (await http.post("/send", json=body)).json() != (await http.post("/send", json=body)).json()


@pytest.mark.parametrize(
    ("failure", "status", "kind"),
    [
        (ChannelNotReady("secret"), 503, "channel-not-ready"),
        (NotConfigured(), 503, "not-configured"),
        (TenantProblem("bad_key", "secret"), 503, "assistant-problem"),
        (Unavailable("secret"), 503, "assistant-unavailable"),
        (Rejected("secret"), 422, "message-rejected"),
        (ZeroDivisionError("secret"), 500, "internal"),
    ],
)
async def test_failures_are_problems_without_anybodys_words(
    http: httpx2.AsyncClient, service: StubService, failure: Exception, status: int, kind: str
) -> None:
    service.failure = failure
    response = await http.post("/process-message", json={"contact": "web-1", "text": "hola"})
    assert (response.status_code, response.json()["type"]) == (status, f"/problems/{kind}")
    assert "secret" not in response.text


async def test_a_bad_request_is_not_repeated_to_its_sender(http: httpx2.AsyncClient) -> None:
    response = await http.post("/process-message", json={"contact": "no spaces allowed", "text": "a secret", "x": 1})
    assert response.status_code == 422
    assert "secret" not in response.text
    assert "spaces" not in response.text
    assert {error["field"] for error in response.json()["errors"]} == {"body.contact", "body.x"}


async def test_a_purge_without_a_time_is_of_everything(http: httpx2.AsyncClient, service: StubService) -> None:
    assert (await http.post("/purge", json={})).json()["messages"] == 3
    await http.post("/purge", json={"before": "2026-11-01T00:00:00Z"})
    assert service.purges == [None, datetime(2026, 11, 1, tzinfo=UTC)]
