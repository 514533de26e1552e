"""The page for people: what this is, which keys do what, what was said, what was asked, and how to make it fail."""

import json
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.openai_api.catalogue import Catalogue
from sandbox.openai_api.faults import Faults
from sandbox.openai_api.items import text_of
from sandbox.openai_api.request_log import RequestLog
from sandbox.openai_api.store import Item, Store
from sandbox.pages import render

_SHOWN = 50

# Button in Spanish and English, fault that it queues.
_PRESETS: tuple[tuple[tuple[str, str], dict[str, Any]], ...] = (
    (
        ("Demasiados pedidos (429)", "Too many requests (429)"),
        {
            "path": "^/responses$",
            "status": 429,
            "code": "rate_limit_exceeded",
            "kind": "requests",
            "headers": {"retry-after": "2"},
        },
    ),
    (("Error de OpenAI (500)", "OpenAI error (500)"), {"status": 500}),
    (("Caído (503)", "Down (503)"), {"status": 503, "code": "server_is_overloaded"}),
    (
        ("Contenido rechazado (400)", "Content refused (400)"),
        {"path": "^/responses$", "status": 400, "code": "content_policy_violation", "kind": "invalid_request_error"},
    ),
    (("Piensa 10 segundos", "Thinks for 10 seconds"), {"path": "^/responses$", "think_s": 10}),
    (("No contesta (90 s)", "No answer (90 s)"), {"path": "^/responses$", "delay_s": 90}),
    (("Corta la conexión", "Cuts the connection"), {"path": "^/responses$", "cut": "after"}),
    (
        ("Pierde la conversación (404)", "Loses the conversation (404)"),
        {
            "path": "^/responses$",
            "status": 404,
            "kind": "invalid_request_error",
            "message": "Conversation with id 'conv_lost' not found.",
        },
    ),
)


class Pages:
    """The page."""

    def __init__(self, store: Store, catalogue: Catalogue, *, faults: Faults, log: RequestLog) -> None:
        self._store = store
        self._catalogue = catalogue
        self._faults = faults
        self._log = log

    def routes(self) -> list[Route]:
        """Routes of the page."""
        return [Route("/", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """All of it on one page; its script asks for it again every few seconds."""
        conversations = [
            {
                "id": each.id,
                "key_hint": each.key_hint,
                "created": datetime.fromtimestamp(each.created_at, UTC).strftime("%d/%m %H:%M"),
                "items": [_describe_item(item) for item in self._store.items(each.id)],
            }
            for each in self._store.conversations()[:_SHOWN]
        ]
        requests = [entry | {"short_path": _shorten(entry["path"])} for entry in self._log.list()[: -_SHOWN - 1 : -1]]
        return render(
            request,
            "openai.html",
            api_url=f"{request.url.scheme}://{request.url.netloc}{request.scope['root_path']}/v1",
            models=[model for model in self._catalogue.models if model.is_on],
            presets=[(title, json.dumps(body)) for title, body in _PRESETS],
            faults=self._faults.list(),
            conversations=conversations,
            orphaned_items=self._store.orphaned_items(),
            stored_responses=self._store.response_count(),
            requests=requests,
        )


def _describe_item(item: Item) -> dict[str, str]:
    if item["type"] == "function_call":
        return {"who": "", "label": f"{item['name']}()", "text": item["arguments"]}
    if item["type"] == "function_call_output":
        return {"who": "user", "label": "function_call_output", "text": str(item["output"])}
    images = sum(part["type"] == "input_image" for part in item["content"])
    return {
        "who": "" if item["role"] == "assistant" else "user",
        "label": item["role"],
        "text": text_of(item) + " 🖼" * images,
    }


def _shorten(path: str) -> str:
    """A path with its long ids cut, for reading."""
    return "/".join(part if len(part) < 30 else f"{part[:12]}…" for part in path.split("/"))
