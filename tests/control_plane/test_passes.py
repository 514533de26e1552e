"""The scheduler's looks between two passes over everybody: only at those of whom something is to be done."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from control_plane.clients.models import Client, Wanted
from control_plane.clients.repository import Clients
from control_plane.runners import reconcile
from control_plane.runners.launchers import probe_walls
from control_plane.runners.launchers.base import ProcessState
from control_plane.runners.models import Runner, RunnerState
from control_plane.runners.repository import Runners
from control_plane.scheduler import OVERLAP, Context, notice_wishes, reconcile_runners
from control_plane.sessions.repository import ClientSession
from tenant_runner.contract import SessionReason, SessionState
from tests.control_plane.runners.memory import MemoryLauncher
from tests.control_plane.site import Site, change


class Looks:
    """A scheduler whose looks the test takes; the pass over everybody comes only when it is told to."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.launcher = MemoryLauncher()
        settings = change(site.settings, reconcile_interval_s=3600, isolation="off", parallel_starts=1)
        self.context = Context(settings, site.database, self.launcher, site.cipher, probe_walls(settings))

    async def look(self, *, at_all: bool = False) -> None:
        if at_all:
            self.context.reconciled_at = float("-inf")
        await reconcile_runners(self.context)

    async def settle(self) -> None:
        """As many looks as it takes."""
        for _ in range(10):
            await self.look()
            if not self.context.reconciler.is_unsettled:
                return
        raise AssertionError(f"not settled: {self.context.reconciler.unsettled}")

    async def hear(self, client: Client) -> None:
        """Its session works."""
        now = datetime.now(UTC) + timedelta(seconds=1)
        values = {"state": str(SessionState.WORKING), "reason": str(SessionReason.CONNECTED), "since": now}
        await ClientSession(self.site.database, client.id).set(**values, heard_at=now)

    async def add(self, name: str) -> Client:
        """A client whose runner runs and was heard."""
        client = await self.site.create(name)
        await self.settle()
        await self.hear(client)
        await self.settle()
        assert (await self.runner(client)).state is RunnerState.RUNNING
        return client

    async def age(self) -> None:
        """Nobody was changed lately."""
        long_ago = datetime.now(UTC) - OVERLAP * 2
        await self.site.database["clients"].update_many({}, {"$set": {"updated_at": long_ago}})

    async def runner(self, client: Client) -> Runner:
        return await Runners(self.site.database).get(client.id)


@pytest.fixture
async def looks(site: Site, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Looks]:
    # A look ends when all that it began has ended, however slow the machine.
    monkeypatch.setattr(reconcile, "PASS_S", 60.0)
    looks = Looks(site)
    await looks.look()
    yield looks
    await looks.context.reconciler.aclose()


async def test_what_is_wanted_is_done_at_the_next_look_and_nobody_else_is_looked_at(looks: Looks) -> None:
    one, two = await looks.add("Uno"), await looks.add("Dos")
    await looks.age()
    looks.launcher.defined.clear()
    for wanted, state in ((Wanted.DISCONNECTED, RunnerState.STOPPED), (Wanted.CONNECTED, RunnerState.RUNNING)):
        await looks.site.clients.want(two.id, wanted)
        await looks.settle()
        assert (await looks.runner(two)).state is state
    await looks.site.clients.ask_for_restart(two.id)
    await looks.settle()
    assert looks.launcher.started == [one.id, two.id, two.id, two.id]
    assert one.id not in looks.launcher.defined


async def test_what_is_wanted_is_noticed_at_once_and_nothing_is_looked_at_until_then(looks: Looks) -> None:
    client = await looks.add("Uno")
    looks.launcher.defined.clear()
    looks.launcher.looked_at = 0
    await notice_wishes(looks.context)
    assert (looks.launcher.looked_at, looks.launcher.defined) == (0, [])
    await looks.site.clients.ask_for_restart(client.id)
    async with looks.context.pass_lock:
        # The pass that goes on may have read what was wanted before; nobody begins another one beside it.
        await notice_wishes(looks.context)
        assert looks.launcher.defined == []
    await notice_wishes(looks.context)
    assert looks.launcher.started == [client.id, client.id]
    # What was begun goes on with the looks of every second.
    looks.launcher.defined.clear()
    await notice_wishes(looks.context)
    assert looks.launcher.defined == []


async def test_two_changes_of_the_same_moment_are_both_seen(looks: Looks) -> None:
    client = await looks.add("Uno")
    moment = datetime.now(UTC)
    for wanted, state in ((Wanted.DISCONNECTED, RunnerState.STOPPED), (Wanted.CONNECTED, RunnerState.RUNNING)):
        await looks.site.clients.want(client.id, wanted)
        await looks.site.database["clients"].update_one({"_id": client.id}, {"$set": {"updated_at": moment}})
        await looks.settle()
        assert (await looks.runner(client)).state is state


async def test_a_change_by_a_clock_that_is_behind_is_seen_at_once_or_with_everybody(looks: Looks) -> None:
    client = await looks.add("Uno")
    for behind, at_all in ((OVERLAP / 2, False), (OVERLAP * 2, True)):
        await looks.site.clients.ask_for_restart(client.id)
        moment = datetime.now(UTC) - behind
        await looks.site.database["clients"].update_one({"_id": client.id}, {"$set": {"updated_at": moment}})
        before = len(looks.launcher.started)
        await looks.look()
        assert len(looks.launcher.started) == before + (not at_all)
        await looks.look(at_all=True)
        assert len(looks.launcher.started) == before + 1


async def test_looks_between_keep_to_the_places_and_to_the_turns(looks: Looks) -> None:
    first = await looks.site.create("Uno")
    await looks.settle()
    await looks.age()
    # Its process runs and nothing of it is unsettled, but its session does not show anything yet.
    second = await looks.site.create("Dos")
    await looks.look()
    third = await looks.site.create("Tres")
    for _ in range(3):
        await looks.look()
        assert looks.launcher.started == [first.id]
        assert [(await looks.runner(client)).ahead for client in (second, third)] == [0, 1]
        await looks.age()
    await looks.hear(first)
    for _ in range(3):
        await looks.look()
    assert looks.launcher.started == [first.id, second.id]
    assert (await looks.runner(third)).ahead == 0
    await looks.hear(second)
    await looks.settle()
    assert looks.launcher.started == [first.id, second.id, third.id]


async def test_after_a_pass_that_failed_the_next_one_is_at_everybody(looks: Looks) -> None:
    one, two = await looks.add("Uno"), await looks.add("Dos")
    looks.launcher.is_down = True
    await looks.site.clients.want(one.id, Wanted.DISCONNECTED)
    await looks.look()
    assert (await looks.runner(one)).state is RunnerState.LOST
    looks.launcher.is_down = False
    looks.launcher.processes.clear()
    await looks.site.clients.ask_for_restart(two.id)
    await looks.look()
    assert looks.launcher.started == [one.id, two.id]
    await looks.look(at_all=True)
    assert (await looks.runner(one)).state is RunnerState.STOPPED
    await looks.settle()
    assert looks.launcher.started == [one.id, two.id, two.id]


async def test_a_program_of_nobody_is_removed_with_the_next_pass_over_everybody(looks: Looks) -> None:
    looks.launcher.run("nobody")
    client = await looks.add("Uno")
    assert set(looks.launcher.processes) == {"nobody", client.id}
    await looks.look(at_all=True)
    assert set(looks.launcher.processes) == {client.id}


async def test_a_deletion_is_finished_between(looks: Looks) -> None:
    gone, stays = await looks.add("Uno"), await looks.add("Dos")
    await looks.site.clients.mark_deleting(gone.id)
    await looks.settle()
    assert await Clients(looks.site.database).get(gone.id) is None
    assert looks.launcher.processes[stays.id].state is ProcessState.RUNNING
    assert gone.id not in looks.launcher.processes
    assert not looks.context.reconciler.is_unsettled
