"""`/v1/conversations`: conversations and their items; there is no list of conversations, as at OpenAI."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.openai_api.errors import ApiError, bad_request, not_found
from sandbox.openai_api.exchange import caller, pretend_to_think
from sandbox.openai_api.items import read_items
from sandbox.openai_api.requests import ConversationChange, NewConversation, NewItems, read_body
from sandbox.openai_api.store import Conversation, Item, Store

_DEFAULT_LIMIT = 20
_HIGHEST_LIMIT = 100


class Conversations:
    """The endpoints."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        """Routes below `/v1`."""
        one, items = "/conversations/{id}", "/conversations/{id}/items"
        return [
            Route("/conversations", self.create, methods=["POST"]),
            Route(one, self.retrieve, methods=["GET"]),
            Route(one, self.update, methods=["POST"]),
            Route(one, self.delete, methods=["DELETE"]),
            Route(items, self.list_items, methods=["GET"]),
            Route(items, self.create_items, methods=["POST"]),
            Route(f"{items}/{{item}}", self.retrieve_item, methods=["GET"]),
            Route(f"{items}/{{item}}", self.delete_item, methods=["DELETE"]),
        ]

    async def create(self, request: Request) -> Response:
        """A new conversation with up to 20 items."""
        key = caller(request)
        asked = read_body(NewConversation, await request.body())
        items = read_items(asked.items or [], "items")
        await pretend_to_think(request)
        return JSONResponse(self._store.create_conversation(key, asked.metadata or {}, items).public)

    async def retrieve(self, request: Request) -> Response:
        """A conversation without its items."""
        return JSONResponse(self._require(request).public)

    async def update(self, request: Request) -> Response:
        """Replace a conversation's metadata."""
        conversation = self._require(request)
        change = read_body(ConversationChange, await request.body())
        self._store.change_metadata(conversation.id, change.metadata or {})
        return JSONResponse(self._require(request).public)

    async def delete(self, request: Request) -> Response:
        """Delete a conversation but not its items."""
        conversation = self._require(request)
        self._store.delete_conversation(conversation.id)
        return JSONResponse({"id": conversation.id, "object": "conversation.deleted", "deleted": True})

    async def list_items(self, request: Request) -> Response:
        """One page of items, newest first unless `order=asc`."""
        conversation = self._require(request)
        limit = _read_limit(request)
        order = request.query_params.get("order", "desc")
        if order not in ("asc", "desc"):
            raise bad_request(
                f"Invalid value: '{order}'. Supported values are: 'asc' and 'desc'.",
                code="invalid_value",
                param="order",
            )
        items = self._store.items(conversation.id)
        if order == "desc":
            items.reverse()
        after = request.query_params.get("after")
        if after:
            position = next((n for n, item in enumerate(items) if item["id"] == after), None)
            if position is None:
                raise bad_request(f"Item with id '{after}' not found in conversation.", param="after")
            items = items[position + 1 :]
        return _page(items[:limit], has_more=len(items) > limit)

    async def create_items(self, request: Request) -> Response:
        """Append up to 20 items, all or none."""
        key = caller(request)
        conversation = self._require(request)
        asked = read_body(NewItems, await request.body())
        items = read_items(asked.items, "items")
        known = {item["id"] for item in self._store.items(conversation.id)}
        if any(item["id"] in known for item in items):
            raise bad_request("Duplicate item id: an item with this id is already in the conversation.", param="items")
        self._store.add_items(conversation.id, key, items)
        return _page(items, has_more=False)

    async def retrieve_item(self, request: Request) -> Response:
        """One item."""
        _, item = self._require_item(request)
        return JSONResponse(item)

    async def delete_item(self, request: Request) -> Response:
        """Delete one item; the answer is the conversation."""
        conversation, item = self._require_item(request)
        self._store.delete_item(conversation.id, item["id"])
        return JSONResponse(conversation.public)

    def _require(self, request: Request) -> Conversation:
        key = caller(request)
        conversation_id = request.path_params["id"]
        found = self._store.find_conversation(key, conversation_id)
        if found is None:
            raise not_found(f"Conversation with id '{conversation_id}' not found.")
        return found

    def _require_item(self, request: Request) -> tuple[Conversation, Item]:
        conversation = self._require(request)
        item_id = request.path_params["item"]
        for item in self._store.items(conversation.id):
            if item["id"] == item_id:
                return conversation, item
        raise not_found(f"Item with id '{item_id}' not found.")


def _page(items: Sequence[Item], *, has_more: bool) -> Response:
    return JSONResponse(
        {
            "object": "list",
            "data": list(items),
            "first_id": items[0]["id"] if items else "",
            "last_id": items[-1]["id"] if items else "",
            "has_more": has_more,
        }
    )


def _read_limit(request: Request) -> int:
    raw = request.query_params.get("limit")
    if raw is None:
        return _DEFAULT_LIMIT
    if not raw.isascii() or not raw.lstrip("-").isdigit():
        raise bad_request("Invalid type for 'limit': expected an integer.", code="invalid_type", param="limit")
    limit = int(raw)
    if limit < 1:
        raise _outside("below minimum value. Expected a value >= 1", "integer_below_min_value", limit)
    if limit > _HIGHEST_LIMIT:
        raise _outside(f"above maximum value. Expected a value <= {_HIGHEST_LIMIT}", "integer_above_max_value", limit)
    return limit


def _outside(what: str, code: str, limit: int) -> ApiError:
    return bad_request(f"Invalid 'limit': integer {what}, but got {limit} instead.", code=code, param="limit")
