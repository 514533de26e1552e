"""What happens to a message after it was recorded, and who answers in a chat."""

from datetime import UTC, datetime, timedelta
from typing import Any

from control_plane.conversations.models import Message
from control_plane.conversations.repository import Conversations
from control_plane.sessions.repository import ClientSession
from tests.control_plane.site import Site, event, message

CHAT = "5491122223333@c.us"


def changed(sequence: int, name: str, message_id: str = "a", seconds: int = 0, **values: Any) -> dict[str, Any]:
    at = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    return event(sequence, event=f"message.{name}", message_id=message_id, chat_id=CHAT, at=at, **values)


async def stored(site: Site, client_id: str, message_id: str = "a") -> Message:
    return (await Conversations(site.database, client_id).get_messages(CHAT, {message_id}))[message_id]


async def test_an_edit_replaces_the_text_and_a_repeated_delivery_does_not_bring_the_old_one_back(site: Site) -> None:
    client = await site.create()
    runner = site.runner(client)
    original = message(1, "a", text="a las ocho")
    await runner.deliver(original, changed(2, "edited", text="a las nueve", seconds=5))
    # An older edit that comes late, and the whole told again by a journal that is not known.
    await runner.deliver(original, changed(2, "edited", text="a las siete"), journal_id="copy")

    now = await stored(site, client.id)
    assert now.text == "a las nueve"
    assert now.edited_at is not None


async def test_a_deleted_message_keeps_neither_text_nor_file_nor_what_comes_later(site: Site) -> None:
    client = await site.create()
    runner = site.runner(client)
    media = {"mimetype": "image/png", "filename": "secreto.png", "size": 5}
    await runner.deliver(
        message(1, "a", text="secreto", kind="image", media=media),
        changed(2, "reaction", text="👍"),
        changed(3, "revoked", text="", outcome="revoked"),
        changed(4, "edited", text="secreto otra vez"),
        changed(5, "updated", text="secreto también"),
        changed(6, "reaction", text="👍"),
        message(7, "a", text="secreto", kind="image", media=media),
    )

    document = await site.database["client_messages"].find_one({"message_id": "a"})
    assert document is not None
    assert document["revoked_at"] is not None
    assert "secreto" not in str(document)
    assert "👍" not in str(document)


async def test_reactions_are_kept_by_author_and_taken_back(site: Site) -> None:
    client = await site.create()
    runner = site.runner(client)
    await runner.deliver(
        message(1, "a"),
        changed(2, "reaction", text="👍", seconds=1),
        changed(3, "reaction", text="❤️", author="owner", seconds=1),
        changed(4, "reaction", text="", seconds=2),
        changed(5, "reaction", text="😡", seconds=1),
    )
    reactions = (await stored(site, client.id)).reactions
    assert {author: reaction.emoji for author, reaction in reactions.items()} == {"contact": "", "owner": "❤️"}


async def test_a_transcript_and_an_outcome_come_later_and_an_empty_outcome_takes_one_back(site: Site) -> None:
    client = await site.create()
    runner = site.runner(client)
    await runner.deliver(
        message(1, "a", kind="ciphertext", text="", outcome="undecrypted", quoted_id="q"),
        changed(2, "updated", kind="ptt", text="¿Abren hoy?", outcome=""),
        changed(3, "updated", message_id="never-recorded", text="x"),
    )
    now = await stored(site, client.id)
    assert (now.kind, now.text, now.outcome, now.quoted_id) == ("ptt", "¿Abren hoy?", None, "q")
    assert await site.database["client_messages"].count_documents({}) == 1


async def test_a_pause_that_is_over_needs_no_event(site: Site) -> None:
    client = await site.create()
    runner = site.runner(client)
    until = datetime.now(UTC) + timedelta(minutes=30)
    status = {"event": "conversation.status_changed", "chat_id": CHAT, "status": "suspended", "reason": "owner_wrote"}
    await runner.deliver(message(1, "a"), event(2, **status, until=until.isoformat()))
    conversations = Conversations(site.database, client.id)
    now = datetime.now(UTC)

    paused = await conversations.get_status(CHAT, now)
    later = await conversations.get_status(CHAT, now + timedelta(minutes=31))

    assert (paused.status, paused.reason) == ("suspended", "owner_wrote")
    assert paused.until is not None
    assert abs(paused.until - until) < timedelta(milliseconds=2)
    assert later.status == "automatic"


async def test_what_a_runner_measures_is_kept_with_its_session(site: Site) -> None:
    client = await site.create()
    next_attempt = (datetime.now(UTC) + timedelta(seconds=20)).isoformat()
    session = {
        "version": 1,
        "state": "STARTING",
        "reason": "reconnecting",
        "attempt": 4,
        "next_attempt_at": next_attempt,
        "page_version": "2.3000.1023",
    }
    await site.runner(client).deliver(session=session, memory_bytes=412_000_000)

    kept = await ClientSession(site.database, client.id).get()
    shown = (await site.visitor.get(f"/api/client/{client.slug}/status")).json()
    assert (kept.attempt, kept.page_version, kept.memory_bytes) == (4, "2.3000.1023", 412_000_000)
    assert (shown["attempt"], shown["next_attempt_at"] is not None) == (4, True)


async def test_a_chat_that_waits_for_a_person_is_forgotten_with_its_last_message(site: Site) -> None:
    client = await site.create()
    conversations = Conversations(site.database, client.id)
    old = datetime.now(UTC) - timedelta(hours=30)
    status = {"event": "conversation.status_changed", "status": "waiting_for_human", "reason": "no_quota"}
    await site.runner(client).deliver(
        message(1, "a", sent_at=old.isoformat()),
        message(2, "b", chat_id="other@c.us"),
        {**event(3, chat_id=CHAT, **status), "timestamp": old.isoformat()},
        {**event(4, chat_id="other@c.us", **status), "timestamp": old.isoformat()},
    )
    before = await conversations.count_waiting()
    await conversations.delete_before(datetime.now(UTC) - timedelta(hours=24))

    assert (before, await conversations.count_waiting()) == (2, 1)
