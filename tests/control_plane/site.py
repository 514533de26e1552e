"""The web process over real HTTP, in the test's own event loop."""

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import httpx2
import uvicorn
from argon2 import PasswordHasher
from fastapi import FastAPI

from control_plane.accounts.api_keys import ApiKeys, create_api_key
from control_plane.accounts.repository import Accounts
from control_plane.accounts.service import ADMIN
from control_plane.app import create_app
from control_plane.clients.models import Client
from control_plane.clients.repository import Clients
from control_plane.clients.stored_secrets import read_api_key, read_runner_token
from control_plane.conversations.repository import Conversations
from control_plane.database import Database, ensure_indexes
from control_plane.http.server import server_config
from control_plane.security import Cipher
from control_plane.settings import Settings
from tests.log_scan import remember_secret

AUTOMATIC = {"kind": "automatic", "default_answer": "Gracias por escribir."}
ONE_TIME_PASSWORD = secrets.token_urlsafe(12)
# All is plain HTTP; to load the authorities anew for each client takes long.
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
START_DEADLINE_S = 60


@lru_cache
def _hash(password: str) -> str:
    """Hashing is slow by design: once for all tests."""
    return PasswordHasher().hash(password)


def change(settings: Settings, **values: Any) -> Settings:
    """The settings with other values."""
    return Settings(**(settings.model_dump() | values))


class _Server(uvicorn.Server):
    """Leaves signals to pytest."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serve(settings: Settings) -> AsyncIterator[FastAPI]:
    """Run the web process on the settings' port for as long as the block lasts."""
    app = create_app(settings)
    server = _Server(server_config(app, settings, timeout_graceful_shutdown=2))
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(START_DEADLINE_S):
            while not server.started:
                if task.done():
                    await task
                await asyncio.sleep(0.01)
        yield app
    finally:
        server.should_exit = True
        await task


@dataclass
class Site:
    """A running web process and hands for it.

    Attributes:
        visitor: a browser that nobody logged in with.
        api: the admin's JSON API with a valid key.
    """

    app: FastAPI
    settings: Settings
    database: Database
    visitor: httpx2.AsyncClient
    api: httpx2.AsyncClient
    password: str

    @property
    def clients(self) -> Clients:
        return Clients(self.database)

    @property
    def cipher(self) -> Cipher:
        cipher: Cipher = self.app.state.cipher
        return cipher

    def browser(self) -> httpx2.AsyncClient:
        """A new one, without cookies; close it."""
        return httpx2.AsyncClient(
            base_url=str(self.visitor.base_url), timeout=30, trust_env=False, verify=NO_AUTHORITIES
        )

    async def create(self, name: str = "Panadería Sol", **values: Any) -> Client:
        """Create a client over the API; its record."""
        body = {"name": name, "email": "ana@example.com", "assistant": AUTOMATIC, **values}
        response = await self.api.post("/api/admin/clients", json=body)
        assert response.status_code == 201, response.text
        client = await self.clients.get(response.json()["id"])
        assert client is not None
        remember_secret("a landing link", client.slug)
        remember_secret("a runner's token", read_runner_token(client, self.cipher))
        if (api_key := read_api_key(client, self.cipher)) is not None:
            remember_secret("an OpenAI key", api_key)
        return client

    def runner(self, client: Client) -> "RunnerSide":
        """The client's runner, as the control plane hears it."""
        return RunnerSide(self, read_runner_token(client, self.cipher))


class RunnerSide:
    """Posts deliveries as a runner does."""

    def __init__(self, site: Site, token: str) -> None:
        self._http = site.visitor
        self.headers = {"X-Api-Key": token}
        self.started_at = datetime.now(UTC)
        self.fence = 0

    async def start(self) -> httpx2.Response:
        """Take over, as a process that was started does."""
        response = await self._http.post("/internal/runner/start", headers=self.headers)
        self.fence = response.json().get("fence", 1)
        return response

    async def config(self) -> httpx2.Response:
        return await self._http.get("/internal/runner/config", headers=self.headers)

    async def deliver(self, *events: dict[str, Any], **values: Any) -> httpx2.Response:
        """Deliver; `values` replace those of the delivery."""
        if not self.fence and "fence" not in values:
            await self.start()
        session = {"state": "STARTING", "reason": "preparing", "since": self.started_at.isoformat()}
        body: dict[str, Any] = {
            "instance": "first",
            "fence": self.fence,
            "started_at": self.started_at.isoformat(),
            "journal_id": "journal",
            "config_revision": 1,
            "session": session,
            "events": events,
        } | values
        body["session"] = session | body["session"]
        return await self._http.post("/internal/runner/events", headers=self.headers, json=body)


def event(sequence: int, **payload: Any) -> dict[str, Any]:
    """An event of a journal; its id follows from the sequence."""
    return {
        "id": f"event-{sequence}",
        "sequence": sequence,
        "timestamp": datetime.now(UTC).isoformat(),
        "payload": payload,
    }


def message(sequence: int, message_id: str, **values: Any) -> dict[str, Any]:
    """A message of a contact."""
    payload = {
        "event": "message.any",
        "message_id": message_id,
        "chat_id": "5491122223333@c.us",
        "author": "contact",
        "text": "hola",
        "sent_at": datetime.now(UTC).isoformat(),
    }
    return event(sequence, **(payload | values))


async def store_messages(database: Database, client_id: str, documents: Iterable[dict[str, Any]]) -> None:
    """Put messages where events would have put them, with whatever values."""
    stored = [{"client_id": client_id, **document} for document in documents]
    await database["client_messages"].insert_many(stored)
    await Conversations(database, client_id).enlist(stored)


@contextlib.asynccontextmanager
async def open_site(settings: Settings, database: Database) -> AsyncIterator[Site]:
    """A site with an admin and an API key, its indexes made."""
    await ensure_indexes(database)
    accounts = Accounts(database)
    await accounts.insert(ADMIN, _hash(ONE_TIME_PASSWORD), must_change_password=True)
    remember_secret("a password", ONE_TIME_PASSWORD)
    key = remember_secret("an API key", await create_api_key(keys=ApiKeys(database)))
    base_url = f"http://127.0.0.1:{settings.port}"
    async with (
        serve(settings) as app,
        httpx2.AsyncClient(base_url=base_url, timeout=30, trust_env=False, verify=NO_AUTHORITIES) as visitor,
        httpx2.AsyncClient(
            base_url=base_url, timeout=30, trust_env=False, verify=NO_AUTHORITIES, headers={"X-Api-Key": key}
        ) as api,
    ):
        yield Site(app, settings, database, visitor, api, ONE_TIME_PASSWORD)
