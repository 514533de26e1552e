"""How the stand-in says no: as OpenAI does, when OpenAI would, and whenever it was told to."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest

from sandbox.servers import Endpoints
from tests.conftest import wait_for
from tests.sandbox.openai_conformance import MODEL, Caller
from tests.sandbox.test_openai_api import TOOL


@pytest.mark.parametrize("key", ["sk-bad-0000000000", "pk-0000000000"])
async def test_a_wrong_key_opens_nothing(as_key: Callable[..., Caller], key: str) -> None:
    caller = as_key(key)

    with pytest.raises(openai.AuthenticationError) as refused:
        await caller.api.models.list()

    assert refused.value.code == "invalid_api_key"
    assert key not in str(refused.value)


async def test_without_a_key_nothing_is_answered(sandbox: Endpoints) -> None:
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as http:
        answer = await http.get(f"{sandbox.url}/openai/v1/models")
    assert answer.status_code == 401


async def test_a_key_without_credit_lists_models_but_answers_nothing(as_key: Callable[..., Caller]) -> None:
    caller = as_key("sk-noquota-0000000000")

    assert (await caller.api.models.list()).data
    with pytest.raises(openai.RateLimitError) as refused:
        await caller.ask("hola")
    assert refused.value.code == "insufficient_quota"


@pytest.mark.parametrize(
    ("wrong", "code", "param"),
    [
        ({"max_output_tokens": 15}, "integer_below_min_value", "max_output_tokens"),
        ({"temperature": 0.5}, None, "temperature"),
        ({"top_p": 0.5}, None, "top_p"),
        ({"extra_body": {"temprature": 1}}, "unknown_parameter", "temprature"),
        ({"model": "gpt-nope"}, "model_not_found", "model"),
        ({"model": "gpt-transcribe"}, "model_not_found", "model"),
        ({"store": "yes"}, "invalid_type", "store"),
        ({"metadata": {"a": 1}}, "invalid_type", "metadata.a"),
        ({"input": [{"role": "robot", "content": "x"}]}, "invalid_value", "input[0].role"),
        ({"input": [{"role": "user"}]}, "missing_required_parameter", "input[0].content"),
        ({"input": [{"role": "user", "content": "x", "name": "y"}]}, "unknown_parameter", "input[0].name"),
        (
            {"input": [{"role": "user", "content": [{"type": "output_text", "text": "x", "annotations": []}]}]},
            "invalid_value",
            "input[0].content[0]",
        ),
        ({"input": []}, "missing_required_parameter", "input"),
        ({"previous_response_id": "resp_1", "conversation": "conv_1"}, "mutually_exclusive_parameters", None),
        ({"stream": True}, "sandbox_unsupported", "stream"),
    ],
)
async def test_what_openai_refuses_is_refused(
    caller: Caller, wrong: dict[str, Any], code: str | None, param: str | None
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await caller.api.responses.create(**{"model": MODEL, "input": "hola", **wrong})

    assert (refused.value.code, refused.value.param) == (code, param)


@pytest.mark.parametrize(
    "right",
    [
        {"model": "gpt-4o-mini", "temperature": 0.5, "top_p": 0.9},
        {"reasoning": {"effort": "none"}, "temperature": 0.5},
        {"context_management": [{"type": "compaction", "compact_threshold": 200_000}]},
        {
            "text": {"verbosity": "low"},
            "reasoning": {"effort": "low"},
            "safety_identifier": "abc",
            "truncation": "auto",
        },
        {"input": [{"type": "message", "role": "developer", "content": "Abrimos a las 8."}], "max_output_tokens": 16},
        {"tools": [{"type": "web_search"}], "parallel_tool_calls": False},
    ],
)
async def test_what_openai_accepts_is_accepted(caller: Caller, right: dict[str, Any]) -> None:
    response = await caller.api.responses.create(**{"model": MODEL, "input": "hola", **right})
    assert response.output_text


async def test_a_body_that_is_not_json_is_refused_without_being_repeated(sandbox: Endpoints) -> None:
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as http:
        answer = await http.post(
            f"{sandbox.url}/openai/v1/responses",
            content=b"{secret",
            headers={"authorization": "Bearer sk-test-1234567890", "content-type": "application/json"},
        )
    assert answer.status_code == 400
    assert "secret" not in answer.text


async def test_the_assistants_api_is_switched_off(caller: Caller) -> None:
    with pytest.raises(openai.NotFoundError, match="Invalid URL"):
        await caller.api.post("/threads", body={}, cast_to=object)


async def test_a_conversation_takes_one_turn_at_a_time(caller: Caller) -> None:
    conversation = await caller.api.conversations.create()
    await caller.fail(path="^/responses$", think_s=5)
    first = asyncio.create_task(caller.ask("hola", conversation=conversation.id))
    under_way: bool = await wait_for(lambda: _is_under_way(caller))
    assert under_way

    with pytest.raises(openai.BadRequestError) as refused:
        await caller.ask("hola de nuevo", conversation=conversation.id)

    assert refused.value.code == "conversation_locked"
    assert await caller.items(conversation.id) == []  # nothing of the first turn either, until it is complete
    await first
    await caller.ask("hola de nuevo", conversation=conversation.id)
    assert len(await caller.items(conversation.id)) == 4


async def test_a_turn_that_timed_out_is_committed_all_the_same(as_key: Callable[..., Caller]) -> None:
    caller = as_key("sk-impatient-12345678")
    conversation = await caller.api.conversations.create()
    await caller.fail(path="^/responses$", think_s=1.2)

    with pytest.raises(openai.APITimeoutError):
        await caller.ask("hola", conversation=conversation.id, timeout_s=0.5)

    async def committed() -> bool:
        return len(await caller.items(conversation.id)) == 2

    is_committed: bool = await wait_for(committed)
    assert is_committed


async def test_a_call_without_its_output_wedges_a_conversation(caller: Caller) -> None:
    conversation = await caller.api.conversations.create()
    await caller.api.responses.create(
        model=MODEL, input="orden 1", tools=[TOOL], tool_choice="required", conversation=conversation.id
    )

    for _ in range(2):
        with pytest.raises(openai.BadRequestError, match="No tool output found for function call"):
            await caller.ask("hola", conversation=conversation.id)
    stray: Any = [{"type": "function_call_output", "call_id": "call_unknown", "output": "x"}]
    with pytest.raises(openai.BadRequestError, match="No tool call found"):
        await caller.api.responses.create(model=MODEL, input=stray)


async def test_a_conversation_can_outgrow_the_model(caller: Caller) -> None:
    conversation = await caller.api.conversations.create(items=[_long_message() for _ in range(5)])
    await caller.control.put("/limits", json={"context_tokens": 600})
    try:
        with pytest.raises(openai.BadRequestError) as refused:
            await caller.ask("hola", conversation=conversation.id)
        assert refused.value.code == "context_length_exceeded"
        assert len(await caller.items(conversation.id)) == 5
        response = await caller.api.responses.create(
            model=MODEL, input="hola", conversation=conversation.id, truncation="auto"
        )
        assert response.output_text
    finally:
        await caller.control.put("/limits", json={"context_tokens": None})
    assert await caller.ask("hola", conversation=conversation.id)


async def test_a_fault_meets_its_key_and_its_path_as_often_as_it_was_told(as_key: Callable[..., Caller]) -> None:
    ours, theirs = as_key("sk-fault-one-aaaa3333"), as_key("sk-fault-two-bbbb4444")
    await ours.fail(path="^/responses$", status=429, code="rate_limit_exceeded", headers={"retry-after": "7"}, times=2)

    await ours.api.models.list()
    await theirs.ask("hola")
    for _ in range(2):
        with pytest.raises(openai.RateLimitError) as refused:
            await ours.ask("hola")
        assert refused.value.response.headers["retry-after"] == "7"
    assert await ours.ask("hola")
    assert [entry["status"] for entry in await ours.requests() if entry["path"] == "/responses"] == [429, 429, 200]
    assert (await ours.control.get("/faults")).json()["faults"] == []


async def test_a_fault_never_shows_the_key_it_is_for(caller: Caller) -> None:
    await caller.fail(status=500)

    assert caller.key not in (await caller.control.get("/faults")).text
    with pytest.raises(openai.InternalServerError):
        await caller.api.models.list()


@pytest.mark.parametrize(("moment", "kept"), [("before", 0), ("after", 2)])
async def test_a_connection_is_cut_before_or_after_the_work(caller: Caller, moment: str, kept: int) -> None:
    conversation = await caller.api.conversations.create()
    await caller.fail(path="^/responses$", cut=moment)

    with pytest.raises(openai.APIConnectionError):
        await caller.ask("hola", conversation=conversation.id)

    assert len(await caller.items(conversation.id)) == kept
    assert await caller.ask("hola", conversation=conversation.id)


async def test_a_delay_holds_the_answer_back(caller: Caller) -> None:
    await caller.fail(path="^/models$", delay_s=0.6)

    started = time.monotonic()
    await caller.api.models.list()

    assert time.monotonic() - started >= 0.6


async def test_faults_are_removed_one_by_one_and_a_wrong_one_is_refused(caller: Caller) -> None:
    await caller.fail(status=500, times=None)
    [fault] = (await caller.control.get("/faults")).json()["faults"]

    assert (await caller.control.delete(f"/faults/{fault['id']}")).status_code == 204
    assert (await caller.control.delete(f"/faults/{fault['id']}")).status_code == 404
    assert (await caller.control.post("/faults", json={"path": "("})).status_code == 422
    assert (await caller.control.post("/faults", content=b'{"status": 500}')).status_code == 415
    assert (await caller.api.models.list()).data


def _long_message() -> Any:
    return {"type": "message", "role": "user", "content": "palabra " * 100}


async def _is_under_way(caller: Caller) -> bool:
    return any(entry["path"] == "/responses" and entry["status"] is None for entry in await caller.requests())
