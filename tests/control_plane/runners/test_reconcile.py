import asyncio
import json
import os
import signal
import socket
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from control_plane.clients.models import Client
from control_plane.ports import is_free
from control_plane.runners import reconcile, starts
from control_plane.runners.launchers.base import UP, LauncherUnavailable
from control_plane.runners.models import Heard, RunnerState
from control_plane.security import CannotDecrypt
from control_plane.settings import Settings
from tests.conftest import wait_for
from tests.control_plane.runners.conftest import Site


def files_of(site: Site) -> dict[Path, int]:
    roots = (site.supervisord.programs, site.reconciler.settings.clients_directory)
    return {path: path.stat().st_mtime_ns for root in roots for path in root.rglob("*") if path.is_file()}


def reach(settings: Settings, **values: Any) -> Settings:
    return settings.model_copy(update=values)


async def test_a_new_clients_runner_is_given_private_credentials_and_started(site: Site) -> None:
    client = site.add("acme")
    await site.until_state(RunnerState.RUNNING, "acme")
    directory = site.reconciler.settings.clients_directory / "acme"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "runner.json").stat().st_mode) == 0o600
    assert json.loads((directory / "runner.json").read_text()) == {
        "client_id": "acme",
        "control_plane_url": site.reconciler.settings.internal_url,
        "token": "token-acme",
        "port": client.port,
        "browser_arguments": [],
    }
    assert len(site.supervisord.starts("acme")) == 1


async def test_a_pass_over_what_is_as_wanted_changes_nothing(site: Site) -> None:
    site.add("acme")
    site.connect("idle", wanted=False)
    await site.until_state(RunnerState.RUNNING, "acme")
    await site.look()
    files, runners = files_of(site), await site.reconciler.runners.list()
    log = (site.supervisord.home / "supervisord.log").read_text()
    for _ in range(3):
        await site.look()
    assert files_of(site) == files
    assert await site.reconciler.runners.list() == runners
    assert (site.supervisord.home / "supervisord.log").read_text() == log
    assert not site.reconciler.is_unsettled
    assert (await site.runner("idle")).state is RunnerState.STOPPED
    assert site.supervisord.starts("idle") == []


async def test_disconnecting_stops_and_connecting_starts_again(site: Site) -> None:
    site.add("acme")
    await site.until_state(RunnerState.RUNNING, "acme")
    site.connect("acme", wanted=False)
    await site.until_state(RunnerState.STOPPED, "acme")
    assert site.supervisord.processes() == []
    site.connect("acme")
    await site.until_state(RunnerState.RUNNING, "acme")
    assert (await site.runner("acme")).brake.crashes == ()


async def test_a_request_for_a_restart_is_carried_out_once(site: Site) -> None:
    site.add("acme")
    await site.until_state(RunnerState.RUNNING, "acme")
    site.add("acme", restarts=1)
    await site.until(lambda _: len(site.supervisord.starts("acme")) == 2)
    await site.until_state(RunnerState.RUNNING, "acme")
    await site.look()
    assert len(site.supervisord.starts("acme")) == 2
    runner = await site.runner("acme")
    assert (runner.applied_restarts, runner.brake.crashes) == (1, ())


async def test_a_killed_runner_comes_back_and_the_crash_is_remembered(site: Site) -> None:
    site.add("acme")
    await site.until_state(RunnerState.RUNNING, "acme")
    os.kill(site.supervisord.starts("acme")[0], signal.SIGKILL)
    await site.until(lambda runners: len(runners["acme"].brake.crashes) == 1)
    await site.until_state(RunnerState.RUNNING, "acme")
    assert len(site.supervisord.starts("acme")) == 2
    assert len((await site.runner("acme")).brake.crashes) == 1


async def test_a_crash_loop_is_held_and_said_until_a_person_restarts_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control_plane.runners.brake.CRASHES", 2)
    site.add("acme", "crash after 0.2")
    site.add("bolt")
    await site.until_state(RunnerState.CRASH_LOOP, "acme")
    await site.reconciler.settle()
    starts = len(site.supervisord.starts("acme"))
    assert starts >= 2
    await site.look()
    await site.until_state(RunnerState.RUNNING, "bolt")
    shown = await site.runner("acme")
    assert shown.message is not None
    assert "tenant-acme.log" in shown.message
    assert len(site.supervisord.starts("acme")) == starts
    assert [process.pid for process in site.supervisord.processes()] == site.supervisord.starts("bolt")

    site.supervisord.behave("acme", "steady")
    site.add("acme", restarts=1)
    await site.until_state(RunnerState.RUNNING, "acme")
    assert (await site.runner("acme")).brake.holds == 0


async def test_a_runner_that_never_starts_is_held_and_tried_again_later(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control_plane.runners.brake.FIRST_HOLD", timedelta(seconds=2))
    site.reconciler.launcher = site.supervisord.launcher(start_seconds=1)
    site.add("acme", "exit 1")
    await site.until_state(RunnerState.CRASH_LOOP, "acme")
    before = len(site.supervisord.starts("acme"))
    site.supervisord.behave("acme", "steady")
    await site.until_state(RunnerState.RUNNING, "acme")
    assert len(site.supervisord.starts("acme")) == before + 1
    assert (await site.runner("acme")).brake.holds == 1
    await site.reconciler.launcher.aclose()


async def test_a_program_without_a_client_is_removed(site: Site) -> None:
    site.add("acme")
    site.add("bolt")
    await site.until_state(RunnerState.RUNNING, "acme", "bolt")
    del site.clients["acme"]
    await site.until(lambda runners: "acme" not in runners)
    assert [path.stem for path in site.supervisord.programs.iterdir()] == ["tenant-bolt"]
    assert len(site.supervisord.processes()) == 1


async def test_a_restarted_supervisord_gets_its_runners_back_and_nobody_is_blamed(site: Site) -> None:
    site.add("acme")
    site.add("bolt")
    site.connect("idle", wanted=False)
    await site.until_state(RunnerState.RUNNING, "acme", "bolt")
    site.supervisord.stop()
    with pytest.raises(LauncherUnavailable):
        await site.look()
    lost = await site.runner("acme")
    assert lost.state is RunnerState.LOST
    assert "supervisord does not run" in (lost.message or "")
    site.supervisord.start()
    await site.until_state(RunnerState.RUNNING, "acme", "bolt")
    runners = await site.reconciler.runners.list()
    assert [runner.brake.crashes for runner in runners.values()] == [(), (), ()]
    assert (await site.runner("idle")).state is RunnerState.STOPPED
    assert site.supervisord.starts("idle") == []


def hear(site: Site, client_id: str, *, is_starting: bool = False) -> None:
    """A runner says something after its start, which supervisord tells in whole seconds."""
    site.heard[client_id] = Heard(datetime.now(UTC) + timedelta(seconds=1), is_starting)


async def test_many_clients_start_a_few_at_a_time_the_oldest_first_and_each_is_told_its_place(site: Site) -> None:
    site.reconciler.settings = reach(site.reconciler.settings, parallel_starts=3)
    ids = [f"c{number}" for number in range(12)]
    for age, client_id in enumerate(ids):
        site.add(client_id, updated_at=datetime.now(UTC) - timedelta(minutes=age))
    ends = time.monotonic() + 200
    order: list[str] = []
    while len(site.heard) < len(ids):
        await site.look()
        await site.reconciler.settle()
        up = {i for i, seen in (await site.reconciler.launcher.list()).items() if seen.state in UP}
        order += sorted((i for i in up if i not in order), key=ids.index, reverse=True)
        coming = up - site.heard.keys()
        assert 1 <= len(coming) <= 3
        runners = await site.reconciler.runners.list()
        waiting = sorted((r for r in runners.values() if r.state is RunnerState.WAITING), key=lambda r: r.ahead or 0)
        assert [runner.ahead for runner in waiting] == list(range(len(ids) - len(up)))
        assert [runner.client_id for runner in waiting] == [i for i in reversed(ids) if i not in up]
        assert time.monotonic() < ends
        hear(site, coming.pop())
    assert order == ids[::-1]
    await site.until_state(RunnerState.RUNNING, *ids)
    assert all(len(site.supervisord.starts(client_id)) == 1 for client_id in ids)
    assert {(r.ahead, r.waiting_since, r.message) for r in (await site.reconciler.runners.list()).values()} == {
        (None, None, None)
    }


async def test_a_start_takes_its_place_until_its_session_came_up_or_for_a_bounded_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.reconciler.settings = reach(site.reconciler.settings, parallel_starts=1)
    site.add("acme")
    await site.until_state(RunnerState.RUNNING, "acme")
    site.add("bolt")
    hear(site, "acme", is_starting=True)
    for _ in range(2):
        await site.look()
        assert (await site.runner("bolt")).state is RunnerState.WAITING
    hear(site, "acme")
    await site.until_state(RunnerState.RUNNING, "bolt")
    site.add("core")
    await site.until_state(RunnerState.WAITING, "core")
    monkeypatch.setattr(starts, "START_PATIENCE", timedelta(seconds=1))
    await site.until_state(RunnerState.RUNNING, "core")


async def test_who_cannot_start_takes_nobodys_place(site: Site) -> None:
    site.reconciler.settings = reach(site.reconciler.settings, parallel_starts=1)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        old = datetime.now(UTC) - timedelta(days=1)
        site.add("taken", port=other.getsockname()[1], updated_at=old)
        site.add("gone", environment="gone", updated_at=old)
        site.add("bolt")
        await site.until_state(RunnerState.RUNNING, "bolt")
        assert (await site.runner("taken")).state is RunnerState.FAILED


async def test_whoever_waits_keeps_its_place_before_those_that_come_later(site: Site) -> None:
    site.reconciler.settings = reach(site.reconciler.settings, parallel_starts=1)
    site.add("acme")
    await site.until_state(RunnerState.RUNNING, "acme")
    site.add("first")
    await site.until_state(RunnerState.WAITING, "first")
    began = (await site.runner("first")).waiting_since
    # Changed lately, and not at all: neither is how long somebody waits.
    site.add("later", updated_at=datetime.now(UTC) - timedelta(days=1))
    site.add("first", updated_at=datetime.now(UTC))
    await site.until_state(RunnerState.WAITING, "first", "later")
    assert [(await site.runner(i)).ahead for i in ("first", "later")] == [0, 1]
    assert (await site.runner("first")).waiting_since == began
    hear(site, "acme")
    await site.until_state(RunnerState.RUNNING, "first")
    assert (await site.runner("later")).ahead == 0


async def test_a_port_that_another_program_took_is_said_and_mends_itself(site: Site) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        site.add("acme", port=other.getsockname()[1])
        site.add("bolt")
        await site.until_state(RunnerState.RUNNING, "bolt")
        shown = await site.runner("acme")
        assert shown.state is RunnerState.FAILED
        assert f"port {other.getsockname()[1]} is used by another program" in (shown.message or "")
        assert site.supervisord.starts("acme") == []
    await site.until_state(RunnerState.RUNNING, "acme")
    assert (await site.runner("acme")).message is None


async def test_a_slow_stop_holds_up_nobody_else(site: Site) -> None:
    site.reconciler.launcher = site.supervisord.launcher(stop_seconds=600)
    site.add("slow", "stubborn")
    await site.until_state(RunnerState.RUNNING, "slow")
    site.connect("slow", wanted=False)
    await site.until_state(RunnerState.STOPPING, "slow")
    site.add("quick")
    await site.until_state(RunnerState.RUNNING, "quick")
    assert (await site.runner("slow")).state is RunnerState.STOPPING
    os.kill(site.supervisord.starts("slow")[-1], signal.SIGKILL)
    await site.until_state(RunnerState.STOPPED, "slow")
    await site.reconciler.launcher.aclose()


async def test_a_deleted_client_leaves_nothing(site: Site) -> None:
    site.add("acme")
    site.add("bolt")
    await site.until_state(RunnerState.RUNNING, "acme", "bolt")
    site.add("acme", deleting_since=datetime.now(UTC))
    await site.until(lambda runners: "acme" not in runners)
    assert site.deleted == ["acme"]
    assert (site.supervisord.runners / "acme.purges").read_text() == "--everything\n"
    assert not (site.reconciler.settings.clients_directory / "acme").exists()
    assert list(site.supervisord.programs.glob("*acme*")) == []
    assert [process.pid for process in site.supervisord.processes()] == site.supervisord.starts("bolt")


async def test_a_deletion_that_the_provider_refuses_is_said_and_repeated(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "DELETION_RETRY", timedelta(seconds=0.2))
    site.add("acme")
    await site.until_state(RunnerState.RUNNING, "acme")
    site.supervisord.behave("acme", "purge fails")
    site.add("acme", deleting_since=datetime.now(UTC))
    await site.until(lambda runners: "trying again" in (runners["acme"].message or ""))
    assert site.supervisord.processes() == []
    assert site.deleted == []
    assert (site.reconciler.settings.clients_directory / "acme" / "runner.json").exists()
    site.supervisord.behave("acme", "steady")
    await site.until(lambda runners: "acme" not in runners)
    assert site.deleted == ["acme"]


async def test_a_provider_that_never_deletes_does_not_keep_a_client_for_ever(site: Site) -> None:
    site.add("acme", "purge fails", deleting_since=datetime.now(UTC) - timedelta(days=2))
    (site.reconciler.settings.clients_directory / "acme").mkdir(parents=True)
    await site.until(lambda _: site.deleted == ["acme"])
    assert not (site.reconciler.settings.clients_directory / "acme").exists()


async def test_an_interrupted_deletion_is_finished_by_the_next_reconciler(site: Site) -> None:
    site.add("acme")
    await site.until_state(RunnerState.RUNNING, "acme")
    site.supervisord.behave("acme", "purge hangs")
    site.add("acme", deleting_since=datetime.now(UTC))
    await site.look()
    await asyncio.wait_for(site.reconciler.aclose(), 60)
    assert site.deleted == []
    assert site.supervisord.processes() == []
    site.supervisord.behave("acme", "steady")
    await site.until(lambda runners: "acme" not in runners)
    assert site.deleted == ["acme"]


async def test_a_silent_runner_that_answers_is_left_alone(site: Site) -> None:
    client = site.add("acme")
    site.supervisord.behave("acme", f"listen {client.port}")
    await site.until_state(RunnerState.RUNNING, "acme")
    await wait_for(lambda: not is_free(client.port), what="its port")
    site.reconciler.settings = reach(site.reconciler.settings, heartbeat_lost_s=0.2)
    await site.until(lambda runners: "is not heard" in (runners["acme"].message or ""))
    await site.look()
    shown = await site.runner("acme")
    assert shown.state is RunnerState.RUNNING
    assert site.reconciler.settings.internal_url in (shown.message or "")
    assert len(site.supervisord.starts("acme")) == 1
    site.reconciler.settings = reach(site.reconciler.settings, heartbeat_lost_s=45)
    site.heard["acme"] = Heard(datetime.now(UTC))
    await site.look()
    assert (await site.runner("acme")).message is None


async def test_a_silent_runner_that_does_not_answer_is_restarted_ever_more_patiently(site: Site) -> None:
    site.reconciler.settings = reach(site.reconciler.settings, heartbeat_lost_s=0.4)
    site.add("acme")
    await site.until(lambda runners: "acme" in runners and runners["acme"].silent_restarts == 1)
    first = time.monotonic()
    await site.until(lambda runners: runners["acme"].silent_restarts == 2)
    assert time.monotonic() - first > 0.4 * reconcile.SILENCE_FACTOR * 2 - 1
    assert len(site.supervisord.starts("acme")) >= 2
    assert (await site.runner("acme")).brake.crashes == ()


async def test_a_client_whose_token_cannot_be_decrypted_stops_no_other(site: Site) -> None:
    def token_of(client: Client) -> str:
        if client.id == "acme":
            raise CannotDecrypt("restore the keys file")
        return "token"

    site.reconciler.token_of = token_of
    site.add("acme")
    site.add("bolt")
    await site.until_state(RunnerState.RUNNING, "bolt")
    shown = await site.runner("acme")
    assert (shown.state, shown.message) == (RunnerState.FAILED, "restore the keys file")


async def test_a_directory_that_cannot_be_written_is_said(site: Site) -> None:
    site.add("acme")
    directory = site.reconciler.settings.clients_directory
    directory.mkdir(parents=True)
    (directory / "acme").write_text("in the way")
    await site.until_state(RunnerState.FAILED, "acme")
    assert "cannot be written" in ((await site.runner("acme")).message or "")
    (directory / "acme").unlink()
    await site.until_state(RunnerState.RUNNING, "acme")


async def test_a_client_whose_environment_is_gone_is_not_started_somewhere_else(site: Site) -> None:
    site.add("acme", environment="gone")
    await site.until_state(RunnerState.FAILED, "acme")
    assert "'gone'" in ((await site.runner("acme")).message or "")
    assert site.supervisord.starts("acme") == []
