"""The platform's own processes in the test's event loop, with what they ask of the database counted."""

import functools
from collections.abc import AsyncIterator

import pytest
from pymongo import AsyncMongoClient, monitoring

import control_plane.database
from control_plane.database import Database
from control_plane.settings import Settings
from tests.control_plane.site import Site, open_site

UNCOUNTED = {"hello", "ping", "saslStart", "saslContinue", "endSessions", "createIndexes", "listIndexes"}


class Counter(monitoring.CommandListener):
    """Counts what drivers ask and how many documents they are given."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.documents = 0

    def clear(self) -> None:
        """Begin anew."""
        self.asked.clear()
        self.documents = 0

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name not in UNCOUNTED:
            self.asked.append(f"{event.command_name} {event.command.get(event.command_name)}")

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        cursor = event.reply.get("cursor")
        if cursor and event.command_name not in UNCOUNTED:
            self.documents += len(cursor.get("firstBatch") or cursor.get("nextBatch") or ())

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


@pytest.fixture
async def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    counter = Counter()
    counted = functools.partial(AsyncMongoClient, event_listeners=[counter])
    monkeypatch.setattr(control_plane.database, "AsyncMongoClient", counted)
    return counter


@pytest.fixture
async def site(counter: Counter, settings: Settings, database: Database) -> AsyncIterator[Site]:
    async with open_site(settings, database) as running:
        yield running
