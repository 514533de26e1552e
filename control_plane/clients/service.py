"""What admins do with clients."""

import logging
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict

from control_plane.audit.act import NOTHING, current_act
from control_plane.clients.configuration import find_environment
from control_plane.clients.facts import facts
from control_plane.clients.models import (
    AssistantRequest,
    Client,
    ClientChanges,
    NewClient,
    OpenAIAssistantRequest,
    Overrides,
    StoredAssistant,
    StoredAutomaticAssistant,
    StoredOpenAIAssistant,
    Wanted,
    new_id,
    new_slug,
)
from control_plane.clients.openai_key import DEFAULT_MODEL, KeyCheck, check_key
from control_plane.clients.repository import Clients, PortTaken
from control_plane.clients.stored_secrets import encrypt_api_key, encrypt_runner_token, read_api_key
from control_plane.errors import NotFound, Problem
from control_plane.ports import is_free
from control_plane.runners.gateway import RunnerGateway
from control_plane.security import Cipher, hash_token, hint, new_token
from control_plane.sessions.repository import ClientSession
from control_plane.settings import Settings

logger = logging.getLogger(__name__)

# What a runner must learn of at once; the rest concerns only the portal.
_RUNNERS_FIELDS = {"name", "language", "environment", "assistant", "expected_phone", "bound_phone", "overrides"}


class ClientNotFound(NotFound):
    """There is no such client; it may have been deleted."""

    type = "/problems/client-not-found"
    title = "No such client"


class NoFreePort(Problem):
    """Every port of the configured range is in use; widen the range: FLAME_FIRST_PORT, FLAME_LAST_PORT."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    type = "/problems/no-free-port"
    title = "No free port"


class KeyRefused(Problem):
    """OpenAI refused the API key; check that it was copied whole and is active."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    type = "/problems/openai-key-refused"
    title = "OpenAI refused the key"


class KeyMissing(Problem):
    """An assistant at OpenAI needs an API key."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    type = "/problems/openai-key-missing"
    title = "The OpenAI key is missing"


class NameDoesNotMatch(Problem):
    """The typed name is not the client's; nothing was deleted."""

    status = HTTPStatus.CONFLICT
    type = "/problems/name-does-not-match"
    title = "The name does not match"


class BeingDeleted(Problem):
    """The client is being deleted; nothing of it can be changed any more."""

    status = HTTPStatus.CONFLICT
    type = "/problems/being-deleted"
    title = "The client is being deleted"


class AssistantView(BaseModel):
    """An assistant without its secret."""

    model_config = ConfigDict(frozen=True)

    kind: str
    model: str | None = None
    instructions: str | None = None
    api_key_hint: str | None = None
    rules: tuple[dict[str, Any], ...] | None = None
    default_answer: str | None = None


class ClientView(BaseModel):
    """A client as the API answers it: nothing secret but the landing link, for those who may hand it on."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    email: str
    language: str
    landing_url: str | None
    port: int
    environment: str
    assistant: AssistantView
    expected_phone: str | None
    bound_phone: str | None
    retention_hours: int
    link_expires: bool
    link_used_at: datetime | None
    overrides: Overrides
    wanted: Wanted
    deleting: bool
    created_at: datetime
    updated_at: datetime


def view(client: Client, settings: Settings, *, with_link: bool) -> ClientView:
    """What may be shown of a client; the landing link only to whoever may hand it on."""
    assistant = AssistantView(
        **{name: value for name, value in client.assistant.model_dump().items() if name != "api_key_encrypted"}
    )
    shared = client.model_dump(include=set(ClientView.model_fields) - {"assistant", "landing_url", "deleting"})
    return ClientView(
        **shared,
        assistant=assistant,
        landing_url=landing_url(client, settings) if with_link else None,
        deleting=client.deleting_since is not None,
    )


def landing_url(client: Client, settings: Settings) -> str:
    """Address of the client's landing page: a credential."""
    return f"{settings.base_url}/client/{client.slug}"


async def get_client(client_id: str, *, clients: Clients) -> Client:
    """The client of that id.

    Raises:
        ClientNotFound: no such client (404).
    """
    client = await clients.get(client_id)
    if client is None:
        raise ClientNotFound
    current_act().about(client_id=client.id, client_name=client.name)
    return client


async def create_client(new: NewClient, *, clients: Clients, cipher: Cipher, settings: Settings) -> Client:
    """Store a client with a port that is free; the reconciler starts its runner.

    Raises:
        NoFreePort: the range is exhausted (503).
        KeyMissing, KeyRefused: of an assistant at OpenAI (422).
        UnknownEnvironment: not one of the installation's (422).
    """
    environment = find_environment(new.environment or settings.all_environments[0].name, settings).name
    client_id, token = new_id(), new_token()
    assistant = await _store_assistant(new.assistant, None, client_id, environment, cipher=cipher, settings=settings)
    values: dict[str, Any] = {
        "id": client_id,
        "name": new.name,
        "email": new.email,
        "language": new.language,
        "environment": environment,
        "assistant": assistant,
        "expected_phone": new.expected_phone,
        "retention_hours": new.retention_hours or settings.retention_hours,
        "link_expires": new.link_expires,
        "overrides": new.overrides,
        "runner_token_encrypted": encrypt_runner_token(token, client_id, cipher),
        "runner_token_hash": hash_token(token),
    }
    async for port in _unused_ports(clients, settings):
        if not is_free(port):
            continue
        client = Client(**values, port=port)
        try:
            await clients.insert(client)
        except PortTaken:
            # Two admins raced. The unique index is the lock: take the next port, never ask again.
            continue
        current_act().about(client_id=client.id, client_name=client.name)
        current_act().changed(NOTHING, facts(client))
        logger.info("client was created", extra={"client_id": client.id, "port": port})
        return client
    raise NoFreePort


async def update_client(
    client_id: str, changes: ClientChanges, *, clients: Clients, cipher: Cipher, settings: Settings
) -> Client:
    """Change what the request names; the runner learns of it within a heartbeat.

    Raises:
        ClientNotFound, BeingDeleted, KeyMissing, KeyRefused, UnknownEnvironment: see there.
    """
    client = await _changeable(client_id, clients)
    given = changes.model_dump(exclude_unset=True, exclude={"assistant"})
    # Only the number may be cleared; null for any other field means the same as leaving it out.
    values = {name: value for name, value in given.items() if value is not None or name == "expected_phone"}
    if "environment" in values:
        values["environment"] = find_environment(values["environment"], settings).name
    if "overrides" in values:
        values["overrides"] = client.overrides.model_dump() | values["overrides"]
    if changes.assistant is not None:
        environment = values.get("environment", client.environment)
        stored = await _store_assistant(
            changes.assistant, client.assistant, client_id, environment, cipher=cipher, settings=settings
        )
        values["assistant"] = stored.model_dump()
    if values.get("expected_phone", client.bound_phone) not in (None, client.bound_phone):
        # The admin expects another phone than the one that linked: release the old one.
        values["bound_phone"] = None
    before = client.model_dump()
    changed = {name: value for name, value in values.items() if value != before[name]}
    if not changed:
        return client
    runner_must_know = bool(_RUNNERS_FIELDS & changed.keys())
    updated = await clients.update(client_id, changed, runner_must_know=runner_must_know)
    if updated is None:
        raise ClientNotFound
    current_act().changed(facts(client), facts(updated))
    logger.info("client was changed", extra={"client_id": client_id, "fields": sorted(changed)})
    return updated


async def set_wanted(client_id: str, wanted: Wanted, *, clients: Clients) -> Client:
    """Connect or disconnect; safe to repeat."""
    before = await _changeable(client_id, clients)
    client = await clients.want(client_id, wanted)
    if client is None:
        raise BeingDeleted
    current_act().changed(facts(before), facts(client))
    logger.info("client was switched", extra={"client_id": client_id, "wanted": str(wanted)})
    return client


async def toggle(client_id: str, *, clients: Clients) -> Client:
    """Connect what is disconnected, and the other way round."""
    client = await _changeable(client_id, clients)
    other = Wanted.DISCONNECTED if client.wanted is Wanted.CONNECTED else Wanted.CONNECTED
    return await set_wanted(client_id, other, clients=clients)


async def restart(client_id: str, *, clients: Clients) -> Client:
    """Have the runner restarted; the reconciler does it."""
    before = await _changeable(client_id, clients)
    client = await clients.ask_for_restart(client_id)
    if client is None:
        raise BeingDeleted
    current_act().changed(facts(before), facts(client))
    logger.info("restart was asked for", extra={"client_id": client_id})
    return client


async def release_phone(
    client_id: str, *, clients: Clients, session: ClientSession, open_gateway: Callable[[Client], RunnerGateway]
) -> Client:
    """Log the bound phone out and forget it: the next one that links is bound. Safe to repeat.

    Raises:
        RunnerUnreachable, RunnerRefused: it is linked and cannot be logged out now; nothing was changed (503, 502).
    """
    client = await _changeable(client_id, clients)
    if (await session.get()).linked_phone is not None:
        await open_gateway(client).log_out()
    released = await clients.release_phone(client_id)
    if released is None:
        raise BeingDeleted
    current_act().changed(facts(client), facts(released))
    logger.info("phone was released", extra={"client_id": client_id})
    return released


async def rotate_link(client_id: str, *, clients: Clients) -> Client:
    """Give the landing page a new address; the old one stops working at once, for open pages too."""
    await _changeable(client_id, clients)
    client = await clients.set_slug(client_id, new_slug())
    if client is None:
        raise BeingDeleted
    logger.info("landing link was rotated", extra={"client_id": client_id})
    return client


async def request_deletion(client_id: str, name: str, *, clients: Clients) -> None:
    """Have a client deleted with everything it has; safe to repeat.

    Raises:
        NameDoesNotMatch: the typed name is another one; nothing is deleted (409).
    """
    client = await get_client(client_id, clients=clients)
    if name.strip() != client.name:
        raise NameDoesNotMatch
    marked = await clients.mark_deleting(client_id)
    current_act().changed(facts(client), facts(marked or client))
    logger.info("deletion was requested", extra={"client_id": client_id})


async def check_openai_key(
    api_key: str | None, environment: str, *, client: Client | None, cipher: Cipher, settings: Settings
) -> KeyCheck:
    """Try a key before it is saved; None tries the stored one.

    Raises:
        KeyMissing: there is no key to try (422).
        CannotDecrypt: the stored one is lost (503).
    """
    if not api_key and client is not None:
        api_key = read_api_key(client, cipher)
    if not api_key:
        raise KeyMissing
    return await check_key(api_key, find_environment(environment, settings).openai_base_url)


async def _unused_ports(clients: Clients, settings: Settings) -> AsyncIterator[int]:
    """Ports of the range after the greatest that a client has; at the range's end those that were given back."""
    first, last = settings.first_port, settings.last_port
    after = (await clients.greatest_port(first, last) or first - 1) + 1
    for port in range(after, last + 1):
        yield port
    used = await clients.used_ports()
    for port in range(first, after):
        if port not in used:
            yield port


async def _changeable(client_id: str, clients: Clients) -> Client:
    client = await get_client(client_id, clients=clients)
    if client.deleting_since is not None:
        raise BeingDeleted
    return client


async def _store_assistant(
    request: AssistantRequest,
    stored: StoredAssistant | None,
    client_id: str,
    environment: str,
    *,
    cipher: Cipher,
    settings: Settings,
) -> StoredAssistant:
    if not isinstance(request, OpenAIAssistantRequest):
        return StoredAutomaticAssistant(rules=request.rules, default_answer=request.default_answer)
    known = stored if isinstance(stored, StoredOpenAIAssistant) else None
    api_key = request.api_key.get_secret_value().strip() if request.api_key else ""
    if not api_key:
        if known is None:
            raise KeyMissing
        return known.model_copy(update={"model": request.model or known.model, "instructions": request.instructions})
    check = await check_key(api_key, find_environment(environment, settings).openai_base_url)
    if check.valid is False:
        raise KeyRefused
    # A key without quota, or an OpenAI that does not answer, is no reason to refuse: the runner says so and recovers.
    return StoredOpenAIAssistant(
        api_key_encrypted=encrypt_api_key(api_key, client_id, cipher),
        api_key_hint=hint(api_key),
        model=request.model or check.chosen or DEFAULT_MODEL,
        instructions=request.instructions,
    )
