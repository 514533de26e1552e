"""The web process on a real port, a browser without scripts, and runners and providers that answer over HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from control_plane.accounts.models import AccountSession
from control_plane.accounts.repository import Accounts
from control_plane.accounts.service import create_admin
from control_plane.app import create_app
from control_plane.clients import service
from control_plane.clients.models import AutomaticAssistantRequest, Client, NewClient
from control_plane.clients.repository import Clients
from control_plane.clients.stored_secrets import read_runner_token
from control_plane.database import Database
from control_plane.dependencies import SESSION_COOKIE
from control_plane.security import hash_token, new_token, open_cipher
from control_plane.sessions.repository import ClientSession
from control_plane.settings import Settings
from control_plane.web import FORM_COOKIE, FORM_FIELD
from tenant_runner.contract import SessionReason, SessionState
from tests.conftest import wait_for
from tests.control_plane.site import NO_AUTHORITIES
from tests.log_scan import remember_secret

PASSWORD = "a long password of one's own"
STATES = {
    SessionReason.CODE_SHOWN: SessionState.SCAN_QR_CODE,
    SessionReason.LINK_CODE_SHOWN: SessionState.SCAN_QR_CODE,
    SessionReason.CODE_EXPIRED: SessionState.SCAN_QR_CODE,
    SessionReason.WRONG_NUMBER: SessionState.SCAN_QR_CODE,
    SessionReason.UNLINKED: SessionState.SCAN_QR_CODE,
    SessionReason.CONNECTED: SessionState.WORKING,
    SessionReason.DEGRADED: SessionState.WORKING,
    SessionReason.PASSKEY: SessionState.PASSKEY_REQUIRED,
    SessionReason.STOPPED: SessionState.STOPPED,
    SessionReason.PREPARING: SessionState.STARTING,
    SessionReason.SYNCING: SessionState.STARTING,
    SessionReason.RECONNECTING: SessionState.STARTING,
    SessionReason.CONFLICT: SessionState.FAILED,
    SessionReason.RESTRICTED: SessionState.FAILED,
    SessionReason.PAGE_UNREACHABLE: SessionState.FAILED,
    SessionReason.PAGE_UNSUPPORTED: SessionState.FAILED,
    SessionReason.BROWSER_FAILED: SessionState.FAILED,
}


@contextlib.asynccontextmanager
async def serve(app: FastAPI, port: int) -> AsyncIterator[str]:
    """The application on a real port of loopback."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", timeout_graceful_shutdown=5))
    running = asyncio.create_task(server.serve())
    try:
        await wait_for(lambda: server.started, what="the server to start")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await asyncio.wait_for(running, 60)


class Site:
    """The portal and the landing pages, seen by one browser that runs no scripts."""

    def __init__(self, base_url: str, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        self.clients = Clients(database)
        self.cipher = open_cipher(settings)
        self.browser = httpx2.AsyncClient(
            base_url=base_url, timeout=30, verify=NO_AUTHORITIES, headers={"Accept-Language": "es-AR"}
        )

    async def get(self, path: str, **options: Any) -> httpx2.Response:
        return await self.browser.get(path, **options)

    async def post(self, path: str, data: dict[str, Any] | None = None, **options: Any) -> httpx2.Response:
        """Send a form as the page would: with the token that the browser was given."""
        if FORM_COOKIE not in self.browser.cookies:
            await self.get("/admin?lang=es", follow_redirects=True)
        token = self.browser.cookies[FORM_COOKIE]
        return await self.browser.post(path, data={FORM_FIELD: token, **(data or {})}, **options)

    async def log_in(self) -> None:
        """Log in and choose a password, as the admin does on the first day."""
        one_time = await create_admin(accounts=Accounts(self.database))
        remember_secret("a password", one_time or PASSWORD)
        remember_secret("a password", PASSWORD)
        entered = await self.post("/admin/login", {"username": "admin", "password": one_time})
        assert entered.headers["location"] == "/admin/password"
        typed = {"current_password": one_time, "new_password": PASSWORD, "repeat_password": PASSWORD}
        changed = await self.post("/admin/password", typed)
        assert changed.headers["location"] == "/admin"

    async def enter(self) -> None:
        """Be logged in already: what the log-in itself does is tested once, and its hashes take their time."""
        accounts, now = Accounts(self.database), datetime.now(UTC)
        token = remember_secret("a session's cookie", new_token())
        await accounts.insert("admin", "nobody logs in with this", must_change_password=False)
        account = await accounts.get_by_username("admin")
        assert account is not None
        until = now + timedelta(hours=1)
        await accounts.insert_session(
            AccountSession(token_hash=hash_token(token), account_id=account.id, created_at=now, expires_at=until)
        )
        self.browser.cookies.set(SESSION_COOKIE, token, domain="127.0.0.1")

    async def add_client(self, name: str = "La Espiga", **values: Any) -> Client:
        new = NewClient(
            name=name,
            email="ana@example.com",
            assistant=AutomaticAssistantRequest(default_answer="¡Gracias!"),
            **values,
        )
        client = await service.create_client(new, clients=self.clients, cipher=self.cipher, settings=self.settings)
        remember_secret("a landing link", client.slug)
        remember_secret("a runner's token", read_runner_token(client, self.cipher))
        return client

    async def report(self, client: Client, reason: SessionReason, **values: Any) -> None:
        """Store what the client's runner would have told."""
        now = datetime.now(UTC)
        facts = {"state": str(STATES[reason]), "reason": str(reason), "since": now, "heard_at": now, **values}
        await ClientSession(self.database, client.id).set(**facts)


@contextlib.asynccontextmanager
async def open_site(settings: Settings, database: Database) -> AsyncIterator[Site]:
    async with serve(create_app(settings), settings.port) as base_url:
        site = Site(base_url, settings, database)
        try:
            yield site
        finally:
            await site.browser.aclose()


class Runner:
    """Stands where a client's runner listens, and remembers what it was asked."""

    def __init__(self, token: str) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.app = FastAPI()

        @self.app.post("/{path:path}")
        async def answer(path: str, request: Request) -> JSONResponse:
            if request.headers.get("x-api-key") != token:
                return JSONResponse({"detail": "wrong token"}, 401)
            self.asked.append((path, await request.json() if await request.body() else None))
            if path == "process-message":
                return JSONResponse({"reply": "Abrimos a las <b>ocho</b>."})
            if path == "session/link-code":
                expires = datetime.now(UTC) + timedelta(seconds=180)
                return JSONResponse({"code": "ABCD1234", "expires_at": expires.isoformat()})
            return JSONResponse({}, 202)


@contextlib.asynccontextmanager
async def open_runner(site: Site, client: Client) -> AsyncIterator[Runner]:
    runner = Runner(read_runner_token(client, site.cipher))
    async with serve(runner.app, client.port):
        yield runner


def provider() -> FastAPI:
    """Stands where OpenAI lists the models of a key: `sk-good…` works, `sk-empty…` has no credit."""
    app = FastAPI()

    @app.get("/v1/models")
    async def list_models(request: Request) -> JSONResponse:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if key.startswith("sk-good"):
            return JSONResponse({"object": "list", "data": [{"id": "gpt-5-mini", "object": "model"}]})
        return JSONResponse({"error": {"code": "invalid_api_key"}}, 429 if key.startswith("sk-empty") else 401)

    return app
