"""Items of a conversation: from what a caller sends to what is stored, and what a model may not be shown."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sandbox.openai_api.errors import bad_request, unsupported
from sandbox.openai_api.requests import (
    FOREIGN_ITEMS,
    ITEMS,
    FunctionCallItem,
    FunctionOutputItem,
    MessageItem,
    Part,
    read_value,
)
from sandbox.openai_api.store import Item, new_id

_OUTPUT_PARTS = ("output_text", "refusal")
_INPUT_PARTS = ("input_text", "input_image", "input_file")
_CHARACTERS_PER_TOKEN = 4


def read_input(value: str | list[dict[str, Any]] | None) -> list[Item]:
    """Items to store for the `input` of a response: a plain string is one message of the user.

    Raises:
        ApiError: 400, an item is not one.
    """
    if value is None:
        return []
    if isinstance(value, str):
        return [message("user", [{"type": "input_text", "text": value}])]
    return read_items(value, "input")


def read_items(values: Iterable[dict[str, Any]], param: str) -> list[Item]:
    """Items to store for those of a request body.

    Raises:
        ApiError: 400, an item is not one.
    """
    return [_read_item(value, f"{param}[{index}]") for index, value in enumerate(values)]


def message(role: str, content: list[dict[str, Any]], *, status: str = "completed", item_id: str | None = None) -> Item:
    """A message as it is stored and shown."""
    return {
        "id": item_id or new_id("msg"),
        "type": "message",
        "status": status,
        "role": role,
        "content": content,
    }


def answer(text: str, *, status: str = "completed") -> Item:
    """A message of the assistant."""
    return message(
        "assistant", [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}], status=status
    )


def function_call(name: str, arguments: dict[str, Any]) -> Item:
    """The assistant's call of a function."""
    return {
        "id": new_id("fc"),
        "type": "function_call",
        "status": "completed",
        "call_id": new_id("call"),
        "name": name,
        "arguments": json.dumps(arguments),
    }


def check_calls(items: Sequence[Item]) -> None:
    """Refuse a context in which a call and its output are not together.

    Raises:
        ApiError: 400; on a conversation it comes back on every later turn until the missing half is there.
    """
    calls = [item["call_id"] for item in items if item["type"] == "function_call"]
    outputs = [item["call_id"] for item in items if item["type"] == "function_call_output"]
    for call_id in calls:
        if call_id not in outputs:
            raise bad_request(f"No tool output found for function call {call_id}.", param="input")
    for call_id in outputs:
        if call_id not in calls:
            raise bad_request(f"No tool call found for function call output with call_id {call_id}.", param="input")


def text_of(item: Item) -> str:
    """The words of a message; nothing for other items and other parts."""
    if item["type"] != "message":
        return ""
    return " ".join(part["text"] for part in item["content"] if "text" in part)


def count_tokens(text: str) -> int:
    """About how many tokens a text has."""
    return max(1, len(text) // _CHARACTERS_PER_TOKEN)


def count_item_tokens(items: Sequence[Item]) -> int:
    """About how many tokens items take; an image counts as a fixed number, not by its bytes."""
    total = 0
    for item in items:
        if item["type"] == "message":
            total += sum(count_tokens(part["text"]) if "text" in part else 300 for part in item["content"]) + 4
        else:
            total += count_tokens(json.dumps(item))
    return total


def _read_item(value: dict[str, Any], param: str) -> Item:
    kind = value.get("type") or ("message" if "role" in value else "item_reference" if "id" in value else "message")
    if kind in FOREIGN_ITEMS:
        raise unsupported(f"{param}.type={kind}")
    model = ITEMS.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise bad_request(
            f"Invalid value: '{param}.type'. Supported values are: {', '.join(ITEMS)} …",
            code="invalid_value",
            param=f"{param}.type",
        )
    item = read_value(
        model, {key: field for key, field in value.items() if key != "type"} | {"type": kind}, prefix=param
    )
    if isinstance(item, MessageItem):
        return _read_message(item, param)
    if isinstance(item, FunctionCallItem):
        return {
            "id": item.id or new_id("fc"),
            "type": "function_call",
            "status": item.status or "completed",
            "call_id": item.call_id,
            "name": item.name,
            "arguments": item.arguments,
        }
    return _read_output(item)


def _read_message(item: MessageItem, param: str) -> Item:
    is_answer = item.role == "assistant"
    allowed = _OUTPUT_PARTS if is_answer else _INPUT_PARTS
    if isinstance(item.content, str):
        text = item.content
        if is_answer:
            return answer(text) | ({"id": item.id} if item.id else {})
        return message(item.role, [{"type": "input_text", "text": text}], item_id=item.id)
    for index, part in enumerate(item.content):
        if part.type not in allowed:
            raise bad_request(
                f"Invalid value: '{part.type}'. Supported values are: {', '.join(repr(kind) for kind in allowed)}.",
                code="invalid_value",
                param=f"{param}.content[{index}]",
            )
        if part.type == "input_image" and not (part.image_url or part.file_id):
            raise bad_request(
                "Missing required parameter: one of 'image_url' or 'file_id' must be given.",
                code="missing_required_parameter",
                param=f"{param}.content[{index}].image_url",
            )
    parts = [_stored_part(part) for part in item.content]
    return message(item.role, parts, status=item.status or "completed", item_id=item.id)


def _read_output(item: FunctionOutputItem) -> Item:
    output = item.output if isinstance(item.output, str) else [_stored_part(part) for part in item.output]
    return {
        "id": item.id or new_id("fco"),
        "type": "function_call_output",
        "status": item.status or "completed",
        "call_id": item.call_id,
        "output": output,
    }


def _stored_part(part: Part) -> dict[str, Any]:
    stored = part.model_dump(exclude_none=True)
    if part.type == "input_image":
        stored = {"detail": "auto", "file_id": None, "image_url": None} | stored
    return stored
