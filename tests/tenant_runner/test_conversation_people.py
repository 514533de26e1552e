"""Who may write in a chat: the assistant or a person; and when the customer, or a machine, ends it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tenant_runner.contract import ConversationStatusChanged
from tests.conftest import wait_for
from tests.tenant_runner.fake_channel import incoming, own
from tests.tenant_runner.house import CHAT, OTHER_CHAT, House

BYE = "No te escribimos más."


async def held(house: House) -> list[ConversationStatusChanged]:
    return [event for event in await house.events() if isinstance(event, ConversationStatusChanged)]


async def pass_time(house: House, seconds: float) -> None:
    """As if everything about people's holds had happened earlier."""
    await house.journal.database.run(
        "UPDATE chats SET taken_over_at = taken_over_at - ?1, taken_over_until = taken_over_until - ?1", seconds
    )
    house.conversation._deadlines.nudge()


# ------------------------------------------------------------------------------------------------ human takeover


async def test_what_the_owner_types_pauses_the_assistant_in_that_chat(house: House) -> None:
    typed = own("ya te confirmo")
    await house.receive(typed)
    await house.receive(incoming("dale"))
    await house.receive(incoming("hola", chat=OTHER_CHAT))
    await house.settled()
    assert [chat for chat, _, _ in house.channel.sent] == [OTHER_CHAT]
    assert await house.outcomes() == [("chat", "taken_over"), ("chat", None)]
    [event] = await held(house)
    assert (event.chat_id, event.status, event.reason) == (CHAT, "suspended", "owner_wrote")
    assert event.until == typed.sent_at + timedelta(seconds=house.config.takeover_s)


async def test_the_pause_ends_by_time_without_a_burst(house: House) -> None:
    await house.receive(own("ya te confirmo"))
    for number in range(3):
        await house.receive(incoming(f"dale {number}"))
    await pass_time(house, house.config.takeover_s)
    await wait_for(lambda: ended(house))
    await house.settled()
    assert house.channel.sent == []
    await house.receive(incoming("¿y el horario?"))
    await house.settled()
    assert house.channel.texts == ["re: ¿y el horario?"]
    assert house.assistant.histories == [["ya te confirmo", "dale 0", "dale 1", "dale 2"]]


async def ended(house: House) -> Any:
    return [(e.status, e.reason) for e in await held(house)][-1:] == [("automatic", "time")]


async def test_each_further_word_of_the_owner_prolongs_the_pause(house: House) -> None:
    await house.receive(own("ya te confirmo"))
    await pass_time(house, house.config.takeover_s - 60)
    await house.receive(own("listo"))
    await pass_time(house, 120)
    await house.receive(incoming("gracias"))
    await house.settled()
    assert house.channel.sent == []


async def test_the_pause_survives_a_restart(house: House) -> None:
    await house.receive(own("ya te confirmo"))
    await house.restart()
    await house.receive(incoming("dale"))
    await house.settled()
    assert house.channel.sent == []


@pytest.mark.parametrize("word", ["in the chat", "to themselves", "in the portal"])
async def test_the_owner_ends_the_pause_at_once(house: House, word: str) -> None:
    await house.receive(own("ya te confirmo"))
    if word == "in the portal":
        await house.conversation.set_automatic(CHAT, automatic=True)
    else:
        chat = {"chat": "me@c.us", "self_chat": True} if word == "to themselves" else {}
        await house.receive(own("activar bot", **chat))  # type: ignore[arg-type]
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.texts == ["re: hola"]
    assert (CHAT, "automatic") in [status[:2] for status in await house.statuses()]


async def test_the_owner_who_types_while_the_assistant_thinks_stops_its_reply(house: House) -> None:
    house.assistant.gate.clear()
    await house.receive(incoming("hola"))
    await wait_for(lambda: house.assistant.asked)
    await house.receive(own("hola, soy Marta"))
    house.assistant.gate.set()
    await house.settled()
    assert house.channel.sent == []
    assert await house.outcomes() == [("chat", "taken_over")]


async def test_the_owner_who_types_right_before_the_send_stops_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def type_meanwhile(chat_id: str, duration_s: float) -> None:
        await house.receive(own("hola, soy Marta"))

    monkeypatch.setattr(house.channel, "show_typing", type_meanwhile)
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.sent == []


async def test_an_agents_message_pauses_too_and_leaves_all_the_same(house: House) -> None:
    await house.conversation.send(CHAT, "Soy Marta, te ayudo", request_key="k1")
    await house.receive(incoming("gracias"))
    await house.settled()
    await wait_for(lambda: house.channel.texts == ["Soy Marta, te ayudo"])
    assert [status[:3] for status in await house.statuses()] == [(CHAT, "suspended", "agent_wrote")]


async def test_who_waits_for_a_person_is_told_when_the_pause_ends(house: House) -> None:
    await house.receive(own("ya te confirmo"))
    await house.journal.chats.wait_for_human(CHAT, "undecrypted")
    assert [status[1:] for status in await house.statuses()] == [("suspended", "owner_wrote")]
    await pass_time(house, house.config.takeover_s)
    await wait_for(lambda: told_twice(house))
    assert (await house.statuses())[-1] == (CHAT, "waiting_for_human", "undecrypted")


async def told_twice(house: House) -> bool:
    return len(await house.statuses()) == 2


async def test_zero_seconds_of_takeover_mean_none(house: House) -> None:
    house.configure(takeover_s=0.0)
    await house.receive(own("ya te confirmo"))
    await house.receive(incoming("dale"))
    await house.settled()
    assert house.channel.texts == ["re: dale"]
    assert await house.statuses() == []


async def test_what_the_owner_typed_long_ago_pauses_nothing(house: House) -> None:
    await house.receive(own("hola", sent_at=datetime.now(UTC) - timedelta(hours=2)))
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.texts == ["re: hola"]


async def test_an_old_word_of_the_owner_does_not_undo_their_newer_command(house: House) -> None:
    await house.receive(own("activar bot"))
    await house.receive(own("hola", sent_at=datetime.now(UTC) - timedelta(minutes=5)))
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.texts == ["re: hola"]


async def test_a_suspension_outlasts_the_pause(house: House) -> None:
    await house.receive(own("suspender bot"))
    await house.receive(own("yo me encargo"))
    await pass_time(house, house.config.takeover_s)
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.sent == []
    assert await house.outcomes() == [("chat", "suspended")]


# ------------------------------------------------------------------------------------------------ opt-out


@pytest.mark.parametrize("word", ["BAJA", "baja.", " Stop ", "¡STOP!"])
async def test_a_customer_who_opts_out_gets_one_confirmation_and_nothing_more(house: House, word: str) -> None:
    house.configure(opt_out_text=BYE)
    for text in (word, "hola", word):
        await house.receive(incoming(text))
        await house.settled()
    assert house.channel.texts == [BYE]
    assert house.assistant.asked == []
    assert await house.statuses() == [(CHAT, "suspended", "opted_out")]
    assert {outcome for _, outcome in await house.outcomes()} == {"opted_out"}


async def test_what_was_asked_in_one_breath_with_the_opt_out_is_told_as_opted_out(house: House) -> None:
    house.configure(opt_out_text="", debounce_s=0.3)
    await house.receive(incoming("hola"))
    await house.receive(incoming("baja"))
    await house.settled()
    assert house.channel.texts == []
    assert await house.outcomes() == [("chat", "opted_out"), ("chat", "opted_out")]


@pytest.mark.parametrize("lifted_by", ["owner", "portal"])
async def test_an_opt_out_is_lifted_by_a_person_alone(house: House, lifted_by: str) -> None:
    house.configure(opt_out_text=BYE)
    await house.receive(incoming("baja"))
    await house.settled()
    await house.receive(own("activar bot", chat="me@c.us", self_chat=True))
    await house.receive(incoming("activar bot"))
    await house.settled()
    assert house.channel.texts == [BYE], "a word for all chats is not meant for those who want none"
    if lifted_by == "owner":
        await house.receive(own("activar bot"))
    else:
        await house.conversation.set_automatic(CHAT, automatic=True)
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.texts == [BYE, "re: hola"]
    await house.receive(incoming("baja"))
    await house.settled()
    assert house.channel.texts == [BYE, "re: hola", BYE]


async def test_an_opt_out_word_inside_a_sentence_is_none(house: House) -> None:
    await house.receive(incoming("¿la cerveza está en baja?"))
    await house.settled()
    assert house.channel.texts == ["re: ¿la cerveza está en baja?"]


async def test_an_opt_out_during_a_pause_is_kept_and_not_confirmed(house: House) -> None:
    house.configure(opt_out_text=BYE)
    await house.receive(own("te cuento"))
    await house.receive(incoming("baja"))
    await pass_time(house, house.config.takeover_s)
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.sent == []


async def test_an_opt_out_stops_the_reply_that_is_being_made(house: House) -> None:
    house.assistant.gate.clear()
    await house.receive(incoming("hola"))
    await wait_for(lambda: house.assistant.asked)
    await house.receive(incoming("baja"))
    house.assistant.gate.set()
    await house.settled()
    assert house.channel.sent == []


async def test_an_opt_out_outlives_the_cleanup(house: House) -> None:
    await house.receive(incoming("baja"))
    await house.settled()
    events = await house.journal.outbox.next(100)
    await house.journal.outbox.accepted(events[-1].sequence)
    later = datetime.now(UTC).timestamp() + 60
    assert await house.journal.retention.delete_messages(later) == 1
    assert await house.journal.chats.silence(CHAT) == "opted_out"


# ------------------------------------------------------------------------------------------------ machines


async def test_a_machine_that_answers_at_once_is_left_after_some_exchanges(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenant_runner.loop.MACHINE_S", 3600.0)
    house.configure(loop_limit=3, debounce_s=0.0)
    for number in range(6):
        await house.receive(incoming(f"respuesta automática {number}"))
        await house.settled()
    assert len(house.channel.sent) == 3
    assert await house.statuses() == [(CHAT, "waiting_for_human", "loop")]
    assert [outcome for _, outcome in await house.outcomes()] == [None, None, None, "loop", "loop", "loop"]
    await house.receive(own("activar bot"))
    await house.receive(incoming("¿hola?"))
    await house.settled()
    assert len(house.channel.sent) == 4


async def test_a_machine_that_says_the_same_again_is_left_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenant_runner.loop.MACHINE_S", 0.0)
    house.configure(loop_limit=2, debounce_s=0.0)
    for _ in range(5):
        await house.receive(incoming("Estamos cerrados. ¡Gracias!"))
        await house.settled()
    assert len(house.channel.sent) == 2


async def test_a_person_who_takes_their_time_is_never_taken_for_a_machine(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenant_runner.loop.MACHINE_S", 0.0)
    house.configure(loop_limit=2, debounce_s=0.0)
    for number in range(5):
        await house.receive(incoming(f"pregunta {number}"))
        await house.settled()
    assert len(house.channel.sent) == 5


async def test_the_loop_breaker_can_be_switched_off_and_counts_across_restarts(house: House) -> None:
    house.configure(loop_limit=0, debounce_s=0.0)
    for _ in range(4):
        await house.receive(incoming("eco"))
        await house.settled()
    assert len(house.channel.sent) == 4
    house.configure(loop_limit=4)
    await house.restart()
    await house.receive(incoming("eco"))
    await house.settled()
    assert len(house.channel.sent) == 4
