"""Clients over the JSON API."""

import asyncio
import socket
from typing import Any

import pytest

from control_plane.clients.models import StoredOpenAIAssistant, Wanted
from control_plane.clients.stored_secrets import read_api_key, read_runner_token
from control_plane.settings import Settings
from tests.conftest import find_free_port
from tests.control_plane.site import AUTOMATIC, Site, change

KEY = "sk-test-aaaabbbbcccc4f2a"
NEW = {"name": "Taller Luna", "email": "luna@example.com", "assistant": AUTOMATIC}


def openai(key: str | None = KEY, **values: Any) -> dict[str, Any]:
    return {"kind": "openai", "api_key": key, "instructions": "Respondé corto.", **values}


async def test_a_client_is_created_with_a_port_a_link_and_an_invitation(site: Site) -> None:
    response = await site.api.post("/api/admin/clients", json=NEW)
    created = response.json()
    assert response.status_code == 201
    assert site.settings.first_port <= created["port"] <= site.settings.last_port
    assert created["wanted"] == "connected"
    assert created["retention_hours"] == 24
    assert len(created["landing_url"].rsplit("/", 1)[1]) >= 32
    mail = await site.database["emails"].find_one({"client_id": created["id"]})
    assert mail is not None
    assert (mail["kind"], mail["to"], mail["state"]) == ("invitation", "luna@example.com", "queued")
    assert (await site.api.get(f"/api/admin/clients/{created['id']}")).json() == created
    assert (await site.api.get("/api/admin/clients")).json() == [created]


async def test_secrets_are_encrypted_in_the_database_and_never_answered(site: Site) -> None:
    client = await site.create(assistant=openai())
    stored = str(await site.database["clients"].find_one({"_id": client.id}))
    answered = (await site.api.get(f"/api/admin/clients/{client.id}")).text
    token = read_runner_token(client, site.cipher)
    assert isinstance(client.assistant, StoredOpenAIAssistant)
    for secret in (KEY, token):
        assert secret not in stored
        assert secret not in answered
    for name in ("encrypted", "token", client.assistant.api_key_encrypted):
        assert name not in answered
    assert "sk-…4f2a" in answered
    assert read_api_key(client, site.cipher) == KEY


async def test_the_best_model_that_the_key_has_is_chosen(site: Site) -> None:
    chosen = await site.create(assistant=openai())
    given = await site.create(assistant=openai(model="gpt-5.6-luna"))
    assert (chosen.assistant.kind, given.assistant.kind) == ("openai", "openai")
    assert chosen.assistant.model == "gpt-6-luna"  # type: ignore[union-attr]
    assert given.assistant.model == "gpt-5.6-luna"  # type: ignore[union-attr]


@pytest.mark.parametrize("key", ["sk-bad-key-000000000000", "sk-clé-with-accents-0000", "sk-two words"])
async def test_a_key_that_openai_refuses_is_refused(site: Site, key: str) -> None:
    response = await site.api.post("/api/admin/clients", json=NEW | {"assistant": openai(key)})
    assert response.status_code == 422
    assert response.json()["type"] == "/problems/openai-key-refused"
    assert key not in response.text
    assert await site.clients.list() == []


async def test_an_openai_that_is_down_does_not_keep_a_client_from_being_created(site: Site) -> None:
    nobody = site.settings.all_environments[0].model_copy(
        update={"openai_base_url": f"http://127.0.0.1:{find_free_port()}/v1"}
    )
    site.app.state.settings = change(site.settings, environments=(nobody,))
    client = await site.create(assistant=openai())
    assert client.assistant.model == "gpt-6-luna"  # type: ignore[union-attr]


async def test_an_assistant_at_openai_needs_a_key(site: Site) -> None:
    response = await site.api.post("/api/admin/clients", json=NEW | {"assistant": openai(None)})
    assert (response.status_code, response.json()["type"]) == (422, "/problems/openai-key-missing")


@pytest.mark.parametrize(
    "body",
    [
        NEW | {"assistant": {"kind": KEY, "api_key": KEY}},
        NEW | {"assistant": {"kind": "automatic", "api_key": KEY, "default_answer": "hola"}},
        NEW | {"assistant": openai() | {"instructions": [KEY]}},
        NEW | {"email": KEY},
        NEW | {"email": f"{KEY}@{KEY}"},
        NEW | {"expected_phone": KEY},
        NEW | {"retention_hours": KEY},
        NEW | {"language": KEY},
    ],
)
async def test_a_refused_request_does_not_echo_what_was_sent(site: Site, body: dict[str, Any]) -> None:
    response = await site.api.post("/api/admin/clients", json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["errors"]
    assert KEY not in response.text


async def test_broken_json_is_refused_without_an_echo(site: Site) -> None:
    response = await site.api.post(
        "/api/admin/clients", content=f'{{"key": "{KEY}', headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 422
    assert KEY not in response.text


# ------------------------------------------------------------------------------------------------ ports


async def test_clients_created_at_once_get_ports_of_their_own(site: Site) -> None:
    created = await asyncio.gather(*(site.create(f"Cliente {number}") for number in range(8)))
    assert len({client.port for client in created}) == 8


async def test_a_port_that_another_program_has_is_passed_over(site: Site) -> None:
    first = await site.create("Uno")
    with socket.socket() as other:
        other.bind(("127.0.0.1", first.port + 1))
        other.listen()
        second = await site.create("Dos")
    assert second.port > first.port + 1


async def test_an_exhausted_range_says_so_and_a_deleted_clients_port_is_used_again(
    site: Site, site_settings: Settings
) -> None:
    port = (await site.create("Uno")).port
    site.app.state.settings = change(site_settings, first_port=port, last_port=port)
    refused = await site.api.post("/api/admin/clients", json=NEW)
    assert refused.status_code == 503
    assert refused.json()["type"] == "/problems/no-free-port"
    assert "FLAME_LAST_PORT" in refused.json()["detail"]
    await site.clients.delete((await site.clients.list())[0].id)
    assert (await site.create("Dos")).port == port


# ------------------------------------------------------------------------------------------------ changes


async def test_what_a_runner_must_know_raises_the_revision_and_the_rest_does_not(site: Site) -> None:
    client = await site.create(assistant=openai())
    path = f"/api/admin/clients/{client.id}"
    await site.api.patch(path, json={"email": "otra@example.com", "retention_hours": 48})
    quiet = await site.clients.get(client.id)
    await site.api.patch(path, json={"assistant": openai(None, instructions="Otra cosa.")})
    told = await site.clients.get(client.id)
    await site.api.patch(path, json={"name": client.name})
    same = await site.clients.get(client.id)
    assert quiet is not None
    assert told is not None
    assert same is not None
    assert (quiet.email, quiet.retention_hours, quiet.revision) == ("otra@example.com", 48, 1)
    assert (told.revision, same.revision) == (2, 2)
    # The key stays when it is left out.
    assert read_api_key(told, site.cipher) == KEY
    assert told.assistant.instructions == "Otra cosa."  # type: ignore[union-attr]


async def test_expecting_another_phone_releases_the_bound_one_and_null_expects_none(site: Site) -> None:
    client = await site.create(expected_phone="+54 9 11 2222-3333")
    await site.clients.bind_phone(client.id, "5491122223333")
    path = f"/api/admin/clients/{client.id}"
    same = (await site.api.patch(path, json={"expected_phone": "5491122223333"})).json()
    other = (await site.api.patch(path, json={"expected_phone": "5491144445555"})).json()
    none = (await site.api.patch(path, json={"expected_phone": None})).json()
    assert (client.expected_phone, same["bound_phone"]) == ("5491122223333", "5491122223333")
    assert (other["expected_phone"], other["bound_phone"]) == ("5491144445555", None)
    assert none["expected_phone"] is None


async def test_toggle_switches_and_restart_counts(site: Site) -> None:
    client = await site.create()
    off = (await site.api.post(f"/api/admin/clients/{client.id}/toggle")).json()["wanted"]
    on = (await site.api.post(f"/api/admin/clients/{client.id}/toggle")).json()["wanted"]
    restarted = await site.api.post(f"/api/admin/clients/{client.id}/restart")
    now = await site.clients.get(client.id)
    assert (off, on, restarted.status_code) == ("disconnected", "connected", 202)
    assert now is not None
    assert now.restarts == 1


async def test_a_client_is_deleted_by_its_name_and_by_no_other(site: Site) -> None:
    client = await site.create("Panadería Sol")
    path = f"/api/admin/clients/{client.id}"
    wrong = await site.api.request("DELETE", path, json={"name": "Panaderia"})
    right = await site.api.request("DELETE", path, json={"name": "Panadería Sol"})
    again = await site.api.request("DELETE", path, json={"name": "Panadería Sol"})
    change = await site.api.patch(path, json={"name": "Otra"})
    now = await site.clients.get(client.id)
    assert (wrong.status_code, right.status_code, again.status_code) == (409, 202, 202)
    assert (change.status_code, change.json()["type"]) == (409, "/problems/being-deleted")
    assert now is not None
    assert now.wanted is Wanted.DISCONNECTED
    assert (await site.visitor.get(f"/api/client/{client.slug}/status")).status_code == 404


async def test_a_client_that_is_not_there_is_a_problem(site: Site) -> None:
    response = await site.api.get("/api/admin/clients/nobody")
    assert (response.status_code, response.json()["type"]) == (404, "/problems/client-not-found")


async def test_an_invitation_sent_again_replaces_the_one_that_waits(site: Site) -> None:
    client = await site.create()
    response = await site.api.post(f"/api/admin/clients/{client.id}/invitation")
    waiting = await site.database["emails"].find({"client_id": client.id}).to_list()
    assert response.status_code == 202
    assert [mail["_id"] for mail in waiting] == [response.json()["id"]]


async def test_a_runner_that_does_not_run_is_said_in_plain_words(site: Site) -> None:
    client = await site.create()
    asked = {"contact": "5491122223333", "text": "hola"}
    processed = await site.api.post(f"/api/clients/{client.id}/process-message", json=asked)
    sent = await site.api.post(f"/api/clients/{client.id}/send", json={"chat_id": "549@c.us", "text": "hola"})
    refreshed = await site.visitor.post(f"/api/client/{client.slug}/refresh")
    for response in (processed, sent, refreshed):
        assert (response.status_code, response.json()["type"]) == (503, "/problems/runner-unreachable")


# ------------------------------------------------------------------------------------------------ who may


async def test_nobody_gets_in_without_a_key_or_with_a_wrong_one(site: Site) -> None:
    for headers in ({}, {"X-Api-Key": "flame_wrong"}):
        for method, path in (("GET", "/api/admin/clients"), ("POST", "/api/admin/cleanup/force")):
            response = await site.visitor.request(method, path, headers=headers)
            assert (response.status_code, response.json()["type"]) == (401, "/problems/not-logged-in")


async def test_a_key_in_the_address_opens_nothing(site: Site) -> None:
    key = site.api.headers["X-Api-Key"]
    response = await site.visitor.get("/api/admin/clients", params={"X-Api-Key": key, "api_key": key})
    assert response.status_code == 401
