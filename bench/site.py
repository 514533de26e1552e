"""The control plane's web process on a database of its own, filled without its help: what `bench.platform` measures."""

import asyncio
import itertools
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
from pydantic import SecretStr
from pymongo import AsyncMongoClient

from control_plane.accounts.models import AccountSession
from control_plane.accounts.repository import Accounts
from control_plane.clients import service as clients_service
from control_plane.clients.models import AutomaticAssistantRequest, Client, NewClient
from control_plane.clients.repository import Clients
from control_plane.clients.stored_secrets import encrypt_runner_token
from control_plane.database import Database, Document, ensure_indexes
from control_plane.dependencies import SESSION_COOKIE
from control_plane.portal.overview import keep_overview
from control_plane.ports import find_free
from control_plane.security import Cipher, hash_token, new_token, open_cipher
from control_plane.sessions.repository import Sessions
from control_plane.settings import Settings

READY_S = 60.0
# Nobody counts how often the bench asks, and nothing calls a client silent that has no runner.
GENEROUS = {
    "FLAME_API_REQUESTS_PER_MINUTE": "100000000",
    "FLAME_ACTIONS_PER_MINUTE": "100000000",
    "FLAME_UNKNOWN_LINKS_PER_MINUTE": "100000000",
    "FLAME_LOG_LEVEL": "WARNING",
    "FLAME_LAST_PORT": "60000",
}


class Site:
    """One web process, its database, and whoever visits it.

    Attributes:
        admin: a browser whose session is open.
        visitor: anybody.
    """

    def __init__(self, settings: Settings, database: Database, admin: httpx2.AsyncClient) -> None:
        self.settings = settings
        self.database = database
        self.admin = admin
        self.visitor = httpx2.AsyncClient(base_url=settings.internal_url, timeout=300, trust_env=False)
        self.cipher: Cipher = open_cipher(settings)

    async def add_client(self, name: str) -> Client:
        """As the portal makes one; nothing starts its runner."""
        new = NewClient(
            name=name, email="ana@example.com", assistant=AutomaticAssistantRequest(default_answer="Gracias.")
        )
        clients = Clients(self.database)
        return await clients_service.create_client(new, clients=clients, cipher=self.cipher, settings=self.settings)

    async def add_clients(self, count: int) -> list[Client]:
        """Many at once, each connected and heard of, as they are on a good day."""
        pattern = await self.add_client("Cliente 0000")
        made = [pattern]
        for number in range(1, count):
            client_id, token = f"{secrets.token_hex(5)}{number:04d}", new_token()
            made.append(
                pattern.model_copy(
                    update={
                        "id": client_id,
                        "name": f"Cliente {number:04d}",
                        "slug": secrets.token_urlsafe(24),
                        "port": pattern.port + number,
                        "runner_token_encrypted": encrypt_runner_token(token, client_id, self.cipher),
                        "runner_token_hash": hash_token(token),
                        "created_at": pattern.created_at + timedelta(seconds=number),
                    }
                )
            )
        rows = [{**c.model_dump(exclude={"id"}), "_id": c.id, "wanted": str(c.wanted)} for c in made[1:]]
        now = datetime.now(UTC)
        heard: Document = {
            "state": "WORKING",
            "reason": "connected",
            "since": now,
            "heard_at": now + timedelta(hours=12),
            "phone": "5491155550000",
            "last_message_at": now,
            "version": 7,
            "instance": "bench",
            "updated_at": now,
        }
        runner = {"state": "running", "since": now, "applied_restarts": 0, "run": "1-1"}
        if rows:
            await self.database["clients"].insert_many(rows, ordered=False)
        await self.database["client_sessions"].insert_many([{"_id": c.id, **heard} for c in made], ordered=False)
        await self.database["runners"].insert_many([{"_id": c.id, **runner} for c in made], ordered=False)
        return made

    async def keep_overview(self) -> None:
        """What the scheduler does at each of its passes."""
        read_at = datetime.now(UTC)
        clients = await Clients(self.database).list()
        sessions = await Sessions(self.database).list()
        await keep_overview(
            clients, sessions, read_at=read_at, database=self.database, settings=self.settings, cipher=self.cipher
        )


@asynccontextmanager
async def open_site(uri: str, directory: Path, name: str) -> AsyncIterator[Site]:
    """A web process on the database `name` of that server, which is dropped at the end."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("FLAME_", "MONGODB"))} | GENEROUS
    environment |= {
        "FLAME_DATA_DIRECTORY": str(directory),
        "FLAME_DATABASE_NAME": name,
        "FLAME_PORT": str(find_free()),
        "FLAME_SETTINGS_FILE": str(directory / "none.env"),
        "MONGODB_URI": uri,
    }
    settings = Settings(
        data_directory=directory,
        port=int(environment["FLAME_PORT"]),
        mongodb_uri=SecretStr(uri),
        database_name=name,
        last_port=60_000,
    )
    client: AsyncMongoClient[Document] = AsyncMongoClient(uri, tz_aware=True)
    database = client[name]
    await ensure_indexes(database)
    open_cipher(settings)
    token = await _open_session(Accounts(database))
    admin = httpx2.AsyncClient(
        base_url=settings.internal_url, timeout=300, trust_env=False, cookies={SESSION_COOKIE: token}
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "control_plane", "serve", env=environment)
    site = Site(settings, database, admin)
    try:
        await _until_ready(site, process)
        yield site
    finally:
        process.terminate()
        await process.wait()
        await admin.aclose()
        await site.visitor.aclose()
        await client.drop_database(name)
        await client.close()


async def _open_session(accounts: Accounts) -> str:
    token, now = new_token(), datetime.now(UTC)
    await accounts.insert("admin", "nobody logs in with this", must_change_password=False)
    account = await accounts.get_by_username("admin")
    assert account is not None
    session = AccountSession(
        token_hash=hash_token(token), account_id=account.id, created_at=now, expires_at=now + timedelta(days=1)
    )
    await accounts.insert_session(session)
    return token


async def _until_ready(site: Site, process: asyncio.subprocess.Process) -> None:
    ends = time.monotonic() + READY_S
    while process.returncode is None and time.monotonic() < ends:
        try:
            if (await site.visitor.get("/health")).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        await asyncio.sleep(0.1)
    raise AssertionError("the web process did not start")


def make_messages(client_id: str, count: int, chats: int, *, newest: datetime, first: int = 0) -> Iterator[Document]:
    """Documents of `client_messages` as events leave them, oldest first, `count` of them over that many chats."""
    for number in range(first, first + count):
        phone = f"54911{number % chats:08d}"
        ours = number // chats % 2 == 1
        yield {
            "message_id": f"{'true' if ours else 'false'}_{phone}@c.us_{number:012X}",
            "client_id": client_id,
            "chat_id": f"{phone}@c.us",
            "author": "assistant" if ours else "contact",
            "kind": "chat",
            "text": f"¿Tienen lugar mañana a las {number % 24} para {number % 7} personas? Gracias." + " ¡Sí!" * ours,
            "sent_at": newest - timedelta(seconds=first + count - number),
            "contact_name": f"Contacto {number % chats}",
            "contact_phone": phone,
            "in_reply_to": [],
            "sequence": number + 1,
        }


def make_event(document: Document, sequence: int) -> dict[str, Any]:
    """The event by which a runner tells of a message."""
    payload = {k: v for k, v in document.items() if k not in ("_id", "client_id", "sequence", "in_reply_to")}
    return {
        "id": f"evt_{sequence:032x}",
        "sequence": sequence,
        "timestamp": document["sent_at"].isoformat(),
        "payload": {"event": "message.any", **payload, "sent_at": document["sent_at"].isoformat()},
    }


def take(documents: Iterator[Document], count: int) -> list[Document]:
    """The next ones."""
    return list(itertools.islice(documents, count))


def percentile(values: Iterable[float], part: float) -> float:
    """The value below which that part of them is (0 to 1)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
