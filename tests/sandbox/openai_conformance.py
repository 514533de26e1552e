"""The real OpenAI client against the stand-in, with every body held against OpenAI's specification."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
from jsonschema import Draft202012Validator
from openai import AsyncOpenAI
from referencing import Registry
from referencing.jsonschema import DRAFT202012

SCHEMAS = Path(__file__).with_name("openai_schemas.json")
API = "/openai/v1"
MODEL = "gpt-6-luna"

# Method, path below /v1, schema of the request, schema of the answer.
_CALLS = (
    ("POST", r"/responses", "CreateResponse", "Response"),
    ("GET", r"/responses/[^/]+", None, "Response"),
    ("POST", r"/conversations", "CreateConversationBody", "ConversationResource"),
    ("GET", r"/conversations/[^/]+", None, "ConversationResource"),
    ("POST", r"/conversations/[^/]+", "UpdateConversationBody", "ConversationResource"),
    ("DELETE", r"/conversations/[^/]+", None, "DeletedConversationResource"),
    ("GET", r"/conversations/[^/]+/items", None, "ConversationItemList"),
    ("POST", r"/conversations/[^/]+/items", "CreateItemsBody", "ConversationItemList"),
    ("GET", r"/conversations/[^/]+/items/[^/]+", None, "ConversationItem"),
    ("DELETE", r"/conversations/[^/]+/items/[^/]+", None, "ConversationResource"),
    ("GET", r"/models", None, "ListModelsResponse"),
    ("GET", r"/models/[^/]+", None, "Model"),
    ("POST", r"/audio/transcriptions", None, "CreateTranscriptionResponseJson"),
    # Its answer has no schema: the specification says 200 and nothing more.
    ("DELETE", r"/responses/[^/]+", None, None),
)


def _relax(node: Any) -> None:
    """`oneOf` becomes `anyOf`: members overlap, the discriminator chooses among them and not exclusivity."""
    if isinstance(node, dict):
        if "oneOf" in node:
            node["anyOf"] = node.pop("oneOf")
        for value in node.values():
            _relax(value)
    elif isinstance(node, list):
        for value in node:
            _relax(value)


@cache
def _registry() -> Any:
    document = json.loads(SCHEMAS.read_text())
    _relax(document)
    return Registry().with_resource("urn:openai", DRAFT202012.create_resource(document))


def violations_of(schema: str, body: object) -> list[str]:
    """What is wrong with a body by OpenAI's specification."""
    validator = Draft202012Validator({"$ref": f"urn:openai#/components/schemas/{schema}"}, registry=_registry())
    return [f"{schema}: {error.json_path}: {error.message[:300]}" for error in validator.iter_errors(body)]


class _Checked(httpx2.AsyncHTTPTransport):
    """Checks both bodies of every exchange; a request that is refused may be as wrong as it likes."""

    def __init__(self, violations: list[str]) -> None:
        super().__init__()
        self._violations = violations

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await super().handle_async_request(request)
        body = await answer.aread()
        self._check(request, answer.status_code, body)
        headers = [(k, v) for k, v in answer.headers.raw if k.lower() not in (b"content-length", b"transfer-encoding")]
        return httpx2.Response(answer.status_code, headers=headers, content=body, request=request)

    def _check(self, request: httpx2.Request, status: int, body: bytes) -> None:
        where = f"{request.method} {request.url.path} {status}: "
        if status >= 400:
            found = violations_of("ErrorResponse", json.loads(body))
        else:
            path = request.url.path.removeprefix(API)
            call = next((c for c in _CALLS if c[0] == request.method and re.fullmatch(c[1], path)), None)
            if call is None:
                found = ["a call that the tests do not know"]
            else:
                sent = violations_of(call[2], json.loads(request.content or b"{}")) if call[2] else []
                got = violations_of(call[3], json.loads(body)) if call[3] else []
                found = sent + got
        self._violations.extend(where + violation for violation in found)


class Caller:
    """One API key's client, and the stand-in's control API beside it."""

    def __init__(self, url: str, key: str) -> None:
        self.key = key
        self.violations: list[str] = []
        self._http = httpx2.AsyncClient(transport=_Checked(self.violations), timeout=60)
        self.api = AsyncOpenAI(api_key=key, base_url=url + API, max_retries=0, timeout=60, http_client=self._http)
        self.control = httpx2.AsyncClient(base_url=f"{url}/openai/control", timeout=60, trust_env=False)

    async def ask(
        self, text: str, *, instructions: str = "", conversation: str | None = None, timeout_s: float = 60
    ) -> str:
        response = await self.api.responses.create(
            model=MODEL,
            input=text,
            instructions=instructions,
            conversation=conversation,
            max_output_tokens=800,
            timeout=timeout_s,
        )
        return response.output_text

    async def items(self, conversation: str) -> list[Any]:
        return [item async for item in self.api.conversations.items.list(conversation, order="asc")]

    async def fail(self, **fault: Any) -> None:
        answer = await self.control.post("/faults", json={"key": self.key, **fault})
        assert answer.status_code == 201, answer.text

    async def requests(self) -> list[dict[str, Any]]:
        answer = await self.control.get("/requests", params={"key": self.key[-4:]})
        return list(answer.json()["requests"])

    async def close(self) -> None:
        await self._http.aclose()
        await self.control.aclose()
