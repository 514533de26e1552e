"""What the product asks of OpenAI, asked of the stand-in with OpenAI's own client."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from sandbox.servers import Endpoints, serve
from sandbox.settings import SandboxSettings
from tests.sandbox.openai_conformance import MODEL, Caller, violations_of

SHOP = "Abrimos de lunes a sábado de 8 a 20. Enviamos a toda la ciudad por $1500."
TOOL: Any = {
    "type": "function",
    "name": "get_order",
    "description": "look up an order",
    "parameters": {
        "type": "object",
        "properties": {"order_id": {"type": "string"}},
        "required": ["order_id"],
        "additionalProperties": False,
    },
    "strict": True,
}


def test_the_check_sees_a_body_that_breaks_the_specification() -> None:
    assert violations_of("ConversationResource", {"id": "conv_1", "object": "conversation", "created_at": "now"})
    assert violations_of("CreateResponse", {"model": MODEL, "input": "x", "max_output_tokens": 3})


async def test_models_say_when_they_are_switched_off(caller: Caller) -> None:
    models = {model.id: model for model in (await caller.api.models.list()).data}

    assert models[MODEL].model_dump()["shutdown_date"] is None
    assert models["gpt-4o-mini"].model_dump()["shutdown_date"] == "2027-01-14"
    assert (await caller.api.models.retrieve(MODEL)).id == MODEL
    with pytest.raises(openai.NotFoundError):
        await caller.api.models.retrieve("gpt-1")


async def test_models_can_be_replaced_and_one_past_its_date_is_gone(caller: Caller) -> None:
    wanted = [{"id": "gpt-7"}, {"id": "gpt-old", "shutdown_date": "2026-01-01"}]
    assert (await caller.control.put("/models", json=wanted)).status_code == 200
    try:
        assert [model.id for model in (await caller.api.models.list()).data] == ["gpt-7"]
        with pytest.raises(openai.BadRequestError) as refused:
            await caller.api.responses.create(model="gpt-old", input="hola")
        assert refused.value.code == "model_not_found"
    finally:
        await caller.control.delete("/models")
    assert len((await caller.api.models.list()).data) > 2


async def test_a_turn_is_answered_from_the_instructions_and_kept_in_its_conversation(caller: Caller) -> None:
    conversation = await caller.api.conversations.create(metadata={"chat": "1"})

    answer = await caller.ask("¿Hacen envíos?", instructions=SHOP, conversation=conversation.id)

    assert answer == "Enviamos a toda la ciudad por $1500."
    items = await caller.items(conversation.id)
    assert [(item.role, item.content[0].text) for item in items] == [("user", "¿Hacen envíos?"), ("assistant", answer)]


async def test_a_conversation_remembers_and_another_one_does_not(caller: Caller) -> None:
    first, second = await caller.api.conversations.create(), await caller.api.conversations.create()

    await caller.ask("Hola, me llamo Ana", conversation=first.id)

    assert await caller.ask("¿Cómo me llamo?", conversation=first.id) == "Te llamás Ana."
    assert "Ana" not in await caller.ask("¿Cómo me llamo?", conversation=second.id)


async def test_a_stored_response_can_be_read_continued_and_deleted(caller: Caller) -> None:
    first = await caller.api.responses.create(model=MODEL, input="me llamo Ana", metadata={"turn": "1"})
    second = await caller.api.responses.create(model=MODEL, input="¿cómo me llamo?", previous_response_id=first.id)

    assert second.output_text == "Te llamás Ana."
    assert (await caller.api.responses.retrieve(first.id)).metadata == {"turn": "1"}
    await caller.api.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        await caller.api.responses.retrieve(first.id)
    with pytest.raises(openai.NotFoundError):
        await caller.api.responses.delete(first.id)


async def test_an_unstored_response_cannot_be_read_again(caller: Caller) -> None:
    response = await caller.api.responses.create(model=MODEL, input="hola", store=False)

    with pytest.raises(openai.NotFoundError):
        await caller.api.responses.retrieve(response.id)


async def test_items_come_in_pages_in_both_orders(caller: Caller) -> None:
    conversation = await caller.api.conversations.create(items=[_said("user", f"m{n}") for n in range(20)])
    added = await caller.api.conversations.items.create(
        conversation.id, items=[_said("assistant", f"m{n}") for n in range(20, 30)]
    )

    assert [item.content[0].text for item in await caller.items(conversation.id)] == [f"m{n}" for n in range(30)]
    page = await caller.api.conversations.items.list(conversation.id, limit=3)
    assert [item.content[0].text for item in list[Any](page.data)] == ["m29", "m28", "m27"]
    assert page.has_more
    assert added.data[0].id
    retrieved = await caller.api.conversations.items.retrieve(added.data[0].id, conversation_id=conversation.id)
    assert retrieved == added.data[0]


@pytest.mark.parametrize("limit", [0, 101])
async def test_a_page_has_one_to_a_hundred_items(caller: Caller, limit: int) -> None:
    conversation = await caller.api.conversations.create()
    with pytest.raises(openai.BadRequestError, match="limit"):
        await caller.api.conversations.items.list(conversation.id, limit=limit)


async def test_more_than_twenty_items_at_once_are_refused_and_none_is_kept(caller: Caller) -> None:
    conversation = await caller.api.conversations.create()
    many = [_said("user", "x")] * 21

    with pytest.raises(openai.BadRequestError) as refused:
        await caller.api.conversations.items.create(conversation.id, items=many)
    assert refused.value.code == "array_above_max_length"
    with pytest.raises(openai.BadRequestError):
        await caller.api.conversations.create(items=many)
    assert await caller.items(conversation.id) == []


async def test_deleting_a_conversation_leaves_its_items_behind(caller: Caller) -> None:
    before = (await caller.control.get("/conversations")).json()["orphaned_items"]
    tidy, sloppy = [await caller.api.conversations.create(items=[_said("user", "hola")]) for _ in range(2)]

    for item in await caller.items(tidy.id):
        await caller.api.conversations.items.delete(item.id, conversation_id=tidy.id)
    await caller.api.conversations.delete(tidy.id)
    await caller.api.conversations.delete(sloppy.id)

    assert (await caller.control.get("/conversations")).json()["orphaned_items"] == before + 1
    for attempt in (
        caller.api.conversations.retrieve(tidy.id),
        caller.api.conversations.delete(tidy.id),
        caller.api.conversations.items.delete("msg_1", conversation_id=tidy.id),
    ):
        with pytest.raises(openai.NotFoundError):
            await attempt


async def test_metadata_of_a_conversation_is_replaced(caller: Caller) -> None:
    conversation = await caller.api.conversations.create(metadata={"a": "1"})

    changed = await caller.api.conversations.update(conversation.id, metadata={"b": "2"})

    assert changed.metadata == {"b": "2"}
    assert (await caller.api.conversations.retrieve(conversation.id)).metadata == {"b": "2"}


async def test_what_belongs_to_one_key_does_not_exist_for_another(as_key: Callable[..., Caller]) -> None:
    ours, theirs = as_key("sk-tenant-one-aaaa1111"), as_key("sk-tenant-two-bbbb2222")
    conversation = await ours.api.conversations.create(items=[_said("user", "secreto")])
    response = await ours.api.responses.create(model=MODEL, input="hola")
    [item] = await ours.items(conversation.id)

    for attempt in (
        theirs.api.conversations.retrieve(conversation.id),
        theirs.api.conversations.delete(conversation.id),
        theirs.api.conversations.items.list(conversation.id),
        theirs.api.conversations.items.delete(item.id, conversation_id=conversation.id),
        theirs.api.responses.retrieve(response.id),
        theirs.api.responses.create(model=MODEL, input="x", conversation=conversation.id),
    ):
        with pytest.raises(openai.NotFoundError):
            await attempt
    with pytest.raises(openai.BadRequestError) as refused:
        await theirs.api.responses.create(model=MODEL, input="x", previous_response_id=response.id)
    assert refused.value.code == "previous_response_not_found"
    assert len(await ours.items(conversation.id)) == 1


async def test_the_log_tells_keys_apart_and_holds_none(as_key: Callable[..., Caller]) -> None:
    # Two keys that end alike.
    one, two = as_key("sk-first-key-of-all-same"), as_key("sk-second-key-here-same")
    await one.ask("hola, me llamo Brunilda")
    await two.ask("hola")

    log = await one.requests()

    assert {entry["key_hint"] for entry in log} == {"sk-…same"}
    assert len({entry["key_id"] for entry in log}) == 2
    everything = "".join([(await one.control.get(path)).text for path in ("/requests", "/conversations", "/faults")])
    assert one.key not in everything
    assert "Brunilda" not in json.dumps(log)


async def test_images_and_several_messages_make_one_turn(caller: Caller) -> None:
    picture = "data:image/png;base64,iVBORw0KGgo="
    parts: list[Any] = [
        {"type": "input_text", "text": "¿a qué hora abren?"},
        {"type": "input_image", "image_url": picture, "detail": "low"},
    ]
    turn: list[Any] = [{"role": "user", "content": "hola"}, {"role": "user", "content": parts}]
    conversation = await caller.api.conversations.create()

    response = await caller.api.responses.create(
        model=MODEL, input=turn, instructions=SHOP, conversation=conversation.id
    )

    assert response.output_text == "Abrimos de lunes a sábado de 8 a 20."
    assert len(await caller.items(conversation.id)) == 3


async def test_a_function_is_called_and_its_output_answered(caller: Caller) -> None:
    conversation = await caller.api.conversations.create()
    call = await caller.api.responses.create(
        model=MODEL,
        input="¿dónde está la orden 42?",
        tools=[TOOL],
        tool_choice="required",
        conversation=conversation.id,
    )
    [item] = call.output
    assert item.type == "function_call"
    assert json.loads(item.arguments) == {"order_id": "42"}

    output: list[Any] = [{"type": "function_call_output", "call_id": item.call_id, "output": "en camino"}]
    answer = await caller.api.responses.create(model=MODEL, input=output, tools=[TOOL], conversation=conversation.id)

    assert "en camino" in answer.output_text
    kinds = [each.type for each in await caller.items(conversation.id)]
    assert kinds == ["message", "function_call", "function_call_output", "message"]


async def test_a_long_answer_is_cut_and_incomplete(caller: Caller) -> None:
    response = await caller.api.responses.create(model=MODEL, input="x" * 500, instructions="", max_output_tokens=16)

    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


async def test_a_recording_is_transcribed_as_a_demo(caller: Caller) -> None:
    text = await caller.api.audio.transcriptions.create(model="gpt-transcribe", file=("voz.ogg", b"OggS" * 100))

    assert text.text.startswith("(demo)")
    with pytest.raises(openai.BadRequestError, match="format"):
        await caller.api.audio.transcriptions.create(model="gpt-transcribe", file=("voz.txt", b"hola"))


async def test_every_answer_says_that_it_is_a_stand_in(sandbox: Endpoints) -> None:
    async with httpx2.AsyncClient(base_url=sandbox.url, trust_env=False, timeout=60) as http:
        for path in ("/openai/v1/models", "/openai/v1/threads"):
            answer = await http.get(path)
            assert "not OpenAI" in answer.headers["x-flame-sandbox"]
        assert "Esto no es OpenAI" in (await http.get("/openai/")).text
        assert "This is not OpenAI" in (await http.get("/openai/?lang=en")).text


async def test_conversations_outlive_a_restart_and_keys_are_kept_as_hashes(tmp_path: Path) -> None:
    settings = SandboxSettings(data_directory=tmp_path, port=0, tls_port=0, smtp_port=0)
    key = "sk-durable-1234567890"
    async with serve(settings) as endpoints:
        caller = Caller(endpoints.url, key)
        conversation = await caller.api.conversations.create()
        await caller.ask("me llamo Ana", conversation=conversation.id)
        await caller.close()

    async with serve(settings) as endpoints:
        caller = Caller(endpoints.url, key)
        assert await caller.ask("¿cómo me llamo?", conversation=conversation.id) == "Te llamás Ana."
        await caller.close()

    files = list(settings.state_directory.glob("openai*"))
    assert files
    for file in files:
        assert key.encode() not in file.read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def _said(role: str, text: str) -> Any:
    return {"type": "message", "role": role, "content": text}
