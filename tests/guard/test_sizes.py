"""What a runner loads before it does anything, and how many bytes an event is."""

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import bson

from control_plane.conversations.repository import Conversations
from control_plane.database import Database
from tenant_runner.contract import Delivery, Event, MessageRecorded, SessionChanged, SessionReason, SessionState
from tests.guard.bounds import (
    EVENT_ON_THE_WIRE,
    HEARTBEAT_ON_THE_WIRE,
    MESSAGE_IN_THE_DATABASE,
    MODULES_BEFORE_THE_BROWSER,
    NOT_AT_START,
    NOT_BEFORE_THE_BROWSER,
    RUNNER_MODULES,
)

NOW = datetime(2026, 11, 21, 12, 0, 0, 123456, UTC)
MESSAGE = MessageRecorded(
    message_id="false_5491122223333@c.us_3EB0C767D097B7B2A3F1",
    chat_id="5491122223333@c.us",
    author="contact",
    text="¿Tienen lugar mañana a las ocho para cuatro personas? Gracia",
    sent_at=NOW,
    contact_name="Lucía Fernández",
    contact_phone="5491122223333",
)


def test_a_runner_loads_what_it_needs_and_no_more() -> None:
    code = "import sys, tenant_runner.{}; print(*sorted(sys.modules))"
    for module, never, at_most in (
        ("__main__", (*NOT_BEFORE_THE_BROWSER, *NOT_AT_START), MODULES_BEFORE_THE_BROWSER),
        ("commands", NOT_AT_START, RUNNER_MODULES),
    ):
        line = [sys.executable, "-c", code.format(module)]
        loaded = subprocess.run(line, capture_output=True, text=True, check=True).stdout.split()
        assert [name for name in never if name in loaded] == []
        assert len(loaded) <= at_most


def deliver(*events: Event) -> int:
    """Bytes of a delivery."""
    since = SessionChanged(version=7, state=SessionState.WORKING, reason=SessionReason.CONNECTED, since=NOW)
    delivery = Delivery(
        instance="0123456789abcdef",
        fence=12,
        started_at=NOW,
        journal_id="0123456789abcdef",
        config_revision=3,
        session=since,
        memory_bytes=300_000_000,
        events=events,
    )
    return len(delivery.model_dump_json().encode())


def test_an_event_and_a_heartbeat_are_small_on_the_wire() -> None:
    told = Event(id=f"evt_{'0' * 32}", sequence=123_456, timestamp=NOW, payload=MESSAGE)
    assert deliver() <= HEARTBEAT_ON_THE_WIRE
    assert deliver(told, told) - deliver(told) <= EVENT_ON_THE_WIRE


async def test_a_message_is_small_in_the_database(database: Database) -> None:
    await Conversations(database, "abcdefgh1234").record([(MESSAGE, 123_456)])
    stored: dict[str, Any] | None = await database["client_messages"].find_one()
    chat: dict[str, Any] | None = await database["client_chats"].find_one()
    assert stored
    assert chat
    assert len(bson.encode(stored)) <= MESSAGE_IN_THE_DATABASE
    assert len(bson.encode(chat)) <= MESSAGE_IN_THE_DATABASE
