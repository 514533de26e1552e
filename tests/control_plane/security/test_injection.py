"""Operators for MongoDB where a text is expected, and paths that lead out: in forms, JSON, queries and addresses."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError

from control_plane.clients.models import Client
from control_plane.settings import REPOSITORY
from control_plane.web import FORM_FIELD
from tests.control_plane.accounts.test_login import fill
from tests.control_plane.security.raw import exchange, head, status_of
from tests.control_plane.site import Site, message
from tests.control_plane.test_permissions import FORM_TOKEN

OPERATORS: list[Any] = [{"$ne": None}, {"$gt": ""}, ["$regex", ".*"]]
Schema = dict[str, Any]
Document = dict[str, Any]


def leaves(schema: Schema, document: Document, trail: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The way to every text of a JSON body, by property names."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from leaves(choice, document, trail)
    for name, part in schema.get("properties", {}).items():
        yield from leaves(part, document, (*trail, name))
    if schema.get("type") == "string" and trail:
        yield trail


def nest(trail: tuple[str, ...], value: Any) -> Any:
    for name in reversed(trail):
        value = {name: value}
    return value


async def test_no_text_of_a_json_body_may_be_an_operator(site: Site, client: Client) -> None:
    document = (await site.visitor.get("/openapi.json")).json()
    before = await site.clients.get(client.id)
    tried, wrong = set(), []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {})
            if "application/json" not in content:
                continue
            names = {"{client_id}": client.id, "{slug}": client.slug}
            address = "/".join(names.get(part, "x") if "{" in part else part for part in path.split("/"))
            for trail in set(leaves(content["application/json"]["schema"], document)):
                for operator in OPERATORS:
                    body = nest(trail, operator)
                    if trail[:1] == ("assistant",) and trail[-1] != "kind":
                        body["assistant"]["kind"] = "automatic" if trail[-1] == "default_answer" else "openai"
                    answer = await site.api.request(method, address, json=body)
                    tried.add((method, path, trail))
                    blamed = " ".join(error["field"] for error in answer.json().get("errors", ()))
                    if answer.status_code != HTTPStatus.UNPROCESSABLE_ENTITY or trail[0] not in blamed:
                        wrong.append((method, path, trail, answer.status_code, answer.text))
    assert wrong == []
    assert len(tried) > 12
    assert await site.clients.get(client.id) == before


async def test_no_text_of_an_event_may_be_an_operator(site: Site, client: Client) -> None:
    runner = site.runner(client)
    for name in ("message_id", "chat_id", "text", "author", "contact_name", "quoted_id", "outcome"):
        for operator in OPERATORS:
            refused = await runner.deliver(
                message(1, "one") | {"payload": {**message(1, "one")["payload"], name: operator}}
            )
            assert refused.status_code == HTTPStatus.UNPROCESSABLE_ENTITY, (name, operator)
    for name in ("instance", "journal_id"):
        assert (await runner.deliver(**{name: {"$ne": None}})).status_code == HTTPStatus.UNPROCESSABLE_ENTITY


async def test_an_operator_in_a_query_or_an_address_finds_nothing(
    site: Site, client: Client, owner: httpx2.AsyncClient
) -> None:
    other = await site.create("La Otra")
    await site.runner(client).deliver(message(1, "one", chat_id="one@c.us", text="de la primera"))
    await site.runner(other).deliver(message(1, "two", chat_id="two@c.us", text="de la otra"))
    page = f"/admin/clients/{client.id}/chats"
    for query in ("before[$gt]=", "before[$ne]=x", "waiting[$ne]=1", "client_id[$ne]=x", "chat_id[$regex]=.*"):
        answer = await owner.get(f"{page}?{query}")
        assert answer.status_code == HTTPStatus.OK
        assert "de la otra" not in answer.text
    for query in ('before={"$gt":""}', "before=$where", "before=%00"):
        answer = await owner.get(f"{page}?{query}")
        assert answer.status_code < 500
        assert "de la otra" not in answer.text
    for name in ('{"$ne":null}', "$ne", "[$ne]", "%00", "one@c.us%00"):
        assert (await owner.get(f"/admin/clients/{name}")).status_code == HTTPStatus.NOT_FOUND
        assert (await site.api.get(f"/api/admin/clients/{name}")).status_code == HTTPStatus.NOT_FOUND
        assert (await site.visitor.get(f"/client/{name}")).status_code == HTTPStatus.NOT_FOUND
        chat = await owner.get(f"{page}/{name}")
        assert chat.status_code < 500
        assert "de la" not in chat.text


async def test_an_operator_in_a_form_is_a_text(site: Site, client: Client, owner: httpx2.AsyncClient) -> None:
    async with site.browser() as browser:
        for name, value in (("username[$ne]", "x"), ("username", '{"$ne": null}'), ("username", "$gt")):
            entered = await fill(browser, "/admin/login", **{name: value, "password[$ne]": "x", "password": "x"})
            assert entered.status_code == HTTPStatus.UNAUTHORIZED
    data = {FORM_FIELD: FORM_TOKEN, "name[$ne]": "x", "name": '{"$ne": null}'}
    refused = await owner.post(f"/admin/clients/{client.id}/delete", data=data)
    assert refused.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    stored = await site.clients.get(client.id)
    assert stored is not None
    assert stored.deleting_since is None


WAYS_OUT = [
    "../pyproject.toml",
    "..%2fpyproject.toml",
    "%2e%2e/pyproject.toml",
    "%2e%2e%2fpyproject.toml",
    "..%5cpyproject.toml",
    "..\\pyproject.toml",
    "css/../../pyproject.toml",
    "css/%2e%2e/%2e%2e/pyproject.toml",
    "..%252fpyproject.toml",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    str(REPOSITORY / "pyproject.toml"),
    "css/flame.css%00.png",
    "",
    "css",
    "css/",
]


async def test_no_address_leads_out_of_the_files_for_browsers(site: Site) -> None:
    for way in WAYS_OUT:
        answer = await exchange(site.settings.port, head(f"GET /static/{way}"))
        assert status_of(answer) in (400, 404), way
        assert b"[project]" not in answer
        assert b"root:" not in answer
    assert status_of(await exchange(site.settings.port, head("GET /static/css/flame.css"))) == HTTPStatus.OK


async def test_no_id_leads_out_of_a_clients_directory(site: Site, owner: httpx2.AsyncClient, client: Client) -> None:
    for way in ("..%2f..%2fetc", "..", "%2e%2e%2f", "..%5c..", "%00", "a%0ab"):
        for path in (f"/admin/clients/{way}", f"/admin/clients/{way}/chats", f"/admin/clients/{client.id}/chats/{way}"):
            answer = await exchange(
                site.settings.port,
                head(f"GET {path}", f"Cookie: {'; '.join(f'{n}={v}' for n, v in owner.cookies.items())}"),
            )
            assert status_of(answer) in (200, 303, 307, 404), (path, answer)
            assert b"root:" not in answer
    # What names a directory and a program is of letters and digits, whatever the record says.
    for name in ("../x", "a/b", "", ".", "A", "a\n", "a" * 33):
        with pytest.raises(ValidationError):
            Client.model_validate(client.model_dump() | {"id": name})
