"""Delivering events to a control plane that comes and goes."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tenant_runner import control_plane_client
from tenant_runner.channels.snapshot import Snapshot
from tenant_runner.contract import Delivery, DeliveryReceipt, RunnerCredentials, SessionReason, SessionState
from tenant_runner.control_plane_client import ControlPlaneAway, ControlPlaneClient, Courier
from tenant_runner.journal import Journal, NewMessage
from tests.conftest import find_free_port, wait_for
from tests.tenant_runner.control_plane import FakeControlPlane


def message(number: int) -> NewMessage:
    return NewMessage(f"m{number}", "1@c.us", "contact", "chat", f"texto {number}", datetime.now(UTC))


class CountingClient(ControlPlaneClient):
    """Counts the attempts to deliver, successful or not."""

    attempts = 0

    async def deliver(self, delivery: Delivery) -> DeliveryReceipt:
        self.attempts += 1
        return await super().deliver(delivery)


class Post:
    """A courier at work, its session and what it learned of newer configurations."""

    def __init__(self, journal: Journal, control_plane: FakeControlPlane) -> None:
        self.snapshot = Snapshot()
        self.revision = 1
        self.pulls = 0
        self.asked_for_calm = asyncio.Event()
        self.quiet = asyncio.Event()
        self.quiet.set()
        self.control_plane = control_plane
        self.client = CountingClient(
            RunnerCredentials(
                client_id="c1", control_plane_url=control_plane.url, token=SecretStr(control_plane.token), port=1
            )
        )
        self.client.fence = 1
        self.courier = Courier(
            self.client,
            journal.outbox,
            instance="i1",
            started_at=datetime.now(UTC),
            journal_id=journal.id,
            session=lambda: self.snapshot.session,
            revision=lambda: self.revision,
            on_newer_config=self.pull,
            calm=self.calm,
        )
        self.task = asyncio.create_task(self.courier.run())

    async def pull(self) -> None:
        self.pulls += 1
        self.revision = (await self.client.fetch_config()).revision

    async def calm(self) -> None:
        self.asked_for_calm.set()
        await self.quiet.wait()

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.client.close()


@pytest.fixture
def no_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only news has anything delivered."""
    for name in ("HEARTBEAT_S", "ANXIOUS_HEARTBEAT_S"):
        monkeypatch.setattr(control_plane_client, name, 3600.0)


@pytest.fixture
async def post(journal: Journal, control_plane: FakeControlPlane) -> AsyncIterator[Post]:
    post = Post(journal, control_plane)
    yield post
    await post.stop()


async def test_events_arrive_in_order_in_batches_and_leave_the_journal(
    journal: Journal, post: Post, control_plane: FakeControlPlane
) -> None:
    for number in range(450):
        await journal.messages.record(message(number))
    await wait_for(lambda: len(control_plane.events) == 450)
    assert [event.sequence for event in control_plane.events] == list(range(1, 451))

    async def empty() -> Any:
        return await journal.outbox.count() == 0

    await wait_for(empty)


async def test_a_control_plane_that_takes_a_part_is_given_the_rest_at_once(
    no_heartbeat: None, journal: Journal, post: Post, control_plane: FakeControlPlane
) -> None:
    control_plane.takes_at_most = 10
    for number in range(100):
        await journal.messages.record(message(number))
    # Ten deliveries, and no heartbeat's pause between any of them: it would not end.
    await wait_for(lambda: len(control_plane.events) == 100)
    assert [event.sequence for event in control_plane.events] == list(range(1, 101))


async def test_what_is_being_answered_is_told_with_its_answer(
    no_heartbeat: None, journal: Journal, post: Post, control_plane: FakeControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_plane_client, "CALM_S", 3600.0)
    post.quiet.clear()
    await wait_for(lambda: post.client.attempts == 1)
    await journal.messages.record(message(1))
    await wait_for(post.asked_for_calm.is_set)
    await journal.messages.record(message(2))
    assert post.client.attempts == 1
    post.quiet.set()
    await wait_for(lambda: len(control_plane.events) == 2)
    assert post.client.attempts == 2


async def test_an_answer_that_takes_long_holds_nothing_up(
    no_heartbeat: None, journal: Journal, post: Post, control_plane: FakeControlPlane
) -> None:
    post.quiet.clear()
    await wait_for(lambda: post.client.attempts == 1)
    await journal.messages.record(message(1))
    await wait_for(lambda: len(control_plane.events) == 1)
    assert post.asked_for_calm.is_set()


async def test_what_happened_while_it_was_away_arrives_afterwards_once(
    journal: Journal, post: Post, control_plane: FakeControlPlane
) -> None:
    await journal.messages.record(message(1))
    await wait_for(lambda: len(control_plane.events) == 1)
    await control_plane.stop()
    attempts = post.client.attempts
    for number in range(2, 30):
        await journal.messages.record(message(number))
    await wait_for(lambda: post.client.attempts > attempts + 1, what="it was tried in vain")
    await control_plane.start()
    await wait_for(lambda: len(control_plane.events) == 29)
    assert [event.sequence for event in control_plane.events] == list(range(1, 30))


async def test_a_lost_receipt_repeats_events_under_their_ids(
    journal: Journal, post: Post, control_plane: FakeControlPlane
) -> None:
    control_plane.breaks_after_storing = 1
    await journal.messages.record(message(1))
    await wait_for(lambda: control_plane.duplicates == 1)
    assert [event.sequence for event in control_plane.events] == [1]

    async def empty() -> Any:
        return await journal.outbox.count() == 0

    await wait_for(empty)


async def test_a_changed_session_is_told_at_once(
    no_heartbeat: None, post: Post, control_plane: FakeControlPlane
) -> None:
    post.snapshot.change(SessionState.WORKING, SessionReason.CONNECTED, phone="1")
    post.courier.nudge()
    await wait_for(lambda: control_plane.session and control_plane.session.state == "WORKING")
    seen = len(control_plane.sessions)
    post.snapshot.change(SessionState.WORKING, SessionReason.DEGRADED, phone="1")
    post.courier.nudge()
    await wait_for(lambda: len(control_plane.sessions) > seen)


async def test_a_newer_configuration_is_pulled_once(post: Post, control_plane: FakeControlPlane) -> None:
    await wait_for(lambda: control_plane.sessions)
    control_plane.change(name="Otra")
    await wait_for(lambda: post.revision == 2)
    assert post.pulls == 1
    attempts = post.client.attempts
    post.courier.nudge()
    await wait_for(lambda: post.client.attempts > attempts, what="it was heard of again")
    post.courier.nudge()
    await wait_for(lambda: post.client.attempts > attempts + 1, what="and again")
    assert post.pulls == 1


async def test_a_start_waits_for_the_control_plane(
    control_plane: FakeControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    await control_plane.stop()
    client = ControlPlaneClient(
        RunnerCredentials(
            client_id="c1", control_plane_url=control_plane.url, token=SecretStr(control_plane.token), port=1
        )
    )
    waiting = asyncio.create_task(client.wait_for_config())
    await wait_for(lambda: "control plane away" in caplog.messages)
    assert not waiting.done()
    await control_plane.start()
    assert (await asyncio.wait_for(waiting, 60)).revision == 1
    await client.close()


async def test_neither_token_nor_configuration_gets_into_errors(tmp_path: Path) -> None:
    credentials = RunnerCredentials(
        client_id="c1",
        control_plane_url=f"http://127.0.0.1:{find_free_port()}",
        token=SecretStr("top-secret"),
        port=1,
    )
    client = ControlPlaneClient(credentials)
    with pytest.raises(ControlPlaneAway) as caught:
        await client.fetch_config()
    assert "top-secret" not in str(caught.value)
    await client.close()
