"""`/v1/responses`: one turn of the stand-in's assistant."""

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.openai_api import answers
from sandbox.openai_api.catalogue import Catalogue, Model
from sandbox.openai_api.errors import bad_request, not_found, unsupported
from sandbox.openai_api.exchange import caller, pretend_to_think
from sandbox.openai_api.items import check_calls, count_item_tokens, count_tokens, read_input, text_of
from sandbox.openai_api.keys import Key
from sandbox.openai_api.requests import NewResponse, read_body
from sandbox.openai_api.store import Item, Store, new_id

_CHARACTERS_PER_TOKEN = 4


class Responses:
    """The endpoints, with the conversations that are being answered right now.

    Attributes:
        context_tokens: when set, every model takes only so much input, so that a test can overrun it.
    """

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._store = store
        self._catalogue = catalogue
        self._busy: set[str] = set()
        self.context_tokens: int | None = None

    def routes(self) -> list[Route]:
        """Routes below `/v1`."""
        return [
            Route("/responses", self.create, methods=["POST"]),
            Route("/responses/{id}", self.retrieve, methods=["GET"]),
            Route("/responses/{id}", self.delete, methods=["DELETE"]),
        ]

    async def create(self, request: Request) -> Response:
        """Answer; the conversation gets the turn's items when it is complete, all or none of them."""
        key = caller(request)
        key.require_quota()
        asked = read_body(NewResponse, await request.body())
        model = self._require_model(asked)
        new = read_input(asked.input)
        prior = self._prior_items(key, asked)
        if not new and not prior:
            raise bad_request(
                "Missing required parameter: one of 'input' or 'previous_response_id' or 'prompt' or 'conversation' "
                "must be provided.",
                code="missing_required_parameter",
                param="input",
            )
        _check_ids(prior, new)
        check_calls([*prior, *new])
        shown, input_tokens = self._fit_context(asked, model, [*prior, *new])
        conversation_id = asked.conversation_id
        if conversation_id is not None:
            self._busy.add(conversation_id)
        try:
            await pretend_to_think(request)
            made = answers.think(asked.instructions or "", shown, asked.tools or [], asked.tool_choice)
            response = _response(asked, model, made, input_tokens)
            if conversation_id is not None and self._store.find_conversation(key, conversation_id) is None:
                raise _no_conversation(conversation_id)
            self._store.commit_turn(
                key,
                response,
                conversation_id=conversation_id,
                new_items=[*new, made],
                context=[*prior, *new, made],
                keep=asked.store is not False,
            )
        finally:
            if conversation_id is not None:
                self._busy.discard(conversation_id)
        return JSONResponse(response)

    async def retrieve(self, request: Request) -> Response:
        """A stored response."""
        return JSONResponse(self._require_stored(request))

    async def delete(self, request: Request) -> Response:
        """Delete a stored response."""
        response_id = self._require_stored(request)["id"]
        self._store.delete_response(response_id)
        return JSONResponse({"id": response_id, "object": "response", "deleted": True})

    def _require_stored(self, request: Request) -> dict[str, Any]:
        key = caller(request)
        response_id = request.path_params["id"]
        found = self._store.find_response(key, response_id)
        if found is None:
            raise not_found(f"Response with id '{response_id}' not found.")
        return found

    def _require_model(self, asked: NewResponse) -> Model:
        for param in ("stream", "background", "prompt"):
            if getattr(asked, param):
                raise unsupported(param)
        if asked.model is None:
            raise bad_request("Missing required parameter: 'model'.", code="missing_required_parameter", param="model")
        model = self._catalogue.find(asked.model)
        if model is None or model.hears:
            raise bad_request(
                f"The requested model '{asked.model}' does not exist.", code="model_not_found", param="model"
            )
        if model.reasons and (asked.reasoning or {}).get("effort") != "none":
            for param in ("temperature", "top_p"):
                if getattr(asked, param) is not None:
                    raise bad_request(
                        f"Unsupported parameter: '{param}' is not supported with this model.", param=param
                    )
        return model

    def _prior_items(self, key: Key, asked: NewResponse) -> list[Item]:
        conversation_id = asked.conversation_id
        if conversation_id is not None and asked.previous_response_id is not None:
            raise bad_request(
                "Mutually exclusive parameters: only one of 'previous_response_id' or 'conversation' may be given.",
                code="mutually_exclusive_parameters",
            )
        if conversation_id is not None:
            if self._store.find_conversation(key, conversation_id) is None:
                raise _no_conversation(conversation_id)
            if conversation_id in self._busy:
                raise bad_request(
                    "Another process is currently operating on this conversation. Please retry in a few seconds.",
                    code="conversation_locked",
                    param="conversation",
                )
            return self._store.items(conversation_id)
        if asked.previous_response_id is not None:
            context = self._store.response_context(key, asked.previous_response_id)
            if context is None:
                raise bad_request(
                    f"Previous response with id '{asked.previous_response_id}' not found.",
                    code="previous_response_not_found",
                    param="previous_response_id",
                )
            return context
        return []

    def _fit_context(self, asked: NewResponse, model: Model, items: list[Item]) -> tuple[list[Item], int]:
        """What the model is shown, and its tokens; the oldest items go first where the caller allows it."""
        limit = min(self.context_tokens or model.context_tokens, model.context_tokens)
        fixed = count_tokens(asked.instructions or "")
        may_drop = asked.truncation == "auto" or bool(asked.context_management)
        shown = list(items)
        while (tokens := fixed + count_item_tokens(shown)) > limit:
            if not may_drop or len(shown) <= 1:
                raise bad_request(
                    "Your input exceeds the context window of this model. Please adjust your input and try again.",
                    code="context_length_exceeded",
                    param="input",
                )
            shown.pop(0)
        return shown, tokens


def _no_conversation(conversation_id: str) -> Exception:
    return not_found(f"Conversation with id '{conversation_id}' not found.")


def _check_ids(prior: list[Item], new: list[Item]) -> None:
    seen = {item["id"] for item in prior}
    for item in new:
        if item["id"] in seen:
            raise bad_request(
                f"Duplicate item found with id {item['id']}. Remove duplicate items from your input and try again.",
                param="input",
            )
        seen.add(item["id"])


def _response(asked: NewResponse, model: Model, made: Item, input_tokens: int) -> dict[str, Any]:
    """`Response` of OpenAI's specification; an answer that is too long for the caller is cut and `incomplete`."""
    complete = True
    if asked.max_output_tokens and made["type"] == "message":
        part = made["content"][0]
        most = asked.max_output_tokens * _CHARACTERS_PER_TOKEN
        if len(part["text"]) > most:
            part["text"] = part["text"][:most]
            made["status"] = "incomplete"
            complete = False
    output_tokens = count_tokens(text_of(made) or made.get("arguments", ""))
    now = int(time.time())
    conversation_id = asked.conversation_id
    return {
        "id": new_id("resp"),
        "object": "response",
        "created_at": now,
        "completed_at": now if complete else None,
        "status": "completed" if complete else "incomplete",
        "background": False,
        "error": None,
        "incomplete_details": None if complete else {"reason": "max_output_tokens"},
        "instructions": asked.instructions,
        "max_output_tokens": asked.max_output_tokens,
        "max_tool_calls": asked.max_tool_calls,
        "model": model.id,
        "output": [made],
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "previous_response_id": asked.previous_response_id,
        "conversation": {"id": conversation_id} if conversation_id else None,
        "prompt_cache_key": asked.prompt_cache_key,
        "reasoning": {"effort": None, "summary": None} | (asked.reasoning or {}),
        "safety_identifier": asked.safety_identifier,
        "service_tier": "default",
        "store": asked.store is not False,
        "temperature": 1.0 if asked.temperature is None else asked.temperature,
        "text": {"format": {"type": "text"}, "verbosity": "medium"} | (asked.text or {}),
        "tool_choice": asked.tool_choice or "auto",
        "tools": [tool.model_dump(exclude_unset=True) for tool in asked.tools or []],
        "top_logprobs": asked.top_logprobs or 0,
        "top_p": 1.0 if asked.top_p is None else asked.top_p,
        "truncation": asked.truncation or "disabled",
        "usage": {
            "input_tokens": input_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": input_tokens + output_tokens,
        },
        "metadata": asked.metadata or {},
    }
