"""The one path from message to reply, with a real journal and a channel that misbehaves on demand."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tenant_runner.channels.base import ChannelNotReady, SendRefused, SendUnknown
from tenant_runner.contract import (
    MessageAcknowledged,
    MessageRecorded,
    RunnerConfig,
)
from tenant_runner.journal import Journal
from tests.conftest import wait_for
from tests.tenant_runner.fake_channel import incoming, own
from tests.tenant_runner.house import CHAT, OTHER_CHAT, House


async def test_a_message_is_answered_once_and_both_are_told_in_order(house: House) -> None:
    question = incoming("hola")
    await house.receive(question)
    await house.receive(question)
    await house.settled()
    assert house.channel.texts == ["re: hola"]
    assert house.channel.read == [CHAT]
    assert house.channel.typed == [CHAT]
    first, second, third = await house.events()
    assert isinstance(first, MessageRecorded)
    assert isinstance(second, MessageRecorded)
    assert isinstance(third, MessageAcknowledged)
    assert (first.author, first.text, first.contact_name) == ("contact", "hola", "Ana")
    assert (second.author, second.text, second.in_reply_to) == ("assistant", "re: hola", (question.message_id,))
    assert (third.message_id, third.ack) == (second.message_id, "server")


async def test_messages_in_a_row_are_one_turn(house: House) -> None:
    await house.receive(incoming("hola"))
    await house.receive(incoming("quiero pan"))
    await house.settled()
    assert house.channel.texts == ["re: hola + quiero pan"]


async def test_a_customer_who_never_pauses_is_answered_at_the_cap(house: House) -> None:
    house.config = house.config.model_copy(update={"debounce_s": 0.5, "debounce_cap_s": 1.0})
    await house.restart()
    written = 0

    async def write_on() -> bool:
        nonlocal written
        await house.receive(incoming(str(written)))
        written += 1
        return bool(house.assistant.asked)

    # Never a pause of debounce_s: only the cap ends the turn.
    await wait_for(write_on, interval_s=0.1)
    await house.settled()
    assert [text for asked in house.assistant.asked for text in asked] == [str(number) for number in range(written)]


async def test_a_message_during_a_running_turn_gets_a_turn_of_its_own(house: House) -> None:
    house.assistant.gate.clear()
    await house.receive(incoming("uno"))
    await wait_for(lambda: house.assistant.asked == [["uno"]])
    await house.receive(incoming("dos"))
    # Its time to be asked has come once a chat that wrote later was.
    await house.receive(incoming("tres", chat=OTHER_CHAT))
    await wait_for(lambda: len(house.assistant.asked) == 2)
    assert house.assistant.asked == [["uno"], ["tres"]]
    house.assistant.gate.set()
    await house.settled()
    assert [text for chat, text, _ in house.channel.sent if chat == CHAT] == ["re: uno", "re: dos"]
    assert house.assistant.histories[2] == ["uno", "re: uno"]


async def test_chats_do_not_wait_for_each_other(house: House) -> None:
    house.assistant.gate.clear()
    await house.receive(incoming("uno"))
    await house.receive(incoming("dos", chat=OTHER_CHAT))
    await wait_for(lambda: len(house.assistant.asked) == 2)
    house.assistant.gate.set()
    await house.settled()
    assert sorted(house.channel.sent)[0][:2] == (CHAT, "re: uno")
    assert sorted(house.channel.sent)[1][:2] == (OTHER_CHAT, "re: dos")


async def test_it_is_calm_when_nothing_is_being_answered(house: House) -> None:
    await house.conversation.calm()
    house.assistant.gate.clear()
    await house.receive(incoming("uno"))
    await house.receive(incoming("dos", chat=OTHER_CHAT))
    await wait_for(lambda: len(house.assistant.asked) == 2)
    calm = asyncio.create_task(house.conversation.calm())
    await asyncio.sleep(0)
    assert not calm.done()
    house.assistant.gate.set()
    await wait_for(calm.done)
    assert sorted(house.channel.texts) == ["re: dos", "re: uno"]
    # Nor is a turn that was interrupted being answered.
    house.assistant.gate.clear()
    await house.receive(incoming("tres"))
    await wait_for(lambda: len(house.assistant.asked) == 3)
    await house.conversation.stop()
    await house.conversation.calm()


async def test_groups_notices_and_stale_messages_are_not_answered(house: House) -> None:
    await house.receive(incoming("a todos", chat="1203@g.us", broadcast=True))
    await house.receive(incoming("", kind="e2e_notification", system=True))
    await house.receive(incoming("viejo", sent_at=datetime.now(UTC) - timedelta(minutes=16)))
    await house.settled()
    assert house.channel.sent == []
    events = [event for event in await house.events() if isinstance(event, MessageRecorded)]
    assert [(event.text, event.outcome) for event in events] == [("viejo", "too_old")]
    assert await house.statuses() == [(CHAT, "waiting_for_human", "too_old")]


# ------------------------------------------------------------------------------------------------ crashes and outages


async def test_a_turn_that_a_crash_interrupted_is_answered_after_it(house: House) -> None:
    house.assistant.gate.clear()
    await house.receive(incoming("hola"))
    await wait_for(lambda: house.assistant.asked)
    house.assistant.gate = asyncio.Event()
    house.assistant.gate.set()
    await house.restart()
    await house.settled()
    assert house.channel.texts == ["re: hola"]


async def test_a_message_that_waited_for_its_turn_when_it_crashed_is_answered(house: House) -> None:
    await house.receive(incoming("hola"))
    await house.restart()
    await house.settled()
    assert house.channel.texts == ["re: hola"]


async def test_what_waited_through_a_long_outage_of_the_runner_is_left_to_a_person(house: House) -> None:
    house.assistant.gate.clear()
    await house.receive(incoming("hola"))
    await house.receive(incoming("hola", chat=OTHER_CHAT))
    await wait_for(lambda: len(house.assistant.asked) == 2)
    await house.conversation.stop()
    await house.journal.database.run("UPDATE messages SET recorded_at = recorded_at - 1000 WHERE chat_id = ?", CHAT)
    house.assistant.gate = asyncio.Event()
    house.assistant.gate.set()
    await house.restart()
    await house.settled()
    assert [chat for chat, _, _ in house.channel.sent] == [OTHER_CHAT]
    assert await house.statuses() == [(CHAT, "waiting_for_human", "too_old")]


async def test_a_reply_that_left_before_the_crash_is_not_sent_again(house: House) -> None:
    house.channel.trouble = [SendUnknown]
    house.channel.delivers_in_trouble = True
    await house.receive(incoming("hola"))
    await wait_for(lambda: house.channel.sent)
    await house.restart()
    await house.settled()
    assert house.channel.texts == ["re: hola"]


async def test_a_reply_that_certainly_did_not_leave_is_sent_again_under_its_id(house: House) -> None:
    house.channel.trouble = [SendUnknown]
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.texts == ["re: hola"]
    recorded = [e for e in await house.events() if isinstance(e, MessageRecorded) and e.author == "assistant"]
    assert [e.message_id for e in recorded] == [house.channel.sent[0][2]]


async def test_a_reply_waits_for_the_channel_and_keeps_the_answer(house: House) -> None:
    await reply_without_channel(house)
    await house.restart()
    house.channel.working.set()
    await house.settled()
    assert house.channel.texts == ["re: hola"]
    assert house.assistant.asked == [["hola"]]


async def reply_without_channel(house: House) -> None:
    """A reply that is in the journal and waits for the channel."""
    house.channel.working.clear()
    await house.receive(incoming("hola"))

    async def replied() -> Any:
        async with house.journal.transaction():
            return await house.journal.database.rows("SELECT 1 FROM turns WHERE reply IS NOT NULL")

    await wait_for(replied)


async def reply_long_ago(house: House) -> None:
    await reply_without_channel(house)
    await house.conversation.stop()
    await house.journal.database.run("UPDATE turns SET replied_at = replied_at - 1000")
    await house.restart()


async def test_a_reply_that_waited_too_long_for_the_channel_is_left_to_a_person(house: House) -> None:
    await reply_long_ago(house)
    house.channel.working.set()
    await house.settled()
    assert house.channel.sent == []
    assert await house.outcomes() == [("chat", "channel_outage")]
    assert await house.statuses() == [(CHAT, "waiting_for_human", "channel_outage")]


async def test_a_reply_that_became_too_late_is_replaced_by_an_apology(house: House) -> None:
    house.configure(apology_text="Perdón por la demora.")
    await reply_long_ago(house)
    house.channel.working.set()
    await house.settled()
    assert house.channel.texts == ["Perdón por la demora."]
    assert await house.outcomes() == [("chat", "channel_outage")]


async def test_a_crash_after_a_reply_was_dropped_leaves_its_turn_to_a_person(house: House) -> None:
    house.channel.working.clear()
    house.configure(too_old_s=3600.0)
    await reply_long_ago(house)
    await house.conversation.stop()
    await house.journal.outbound.prepare(
        message_id="o1", chat_id=CHAT, author="assistant", text="re: hola", turn_id=1, part=0
    )
    await house.journal.outbound.drop("o1")
    house.channel.working.set()
    await house.restart()
    await house.settled()
    assert house.channel.sent == []
    assert await house.outcomes() == [("chat", "not_sent")]
    assert await house.statuses() == [(CHAT, "waiting_for_human", "not_sent")]


async def test_an_empty_text_is_recorded_and_not_answered(house: House) -> None:
    await house.receive(incoming("  "))
    await house.settled()
    assert house.channel.sent == []
    assert await house.outcomes() == [("chat", "empty")]


async def test_a_broken_channel_right_at_the_send_is_tried_again(house: House) -> None:
    house.channel.trouble = [ChannelNotReady]
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.texts == ["re: hola"]


async def test_a_reply_that_nobody_can_look_up_is_given_up_as_unknown(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cannot_tell(chat_id: str, message_id: str) -> None:
        raise ChannelNotReady

    monkeypatch.setattr("tenant_runner.outgoing.PENDING_PATIENCE_S", 0.3)
    monkeypatch.setattr(house.channel, "find", cannot_tell)
    house.channel.trouble = [SendUnknown]
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.sent == []
    acks = [event.ack for event in await house.events() if isinstance(event, MessageAcknowledged)]
    assert acks == ["pending", "unknown"], "what nobody knows can be seen"
    assert await house.statuses() == [(CHAT, "waiting_for_human", "send_unknown")]


async def test_a_refused_reply_is_told_as_failed_and_not_repeated(house: House) -> None:
    house.channel.trouble = [SendRefused]
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.sent == []
    acks = [event.ack for event in await house.events() if isinstance(event, MessageAcknowledged)]
    assert acks == ["failed"]
    assert await house.statuses() == [(CHAT, "waiting_for_human", "send_failed")]
    await house.receive(incoming("¿hola?"))
    await house.settled()
    assert house.channel.texts == ["re: ¿hola?"]
    assert (await house.statuses())[-1] == (CHAT, "automatic", None)


async def test_a_bug_in_one_turn_neither_loses_it_nor_stops_other_chats(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenant_runner.conversation.AFTER_A_BUG_S", 0.05)
    generate, calls = house.channel.new_message_id, 0

    async def break_once(chat_id: str) -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ZeroDivisionError
        return await generate(chat_id)

    monkeypatch.setattr(house.channel, "new_message_id", break_once)
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.texts == ["re: hola"]


# ------------------------------------------------------------------------------------------------ the owner


async def test_the_owner_suspends_and_resumes_one_chat(house: House) -> None:
    await house.receive(own("  Suspendér   BOT "))
    await house.receive(incoming("hola"))
    await house.receive(incoming("hola", chat=OTHER_CHAT))
    await house.settled()
    assert [chat for chat, _, _ in house.channel.sent] == [OTHER_CHAT]
    await house.receive(own("activar bot"))
    await house.receive(incoming("¿y ahora?"))
    await house.settled()
    assert house.channel.sent[-1][:2] == (CHAT, "re: ¿y ahora?")
    assert await house.statuses() == [(CHAT, "suspended", "owner"), (CHAT, "automatic", "owner")]
    assert house.assistant.histories[-1] == ["  Suspendér   BOT ", "hola", "activar bot"]


async def test_the_owner_suspends_and_resumes_everything_in_their_own_chat(house: House) -> None:
    await house.receive(own("suspender bot", chat=OTHER_CHAT))
    await house.receive(own("suspender bot", chat="me@c.us", self_chat=True))
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.sent == []
    await house.receive(own("activar bot", chat="me@c.us", self_chat=True))
    await house.receive(incoming("hola", chat=OTHER_CHAT))
    await house.settled()
    assert house.channel.texts == ["re: hola"]
    assert [status[:2] for status in await house.statuses()][1:] == [(None, "suspended"), (None, "automatic")]


async def test_a_customer_cannot_command_the_bot(house: House) -> None:
    await house.receive(incoming("suspender bot"))
    await house.settled()
    assert house.channel.texts == ["re: suspender bot"]
    assert await house.statuses() == []


async def test_a_suspension_while_the_assistant_thinks_stops_the_reply(house: House) -> None:
    house.assistant.gate.clear()
    await house.receive(incoming("hola"))
    await wait_for(lambda: house.assistant.asked)
    await house.receive(own("suspender bot"))
    house.assistant.gate.set()
    await house.settled()
    assert house.channel.sent == []
    assert house.channel.read == []


async def test_our_own_sends_are_not_taken_for_the_owners(house: House) -> None:
    await house.receive(incoming("hola"))
    await house.settled()
    chat_id, text, message_id = house.channel.sent[0]
    await house.receive(own(text, chat=chat_id, message_id=message_id))
    recorded = [event.author for event in await house.events() if isinstance(event, MessageRecorded)]
    assert recorded == ["contact", "assistant"]


async def test_an_old_command_does_not_undo_a_newer_one(house: House) -> None:
    await house.receive(own("suspender bot"))
    await house.receive(own("activar bot", sent_at=datetime.now(UTC) - timedelta(minutes=5)))
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.sent == []


# ------------------------------------------------------------------------------------------------ requests


async def test_a_request_with_the_same_key_is_sent_once(house: House) -> None:
    first = await house.conversation.send(CHAT, "Su pedido está listo", request_key="k1")
    again = await house.conversation.send(CHAT, "Su pedido está listo", request_key="k1")
    assert again.message_id == first.message_id
    await wait_for(lambda: house.channel.texts == ["Su pedido está listo"])
    await house.conversation.send(CHAT, "Su pedido está listo", request_key="k1")
    await wait_for(lambda: house.conversation.idle)
    assert len(house.channel.sent) == 1
    recorded = [event for event in await house.events() if isinstance(event, MessageRecorded)]
    assert [(event.author, event.message_id) for event in recorded] == [("agent", first.message_id)]


async def test_a_promised_request_survives_a_crash(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    send = house.channel.send
    arrived = asyncio.Event()

    async def hang(*_: str) -> None:
        arrived.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(house.channel, "send", hang)
    await house.conversation.send(CHAT, "listo", request_key="k1")
    await asyncio.wait_for(arrived.wait(), 60)
    monkeypatch.setattr(house.channel, "send", send)
    await house.restart()
    await wait_for(lambda: house.channel.texts == ["listo"])


async def test_a_message_of_the_second_of_a_cleanup_is_answered(house: House) -> None:
    """Channels give whole seconds: right after a cleanup a new message looked older than it."""
    for _ in range(3):
        moment = datetime.now(UTC)
        await house.journal.retention.delete_messages(moment.timestamp())
        await house.receive(incoming("hola", sent_at=moment.replace(microsecond=0)))
    await house.settled()
    # In however many turns: a cleanup takes its time.
    assert [text for asked in house.assistant.asked for text in asked] == ["hola"] * 3
    assert " + ".join(text.removeprefix("re: ") for text in house.channel.texts) == "hola + hola + hola"


async def test_a_processed_message_is_answered_with_its_history_and_sent_nowhere(house: House) -> None:
    assert await house.conversation.ask("web-1", "hola") == "re: hola"
    assert await house.conversation.ask("web-1", "¿y?") == "re: ¿y?"
    assert await house.conversation.ask("web-2", "hola") == "re: hola"
    assert house.assistant.histories == [[], ["hola", "re: hola"], []]
    assert house.channel.sent == []
    assert await house.events() == []


async def test_two_clients_with_the_same_customer_do_not_mix(tmp_path: Path, config: RunnerConfig) -> None:
    journals = [await Journal.open(tmp_path / name) for name in ("a.sqlite3", "b.sqlite3")]
    houses = [House(journal, config) for journal in journals]
    for house, text in zip(houses, ("uno", "dos"), strict=True):
        await house.receive(incoming(text))
    for house in houses:
        await house.settled()
    assert [house.channel.texts for house in houses] == [["re: uno"], ["re: dos"]]
    for house, journal in zip(houses, journals, strict=True):
        await house.conversation.stop()
        await journal.close()
