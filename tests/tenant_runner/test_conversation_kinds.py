"""What becomes of each kind of message, and of one that changes; docs/messages.md has the table."""

import asyncio
import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from tenant_runner.assistants.base import Rejected, TenantProblem, Unavailable
from tenant_runner.channels.base import ChannelChange, ChannelMessage, ChannelNotReady
from tenant_runner.contract import MediaFacts, MessageRecorded
from tests.conftest import wait_for
from tests.tenant_runner.fake_channel import incoming, own
from tests.tenant_runner.house import CHAT, OTHER_CHAT, House

UNSUPPORTED_TEXT = "Por ahora no puedo ver eso."
PICTURE = b"\x89PNG picture"


@pytest.fixture(autouse=True)
def polite(house: House) -> None:
    house.configure(unsupported_text=UNSUPPORTED_TEXT, apology_text="Perdón por la demora.")


def picture(text: str = "", mimetype: str = "image/png") -> ChannelMessage:
    return incoming(text, kind="image", media=MediaFacts(mimetype=mimetype))


def voice_note() -> ChannelMessage:
    return incoming("", kind="ptt", media=MediaFacts(mimetype="audio/ogg; codecs=opus", duration_s=3))


def changed(
    message: ChannelMessage, change: Literal["edited", "revoked", "reaction"], text: str = "", *, from_me: bool = False
) -> ChannelChange:
    return ChannelChange(change, message.message_id, message.chat_id, text, datetime.now(UTC), from_me=from_me)


# ------------------------------------------------------------------------------------------------ files


async def test_a_picture_is_given_to_the_assistant_with_its_caption(house: House) -> None:
    message = picture("¿tienen esta torta?")
    house.channel.files[message.message_id] = PICTURE
    await house.receive(message)
    await house.settled()
    [line] = house.assistant.questions[0].new
    assert line.image == f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
    assert house.channel.texts == ["re: ¿tienen esta torta?"]
    assert await house.outcomes() == [("image", None)]
    assert await house.journal.media.wanted() == []


async def test_later_turns_know_that_there_was_a_picture_and_do_not_get_it_again(house: House) -> None:
    message = picture()
    house.channel.files[message.message_id] = PICTURE
    await house.receive(message)
    await house.settled()
    await house.receive(incoming("¿y?"))
    await house.settled()
    first = house.assistant.questions[1].history[0]
    assert (first.note, first.image) == ("a picture", None)


@pytest.mark.parametrize("kind", ["ptt", "audio"])
async def test_a_recording_is_transcribed_and_answered_as_text(house: House, kind: str) -> None:
    message = replace(voice_note(), kind=kind)
    house.channel.files[message.message_id] = "¿a qué hora abren?".encode()
    await house.receive(message)
    await house.settled()
    assert house.assistant.heard == [("¿a qué hora abren?".encode(), "audio/ogg; codecs=opus", "es")]
    assert house.channel.texts == ["re: ¿a qué hora abren?"]
    [transcript] = await house.changes()
    assert (transcript.event, transcript.message_id) == ("message.updated", message.message_id)
    assert (transcript.text, transcript.outcome) == ("¿a qué hora abren?", None)


async def test_a_text_is_stored_and_told_while_its_picture_is_still_wanted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()

    async def download(*_: object) -> bytes:
        await gate.wait()
        return PICTURE

    monkeypatch.setattr(house.channel, "download", download)
    await house.receive(picture())
    await house.receive(incoming("¿tienen esta?"))
    recorded = [event.kind for event in await house.events() if isinstance(event, MessageRecorded)]
    assert recorded == ["image", "chat"]
    await house.receive(incoming("hola", chat=OTHER_CHAT))
    await wait_for(lambda: house.channel.texts == ["re: hola"], what="another chat does not wait for the file")
    gate.set()
    await house.settled()
    assert [line.text for line in house.assistant.questions[1].new] == ["", "¿tienen esta?"]


async def test_a_file_that_is_not_there_yet_is_asked_for_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    message, tries = picture(), 0

    async def download(*_: object) -> bytes:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ChannelNotReady
        return PICTURE

    monkeypatch.setattr(house.channel, "download", download)
    await house.receive(message)
    await house.settled()
    assert house.assistant.questions[0].new[0].image is not None


async def test_a_wanted_file_survives_a_crash_and_is_on_no_disk(house: House, tmp_path: Path) -> None:
    house.assistant.gate.clear()
    message = picture("mirá")
    house.channel.files[message.message_id] = PICTURE
    await house.receive(message)
    await wait_for(lambda: house.assistant.questions)
    encoded = base64.b64encode(PICTURE)
    assert not any(PICTURE in f.read_bytes() or encoded in f.read_bytes() for f in tmp_path.rglob("journal*"))
    await house.conversation.stop()
    house.assistant.gate = asyncio.Event()
    house.assistant.gate.set()
    await house.restart()
    await house.settled()
    assert house.assistant.questions[-1].new[0].image is not None
    assert house.channel.texts == ["re: mirá"]


async def test_a_recording_waits_for_a_transcription_that_fails_for_a_while(house: House) -> None:
    house.assistant.deafness = [Unavailable("503"), Unavailable("timeout")]
    message = voice_note()
    house.channel.files[message.message_id] = b"hola"
    await house.receive(message)
    await house.settled()
    assert house.channel.texts == ["re: hola"]


@pytest.mark.parametrize(
    "failures",
    [[Rejected("secret words")], [Unavailable("secret words")] * 99, [TenantProblem("no_quota", "secret words")] * 99],
    ids=["rejected", "unavailable", "no_quota"],
)
async def test_a_recording_that_nobody_understands_is_left_to_a_person(house: House, failures: list[Exception]) -> None:
    house.patience = replace(house.patience, media_s=0.3)
    await house.restart()
    house.assistant.deafness = failures
    message = voice_note()
    house.channel.files[message.message_id] = b"hola"
    await house.receive(message)
    await house.settled()
    assert house.channel.texts == [house.config.fallback_text]
    assert await house.outcomes() == [("ptt", "media_unavailable")]
    assert await house.statuses() == [(CHAT, "waiting_for_human", "media_unavailable")]


async def test_a_file_that_is_gone_is_said_beside_the_answer_to_the_rest(house: House) -> None:
    await house.receive(picture())
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.texts == [f"re:  + hola\n\n{UNSUPPORTED_TEXT}"]
    assert "cannot be read" in house.assistant.questions[0].new[0].note
    assert await house.outcomes() == [("image", "media_unavailable"), ("chat", None)]


# ------------------------------------------------------------------------------------------------ other kinds


@pytest.mark.parametrize(
    "kind", ["document", "location", "vcard", "multi_vcard", "poll_creation", "video", "some_kind_of_tomorrow"]
)
async def test_a_kind_that_cannot_be_read_is_recorded_and_answered_politely(house: House, kind: str) -> None:
    await house.receive(incoming("BEGIN:DATA", kind=kind))
    await house.receive(incoming("BEGIN:DATA", kind=kind))
    await house.settled()
    assert house.channel.texts == [UNSUPPORTED_TEXT]
    assert house.assistant.asked == []
    assert await house.outcomes() == [(kind, "unsupported_kind")] * 2
    assert await house.statuses() == []


async def test_what_cannot_be_read_is_said_beside_the_answer_to_the_text(house: House) -> None:
    await house.receive(incoming("BEGIN:DATA", kind="vcard"))
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.texts == [f"re:  + hola\n\n{UNSUPPORTED_TEXT}"]


async def test_nobody_expects_an_answer_to_a_sticker(house: House) -> None:
    await house.receive(incoming("", kind="sticker"))
    await house.settled()
    assert house.channel.sent == []
    assert await house.outcomes() == [("sticker", "no_answer_expected")]


async def test_a_picture_of_a_strange_type_is_not_fetched(house: House) -> None:
    await house.receive(picture(mimetype="image/tiff"))
    await house.settled()
    assert house.channel.texts == [UNSUPPORTED_TEXT]


async def test_an_assistant_that_cannot_see_says_so(house: House) -> None:
    house.assistant.sees = False
    await house.receive(picture())
    await house.settled()
    assert house.channel.texts == [UNSUPPORTED_TEXT]


async def test_without_a_text_for_it_nothing_is_said(house: House) -> None:
    house.configure(unsupported_text="")
    await house.receive(incoming("", kind="document"))
    await house.settled()
    assert house.channel.sent == []
    assert await house.outcomes() == [("document", "unsupported_kind")]


async def test_groups_statuses_and_notices_are_not_even_recorded(house: House) -> None:
    await house.receive(incoming("a todos", chat="1203@g.us", broadcast=True))
    await house.receive(incoming("", kind="e2e_notification", system=True))
    await house.settled()
    assert await house.events() == []


async def test_what_is_quoted_is_told(house: House) -> None:
    await house.receive(incoming("ese", quoted_id="m0"))
    await house.settled()
    [question] = [e for e in await house.events() if isinstance(e, MessageRecorded) and e.author == "contact"]
    assert question.quoted_id == "m0"


# ------------------------------------------------------------------------------------------------ undecrypted


async def test_a_message_is_recorded_at_once_and_answered_when_its_real_form_comes(house: House) -> None:
    message = incoming("", kind="ciphertext", undecrypted=True)
    await house.receive(message)
    await house.receive(message)
    assert await house.outcomes() == [("ciphertext", None)]
    real = replace(message, kind="chat", text="hola", undecrypted=False)
    await house.receive(real)
    await house.receive(real)
    await house.settled()
    assert house.channel.texts == ["re: hola"]
    assert [(e.event, e.kind, e.text) for e in await house.changes()] == [("message.updated", "chat", "hola")]


async def test_a_message_that_stays_undecrypted_is_left_to_a_person_and_answered_if_it_comes_late(
    house: House,
) -> None:
    house.patience = replace(house.patience, undecrypted_s=0.3)
    await house.restart()
    message = incoming("", kind="ciphertext", undecrypted=True)
    await house.receive(message)
    await wait_for(house.statuses)
    assert await house.outcomes() == [("ciphertext", "undecrypted")]
    assert await house.statuses() == [(CHAT, "waiting_for_human", "undecrypted")]
    await house.receive(replace(message, kind="chat", text="hola", undecrypted=False))
    await house.settled()
    assert house.channel.texts == ["re: hola"]
    assert await house.outcomes() == [("chat", None)]
    assert (await house.statuses())[-1] == (CHAT, "automatic", None)


# ------------------------------------------------------------------------------------------------ changes


async def test_an_edited_message_that_waits_is_answered_in_its_new_form(house: House) -> None:
    house.configure(debounce_s=0.5)
    message = incoming("hola")
    await house.receive(message)
    for _ in range(2):
        await house.conversation.change(changed(message, "edited", "¿horario?"))
    await house.settled()
    assert house.channel.texts == ["re: ¿horario?"]
    assert [(e.event, e.text, e.author) for e in await house.changes()] == [("message.edited", "¿horario?", "contact")]


async def test_a_revoked_message_that_waits_is_not_answered(house: House) -> None:
    house.configure(debounce_s=0.5)
    message = incoming("hola")
    await house.receive(message)
    for _ in range(2):
        await house.conversation.change(changed(message, "revoked"))
    await house.settled()
    assert house.channel.sent == []
    assert house.assistant.asked == []
    assert await house.outcomes() == [("chat", "revoked")]
    assert [(e.event, e.text) for e in await house.changes()] == [("message.revoked", "")]
    assert not await house.journal.database.rows("SELECT 1 FROM messages WHERE text <> ''")


async def test_a_message_that_is_revoked_while_the_assistant_thinks_is_not_answered(house: House) -> None:
    house.assistant.gate.clear()
    message = incoming("hola")
    await house.receive(message)
    await wait_for(lambda: house.assistant.asked)
    await house.conversation.change(changed(message, "revoked"))
    house.assistant.gate.set()
    await house.settled()
    assert house.channel.sent == []


async def test_a_picture_that_is_revoked_is_not_fetched_any_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> bytes:
        await asyncio.Event().wait()
        return b""

    monkeypatch.setattr(house.channel, "download", never)
    message = picture()
    await house.receive(message)
    await house.conversation.change(changed(message, "revoked"))
    await house.settled()
    assert house.channel.sent == []
    assert await house.journal.media.wanted() == []


async def test_nobody_changes_the_message_of_another(house: House) -> None:
    await house.receive(incoming("hola"))
    await house.settled()
    chat_id, text, message_id = house.channel.sent[0]
    ours = own(text, chat=chat_id, message_id=message_id)
    await house.conversation.change(changed(ours, "edited", "algo falso"))
    await house.conversation.change(changed(ours, "revoked"))
    assert await house.changes() == []
    await house.conversation.change(changed(ours, "edited", "algo corregido", from_me=True))
    assert [(e.text, e.author) for e in await house.changes()] == [("algo corregido", "owner")]


async def test_reactions_are_told_once_and_taken_back(house: House) -> None:
    message = incoming("hola")
    await house.receive(message)
    await house.settled()
    for emoji in ("👍", "👍", ""):
        await house.conversation.change(changed(message, "reaction", emoji))
    await house.conversation.change(changed(message, "reaction", "🙏", from_me=True))
    await house.conversation.change(changed(incoming("unknown"), "reaction", "👍"))
    told = [(e.event, e.text, e.author) for e in await house.changes()]
    assert told == [
        ("message.reaction", "👍", "contact"),
        ("message.reaction", "", "contact"),
        ("message.reaction", "🙏", "owner"),
    ]
    assert len(house.channel.sent) == 1


# ------------------------------------------------------------------------------------------------ after an outage


async def test_stale_messages_get_one_apology_per_chat_and_outage(house: House) -> None:
    hours_ago = datetime.now(UTC) - timedelta(hours=2)
    for text in ("hola", "¿hay alguien?"):
        await house.receive(incoming(text, sent_at=hours_ago))
    await house.receive(incoming("hola", chat=OTHER_CHAT, sent_at=hours_ago))
    await house.settled()
    await house.receive(incoming("¿y?", sent_at=hours_ago))
    await house.settled()
    assert sorted((chat, text) for chat, text, _ in house.channel.sent) == [
        (CHAT, "Perdón por la demora."),
        (OTHER_CHAT, "Perdón por la demora."),
    ]
    assert house.assistant.asked == []
    assert {outcome for _, outcome in await house.outcomes()} == {"too_old"}
    assert (CHAT, "waiting_for_human", "too_old") in await house.statuses()
    await house.receive(incoming("hola de nuevo"))
    await house.settled()
    assert house.channel.texts[-1] == "re: hola de nuevo"
    await house.receive(incoming("hola", sent_at=hours_ago))
    await house.settled()
    assert house.channel.texts[-1] == "Perdón por la demora.", "another outage has its own apology"


async def test_a_fresh_message_after_stale_ones_is_answered_without_an_apology(house: House) -> None:
    await house.receive(incoming("hola", sent_at=datetime.now(UTC) - timedelta(hours=2)))
    await house.receive(incoming("¿abren hoy?"))
    await house.settled()
    assert house.channel.texts == ["re: hola + ¿abren hoy?"]


async def test_nobody_apologises_for_what_is_long_forgotten(house: House) -> None:
    await house.receive(incoming("hola", sent_at=datetime.now(UTC) - timedelta(days=3)))
    await house.settled()
    assert house.channel.sent == []


async def test_how_old_is_too_old_is_a_setting(house: House) -> None:
    house.configure(too_old_s=7200.0)
    await house.receive(incoming("hola", sent_at=datetime.now(UTC) - timedelta(hours=1)))
    await house.settled()
    assert house.channel.texts == ["re: hola"]
