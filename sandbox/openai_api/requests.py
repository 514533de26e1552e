"""Request bodies, checked as OpenAI checks them: what it would refuse is refused here, in its words."""

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from sandbox.openai_api.errors import ApiError, bad_request

Body = TypeVar("Body", bound=BaseModel)

MAX_ITEMS = 20
MIN_OUTPUT_TOKENS = 16

# Types of items that OpenAI knows and the stand-in has no use for.
FOREIGN_ITEMS = frozenset(
    {
        "file_search_call",
        "computer_call",
        "computer_call_output",
        "web_search_call",
        "tool_search_call",
        "tool_search_output",
        "additional_tools",
        "reasoning",
        "compaction",
        "compaction_trigger",
        "image_generation_call",
        "code_interpreter_call",
        "local_shell_call",
        "local_shell_call_output",
        "shell_call",
        "shell_call_output",
        "apply_patch_call",
        "apply_patch_call_output",
        "mcp_list_tools",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "custom_tool_call_output",
        "custom_tool_call",
        "item_reference",
        "program",
        "program_output",
    }
)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class InputText(_Body):
    """A text by a user, the system or a developer."""

    type: Literal["input_text"]
    text: str = Field(max_length=10_485_760)
    prompt_cache_breakpoint: JsonValue = None


class InputImage(_Body):
    """An image, by address or as a data URL."""

    type: Literal["input_image"]
    image_url: str | None = Field(default=None, max_length=20_971_520)
    file_id: str | None = None
    detail: Literal["low", "high", "auto", "original"] | None = None
    prompt_cache_breakpoint: JsonValue = None


class InputFile(_Body):
    """A file."""

    type: Literal["input_file"]
    file_id: str | None = None
    filename: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    detail: str | None = None
    prompt_cache_breakpoint: JsonValue = None


class OutputText(_Body):
    """A text by the assistant."""

    type: Literal["output_text"]
    text: str
    annotations: list[JsonValue] = Field(default_factory=list)
    logprobs: list[JsonValue] = Field(default_factory=list)


class Refusal(_Body):
    """The assistant's refusal."""

    type: Literal["refusal"]
    refusal: str


Part = Annotated[InputText | InputImage | InputFile | OutputText | Refusal, Field(discriminator="type")]
Status = Literal["in_progress", "completed", "incomplete"]


class MessageItem(_Body):
    """A message in either of its spellings, with its content as a string or in parts."""

    type: Literal["message"] = "message"
    id: str | None = None
    status: Status | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Part]
    phase: str | None = None


class FunctionCallItem(_Body):
    """The assistant's call of a function."""

    type: Literal["function_call"]
    id: str | None = None
    call_id: str
    name: str
    arguments: str
    namespace: str | None = None
    caller: JsonValue = None
    status: Status | None = None


class FunctionOutputItem(_Body):
    """What a called function returned."""

    type: Literal["function_call_output"]
    id: str | None = None
    call_id: str = Field(min_length=1, max_length=64)
    output: str | list[Part]
    name: str | None = None
    namespace: str | None = None
    caller: JsonValue = None
    status: Status | None = None


ITEMS: dict[str, type[MessageItem] | type[FunctionCallItem] | type[FunctionOutputItem]] = {
    "message": MessageItem,
    "function_call": FunctionCallItem,
    "function_call_output": FunctionOutputItem,
}

_Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]


class ConversationRef(_Body):
    """A conversation, named by an object."""

    id: str


class ContextManagement(_Body):
    """How the context may be shortened."""

    type: Literal["compaction"]
    compact_threshold: int | None = Field(default=None, ge=1_000)


class Tool(BaseModel):
    """A tool; the stand-in calls functions and leaves all others unused."""

    model_config = ConfigDict(extra="allow", strict=True)

    type: str
    name: str | None = None
    parameters: dict[str, JsonValue] | None = None


class NewResponse(_Body):
    """Body of `POST /responses`; items stay as they came, `items.py` reads them one by one."""

    model: str | None = None
    input: str | list[dict[str, Any]] | None = None
    instructions: str | None = None
    conversation: str | ConversationRef | None = None
    previous_response_id: str | None = None
    max_output_tokens: int | None = Field(default=None, ge=MIN_OUTPUT_TOKENS)
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, JsonValue] | None = None
    parallel_tool_calls: bool | None = None
    store: bool | None = None
    metadata: _Metadata | None = None
    truncation: Literal["auto", "disabled"] | None = None
    context_management: Annotated[list[ContextManagement], Field(min_length=1)] | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    reasoning: dict[str, JsonValue] | None = None
    text: dict[str, JsonValue] | None = None
    include: list[str] | None = None
    max_tool_calls: int | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"] | None = None
    safety_identifier: str | None = Field(default=None, max_length=64)
    prompt_cache_key: str | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    prompt_cache_options: dict[str, JsonValue] | None = None
    moderation: JsonValue = None
    user: str | None = None
    stream: bool | None = None
    stream_options: JsonValue = None
    background: bool | None = None
    prompt: JsonValue = None

    @property
    def conversation_id(self) -> str | None:
        """The conversation, however it was named."""
        return self.conversation.id if isinstance(self.conversation, ConversationRef) else self.conversation


class NewConversation(_Body):
    """Body of `POST /conversations`."""

    metadata: _Metadata | None = None
    items: Annotated[list[dict[str, Any]], Field(max_length=MAX_ITEMS)] | None = None


class ConversationChange(_Body):
    """Body of `POST /conversations/{id}`."""

    metadata: _Metadata | None


class NewItems(_Body):
    """Body of `POST /conversations/{id}/items`."""

    items: Annotated[list[dict[str, Any]], Field(max_length=MAX_ITEMS)]


def read_body(model: type[Body], raw: bytes, *, prefix: str = "") -> Body:
    """Check a JSON body.

    Raises:
        ApiError: 400, naming the first argument at fault as OpenAI names it (`input[0].role`).
    """
    try:
        return model.model_validate_json(raw or b"{}")
    except ValidationError as error:
        raise _refusal(error, prefix) from None


def read_value(model: type[Body], value: object, *, prefix: str) -> Body:
    """Check a value that is part of a body.

    Raises:
        ApiError: as `read_body`.
    """
    return read_body(model, json.dumps(value).encode(), prefix=prefix)


# Kind of problem: OpenAI's code for it, its words, and which bound they end with.
_BOUNDS = {
    "greater_than_equal": ("integer_below_min_value", "integer below minimum value. Expected a value >=", "ge"),
    "less_than_equal": ("integer_above_max_value", "integer above maximum value. Expected a value <=", "le"),
    "too_long": ("array_above_max_length", "array too long. Expected an array with maximum length", "max_length"),
    "string_too_long": (
        "string_above_max_length",
        "string too long. Expected a string with maximum length",
        "max_length",
    ),
}


def _refusal(error: ValidationError, prefix: str) -> ApiError:
    """The first problem of a body, in OpenAI's words; never the body's own content."""
    # Of a union, pydantic reports every member that it tried; the one that came farthest is what the caller meant.
    problem = max(error.errors(include_input=False, include_url=False), key=lambda each: len(each["loc"]))
    context = problem.get("ctx", {})
    param = _name(problem["loc"], prefix) or None
    kind = problem["type"]
    if kind == "json_invalid":
        return bad_request("We could not parse the JSON body of your request.")
    if kind == "extra_forbidden":
        return bad_request(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)
    if kind in ("missing", "union_tag_not_found"):
        return bad_request(f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param)
    if kind in _BOUNDS:
        code, words, bound = _BOUNDS[kind]
        return bad_request(f"Invalid '{param}': {words} {context[bound]}.", code=code, param=param)
    if kind in ("literal_error", "union_tag_invalid"):
        expected = context.get("expected") or context.get("expected_tags")
        return bad_request(
            f"Invalid value for '{param}'. Supported values are: {expected}.", code="invalid_value", param=param
        )
    return bad_request(f"Invalid type for '{param}': {problem['msg'].lower()}.", code="invalid_type", param=param)


_PART_TYPES = frozenset({"input_text", "input_image", "input_file", "output_text", "refusal"})
# Names that pydantic puts into a location for the member of a union that it tried.
_UNION_MEMBERS = frozenset({"str", "ConversationRef", "constrained-str", "list[dict[str,any]]", "dict[str,json-value]"})


def _name(location: tuple[int | str, ...], prefix: str) -> str:
    name = prefix
    for part in location:
        if isinstance(part, int):
            name += f"[{part}]"
        elif not (part in _UNION_MEMBERS or part.startswith(("list[", "dict[", "function-")) or part in _PART_TYPES):
            name += f".{part}" if name else part
    return name
