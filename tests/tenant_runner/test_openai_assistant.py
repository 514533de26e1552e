"""The OpenAI assistant: the real SDK over real HTTP against the stand-in."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from pydantic import SecretStr

from tenant_runner.assistants.base import Question, Rejected, TenantProblem, Unavailable
from tenant_runner.assistants.openai import OpenAIReplies, fingerprint
from tenant_runner.contract import OpenAIAssistant, ThreadChanged
from tenant_runner.journal import Journal, Line
from tests.tenant_runner.openai_stand_in import OpenAIStandIn

MakeReplies = Callable[[OpenAIAssistant], OpenAIReplies]
KEY = "sk-test-0000000000000000001a"
OTHER_KEY = "sk-test-0000000000000000002b"
CHAT = "5491100000001@c.us"
PICTURE = "data:image/png;base64,iVBORw0KGgo="
INSTRUCTIONS = "Sos la panadería. El horario es de 9 a 18. El pan casero cuesta 900 pesos."


def settings(api: OpenAIStandIn, key: str = KEY, model: str = "gpt-6-luna") -> OpenAIAssistant:
    return OpenAIAssistant(api_key=SecretStr(key), base_url=api.base_url, model=model, instructions=INSTRUCTIONS)


@dataclass
class Chat:
    """What the conversation would do around the assistant: number the lines and keep them."""

    assistant: OpenAIReplies
    lines: list[Line] = field(default_factory=list)

    def note(self, text: str, *, customer: bool = False, by_assistant: bool = False) -> Line:
        line = Line(len(self.lines) + 1, "user" if customer else "assistant", text, by_assistant=by_assistant)
        self.lines.append(line)
        return line

    async def say(self, text: str) -> str:
        history = tuple(self.lines)
        new = self.note(text, customer=True)
        reply = await self.assistant.answer(Question(CHAT, history, (new,)))
        self.note(reply, by_assistant=True)
        return reply


@pytest.fixture
def chat(make_replies: MakeReplies, openai_api: OpenAIStandIn) -> Chat:
    return Chat(make_replies(settings(openai_api)))


def texts(conversation: dict[str, object]) -> list[str]:
    items = conversation["items"]
    assert isinstance(items, list)
    return [part["text"] for item in items for part in item["content"] if "text" in part]


async def test_a_chat_has_one_conversation_that_remembers(
    chat: Chat, journal: Journal, openai_api: OpenAIStandIn
) -> None:
    await chat.say("Hola, me llamo Ana")
    reply = await chat.say("¿Cuál es el horario?")
    assert "9 a 18" in reply
    [conversation] = await openai_api.conversations()
    assert len(texts(conversation)) == 4
    thread = await journal.threads.get(CHAT)
    assert thread is not None
    assert (thread.conversation_id, thread.generation) == (conversation["id"], 1)
    events = [event.payload for event in await journal.outbox.next(100)]
    assert {e.conversation_id for e in events if isinstance(e, ThreadChanged)} == {conversation["id"]}


async def test_a_lost_conversation_is_built_again_from_the_chat(
    chat: Chat, journal: Journal, openai_api: OpenAIStandIn
) -> None:
    for number in range(15):
        await chat.say(f"Línea {number}")
    [lost] = await openai_api.conversations()
    await openai_api.delete(lost["id"], KEY)
    assert "9 a 18" in await chat.say("¿Cuál es el horario?")
    [conversation] = await openai_api.conversations()
    assert texts(conversation)[:1] == ["Línea 0"]
    assert len(texts(conversation)) == 32
    thread = await journal.threads.get(CHAT)
    assert thread is not None
    assert thread.generation == 2
    assert [remote.conversation_id for remote in await journal.threads.remote(None)] == [conversation["id"]]


async def test_a_conversation_that_grew_too_long_is_built_again_shorter(
    chat: Chat, journal: Journal, openai_api: OpenAIStandIn
) -> None:
    for number in range(12):
        await chat.say(f"Línea {number} " + "larga " * 40)
    await openai_api.limit(1500)
    assert "9 a 18" in await chat.say("¿Cuál es el horario?")
    await openai_api.limit(None)
    assert sorted(len(texts(each)) for each in await openai_api.conversations()) == [10, 24]
    # The one that was given up stays listed: it still has to be deleted there.
    assert len(await journal.threads.remote(None)) == 2


async def test_a_new_key_builds_its_own_conversation(
    chat: Chat, make_replies: MakeReplies, journal: Journal, openai_api: OpenAIStandIn
) -> None:
    await chat.say("Hola, me llamo Ana")
    chat.assistant = make_replies(settings(openai_api, OTHER_KEY))
    await chat.say("¿Cuál es el horario?")
    conversations = await openai_api.conversations()
    assert len({each["key_id"] for each in conversations}) == 2
    newest = next(each for each in conversations if len(texts(each)) == 4)
    assert texts(newest)[0] == "Hola, me llamo Ana"
    thread = await journal.threads.get(CHAT)
    assert thread is not None
    assert thread.key_fingerprint == fingerprint(OTHER_KEY)
    assert OTHER_KEY not in thread.key_fingerprint


async def test_what_people_wrote_meanwhile_reaches_the_conversation(chat: Chat, openai_api: OpenAIStandIn) -> None:
    await chat.say("Hola")
    chat.note("¿Hay alguien?", customer=True)
    chat.note("Sí, soy Marta, la dueña")
    await chat.say("¿Cuál es el horario?")
    [conversation] = await openai_api.conversations()
    assert texts(conversation)[2:5] == ["¿Hay alguien?", "Sí, soy Marta, la dueña", "¿Cuál es el horario?"]


async def test_a_locked_conversation_is_waited_for(chat: Chat, openai_api: OpenAIStandIn) -> None:
    await chat.say("Hola")
    await openai_api.fail("/responses", status=400, code="conversation_locked", kind="invalid_request_error")
    assert "9 a 18" in await chat.say("¿Cuál es el horario?")
    assert len(await openai_api.conversations()) == 1


@pytest.mark.parametrize(
    ("key", "model", "problem"),
    [
        ("sk-bad-00000000000000000000", "gpt-6-luna", "bad_key"),
        ("sk-noquota-000000000000000000", "gpt-6-luna", "no_quota"),
        (KEY, "gpt-0-none", "model_not_found"),
    ],
)
async def test_what_only_the_tenant_can_solve_is_told_apart(
    make_replies: MakeReplies, openai_api: OpenAIStandIn, key: str, model: str, problem: str
) -> None:
    chat = Chat(make_replies(settings(openai_api, key, model)))
    with pytest.raises(TenantProblem) as caught:
        await chat.say("Hola")
    assert caught.value.problem == problem
    assert key not in caught.value.detail


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_provider_in_trouble_is_unavailable(chat: Chat, openai_api: OpenAIStandIn, status: int) -> None:
    await openai_api.fail("/responses", status=status, times=2, headers={"Retry-After": "1"})
    with pytest.raises(Unavailable) as caught:
        await chat.say("Hola")
    assert caught.value.retry_after_s == 1


async def test_a_cut_connection_is_unavailable_and_the_next_attempt_succeeds(
    chat: Chat, openai_api: OpenAIStandIn
) -> None:
    await openai_api.fail("/responses", cut="before", times=2)
    with pytest.raises(Unavailable):
        await chat.say("Hola")
    assert await chat.say("¿Cuál es el horario?")


async def test_a_malformed_request_is_rejected(chat: Chat, openai_api: OpenAIStandIn) -> None:
    await openai_api.fail("/responses", status=400, code="invalid_value", kind="invalid_request_error")
    with pytest.raises(Rejected) as caught:
        await chat.say("Hola")
    assert not caught.value.by_policy


async def test_nobody_at_the_address_is_unavailable(make_replies: MakeReplies) -> None:
    config = OpenAIAssistant(
        api_key=SecretStr(KEY), base_url="http://127.0.0.1:9/v1", model="gpt-6-luna", instructions=""
    )
    chat = Chat(make_replies(config))
    with pytest.raises(Unavailable):
        await chat.say("Hola")


async def test_a_picture_is_sent_as_a_data_url_at_low_detail(chat: Chat, openai_api: OpenAIStandIn) -> None:
    line = Line(1, "user", "¿Cuánto cuesta este pan?", image=PICTURE)
    assert "900" in await chat.assistant.answer(Question(CHAT, (), (line,)))
    [conversation] = await openai_api.conversations()
    asked = conversation["items"][0]["content"]
    assert (asked[0]["type"], asked[0]["image_url"], asked[0]["detail"]) == ("input_image", PICTURE, "low")
    assert asked[1]["text"] == "¿Cuánto cuesta este pan?"


async def test_a_picture_without_words_is_answered(chat: Chat) -> None:
    assert await chat.assistant.answer(Question(CHAT, (), (Line(1, "user", "", image=PICTURE),)))


async def test_what_could_not_be_read_is_noted_for_the_model(chat: Chat, openai_api: OpenAIStandIn) -> None:
    await chat.assistant.answer(Question(CHAT, (), (Line(1, "user", "", note="a document"), Line(2, "user", "Hola"))))
    [conversation] = await openai_api.conversations()
    assert texts(conversation)[:2] == ["[a document]", "Hola"]


@pytest.mark.parametrize("mimetype", ["audio/ogg; codecs=opus", "audio/mpeg", "audio/mp4", None])
async def test_a_recording_is_transcribed_in_the_language_that_is_expected(chat: Chat, mimetype: str | None) -> None:
    assert "voz de prueba" in await chat.assistant.transcribe(b"OggS recording", mimetype, "es")
    assert "voice message" in await chat.assistant.transcribe(b"OggS recording", mimetype, "en")


async def test_a_recording_is_not_understood_in_the_ways_that_a_text_is_not(
    chat: Chat, make_replies: MakeReplies, openai_api: OpenAIStandIn
) -> None:
    with pytest.raises(Rejected):
        await chat.assistant.transcribe(b"", "audio/ogg", "es")
    await openai_api.fail("/audio/transcriptions", status=503, times=2)
    with pytest.raises(Unavailable):
        await chat.assistant.transcribe(b"OggS", "audio/ogg", "es")
    other = make_replies(settings(openai_api, "sk-noquota-000000000000000000"))
    with pytest.raises(TenantProblem) as caught:
        await other.transcribe(b"OggS", "audio/ogg", "es")
    assert caught.value.problem == "no_quota"


async def test_forgetting_leaves_nothing_at_the_provider(
    chat: Chat, journal: Journal, openai_api: OpenAIStandIn
) -> None:
    for number in range(12):
        await chat.say(f"Línea {number}")
    [remote] = await journal.threads.remote(None)
    assert len(remote.response_ids) == 12
    await chat.assistant.forget(remote)
    assert await openai_api.state() == {"conversations": [], "orphaned_items": 0, "stored_responses": 0}
    await chat.assistant.forget(remote)
