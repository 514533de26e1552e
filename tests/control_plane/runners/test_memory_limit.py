"""Memory limits, on the kernel that is there; where it has only one version of groups, the other one is imitated."""

import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from control_plane.clients.models import Overrides
from control_plane.runners.launchers import memory_limit
from control_plane.runners.launchers.base import ProcessState, RunnerSpec
from control_plane.runners.launchers.isolation import Level, try_walls
from control_plane.runners.launchers.memory_limit import (
    PLATFORM,
    MemoryLimits,
    claim_group,
    find_parents,
    probe_limits,
    remove_groups,
)
from control_plane.runners.launchers.supervisord import SupervisordLauncher
from control_plane.runners.models import Runner, RunnerState
from control_plane.settings import Settings
from tests.conftest import wait_for
from tests.control_plane.runners.conftest import Site, Supervisord
from tests.control_plane.runners.test_isolation import Walled, build_walls
from tests.control_plane.site import change

MB = 1 << 20
LIMIT_FILES = ("memory.max", "memory.limit_in_bytes")


@pytest.fixture
def limits(tmp_path: Path) -> Iterator[MemoryLimits]:
    limits = probe_limits(tmp_path, wanted=True)
    if limits.reason:
        pytest.skip(f"this machine refuses memory limits: {limits.reason}")
    yield limits
    remove_groups(tmp_path)
    assert left(limits) == []


@pytest.fixture
async def launcher(supervisord: Supervisord, limits: MemoryLimits) -> AsyncIterator[SupervisordLauncher]:
    """In place of the usual one: no walls, but limits."""
    walls = replace(build_walls(supervisord.home, level=Level.NONE), limits=limits)
    launcher = supervisord.launcher(walls=walls)
    yield launcher
    await launcher.aclose()
    supervisord.stop()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return change(settings, memory_limit_mb=40, memory_hard_limit_mb=80, parallel_starts=3)


def left(limits: MemoryLimits) -> list[Path]:
    return [group for parent in limits.parents for group in parent.glob(f"{limits.prefix}*")]


def limit_of(limits: MemoryLimits, client_id: str) -> int:
    group = limits.groups(client_id)[0]
    return next(int((group / name).read_text()) for name in LIMIT_FILES if (group / name).exists())


def members(limits: MemoryLimits, client_id: str) -> list[set[int]]:
    groups = limits.groups(client_id)
    return [{int(line) for line in (group / "cgroup.procs").read_text().split()} for group in groups]


# ------------------------------------------------------------------------------------------ on this kernel


async def test_what_takes_too_much_is_ended_and_started_again_and_the_others_go_on(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    def is_told(runners: dict[str, Runner]) -> bool:
        return "greedy" in runners and "FLAME_MEMORY_HARD_LIMIT_MB" in (runners["greedy"].message or "")

    site.add("modest", "take 10")
    await site.until_state(RunnerState.RUNNING, "modest")
    site.add("greedy", "take 200")
    await site.until(is_told)
    message = (await site.runner("greedy")).message or ""
    assert "memory ran out" in message
    assert "80 MB" in message
    site.supervisord.behave("greedy", "steady")
    await site.until_state(RunnerState.RUNNING, "greedy")
    assert is_told(await site.reconciler.runners.list())
    assert len(site.supervisord.starts("greedy")) > 1
    assert len(site.supervisord.starts("modest")) == 1
    assert (await site.runner("modest")).message is None
    assert "took" not in await site.reconciler.launcher.logs("greedy")
    [said] = {r.getMessage() for r in caplog.records if "memory" in r.getMessage() and r.levelno == logging.WARNING}
    assert said == "kernel ended processes for want of memory"


async def is_steady(site: Site, client_id: str) -> bool:
    return "started as steady" in await site.reconciler.launcher.logs(client_id)


async def test_it_is_no_news_for_ever_nor_after_a_persons_restart(site: Site) -> None:
    client = site.add("greedy", "take 200")
    await site.until(lambda runners: "greedy" in runners and runners["greedy"].memory_kills > 0)
    site.supervisord.behave("greedy", "steady")
    # Nothing of the greedy runs is told after the restart: all of them are over, and looked at.
    await wait_for(lambda: is_steady(site, "greedy"))
    await site.until_state(RunnerState.RUNNING, "greedy")
    site.add("greedy", restarts=client.restarts + 1)
    await site.until(lambda runners: runners["greedy"].applied_restarts == client.restarts + 1)
    await site.until_state(RunnerState.RUNNING, "greedy")
    assert (await site.runner("greedy")).message is None


async def test_one_that_may_have_more_before_its_browser_is_recycled_may_have_more_at_most(
    site: Site, limits: MemoryLimits
) -> None:
    site.add("acme")
    site.add("large", overrides=Overrides(memory_limit_mb=100))
    site.add("small", overrides=Overrides(memory_limit_mb=10))
    await site.until_state(RunnerState.RUNNING, "acme", "large", "small")
    assert [limit_of(limits, name) // MB for name in ("acme", "large", "small")] == [80, 200, 80]


async def test_the_group_is_gone_with_the_client(site: Site, limits: MemoryLimits) -> None:
    site.add("acme")
    await site.until_state(RunnerState.RUNNING, "acme")
    assert len(left(limits)) == len(limits.parents)
    site.clients.clear()
    await site.until(lambda _: not left(limits))


async def test_a_limit_is_raised_and_lowered_at_the_next_start(launcher: SupervisordLauncher) -> None:
    limits = launcher._limits
    for megabytes in (100, 300, 50):
        await launcher.ensure([RunnerSpec("acme", 7, megabytes)])
        await launcher.start("acme")
        assert limit_of(limits, "acme") == megabytes * MB
        await launcher.stop("acme")


async def test_a_limit_that_cannot_be_set_is_said_and_the_runner_starts(
    launcher: SupervisordLauncher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(MemoryLimits, "prepare", refuse)
    await launcher.ensure([RunnerSpec("acme", 7, 100)])
    await launcher.start("acme")
    assert (await launcher.get("acme")).state is ProcessState.RUNNING
    assert "memory limit was not set" in caplog.text


async def test_all_behind_the_walls_is_in_the_group_and_stops_as_it_is_asked_to(
    supervisord: Supervisord, limits: MemoryLimits
) -> None:
    walls = replace(build_walls(supervisord.home), limits=limits)
    if refusal := try_walls(walls):
        pytest.skip(f"this machine refuses the walls: {refusal}")
    walled = Walled(supervisord, walls, memory_mb=300)
    try:
        groups = [("read", group / "cgroup.procs") for group in limits.groups("acme")]
        told = await walled.start(*groups, ("list", "/sys"))
        family = {process.pid for process in walled.family()}
        assert len(family) >= 4
        assert members(limits, "acme") == [family] * len(limits.parents)
        # From there the group is out of reach.
        assert {told[f"{kind} {path}"] for kind, path in groups} == {"FileNotFoundError"}
        assert told["list /sys"] == "FileNotFoundError"
        await walled.launcher.stop("acme")
        assert "stopped: tenant-acme (exit status 0)" in (supervisord.home / "supervisord.log").read_text()
        await walled.launcher.remove("acme")
        assert left(limits) == []
    finally:
        await walled.launcher.aclose()
        supervisord.stop()


def test_the_number_of_processes_has_a_limit_too(limits: MemoryLimits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_limit, "TASKS", 5)
    limits.prepare("acme", 100)
    if not any((group / "pids.max").exists() for group in limits.groups("acme")):
        pytest.skip("this machine does not limit the number of processes")
    code = "import subprocess\nwhile True: subprocess.Popen(['sleep', '600'])"
    # All of them end with their process 1, as behind the walls.
    command = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", code]
    done = subprocess.run(limits.wrap(command, "acme"), capture_output=True, text=True, timeout=60, check=False)
    assert "BlockingIOError" in done.stderr
    limits.remove("acme")


# ------------------------------------------------------------------------------------------ elsewhere


def test_nobody_who_does_not_want_limits_is_told_of_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    limits = probe_limits(tmp_path, wanted=False)
    assert limits == MemoryLimits()
    assert limits.wrap(["python", "-m", "x"], "acme") == ("python", "-m", "x")
    assert caplog.text == ""


def imitate(directory: Path, *, handed_down: str = "") -> tuple[Path, Path]:
    """What version 2 looks like to a service that systemd started: its `/proc/self`, and its group."""
    process, group = directory / "process", directory / "cgroup" / "system.slice" / "flame.service"
    for path in (process, group):
        path.mkdir(parents=True)
    (process / "cgroup").write_text("0::/system.slice/flame.service\n")
    mount = f"30 23 0:26 / {directory}/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    (process / "mountinfo").write_text("23 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + mount)
    (group / "cgroup.controllers").write_text("cpu io memory pids\n")
    (group / "cgroup.subtree_control").write_text(handed_down)
    return process, group


def test_imitated_version_2_the_platform_moves_aside_and_clients_get_groups_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, group = imitate(tmp_path)
    with pytest.raises(OSError, match="Delegate=yes"):
        find_parents(process)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    claim_group(process)
    assert (group / PLATFORM / "cgroup.procs").read_text() == str(os.getpid())
    assert (group / "cgroup.subtree_control").read_text() == "+memory +pids"
    # What the kernel does thereupon.
    (group / "cgroup.subtree_control").write_text("memory pids\n")
    (process / "cgroup").write_text(f"0::/system.slice/flame.service/{PLATFORM}\n")
    claim_group(process)
    assert find_parents(process) == (group,)

    limits = MemoryLimits((group,), "flame-0-")
    own = group / "flame-0-acme"
    own.mkdir()
    for name in ("memory.max", "memory.swap.max", "pids.max"):
        (own / name).write_text("max\n")
    limits.prepare("acme", 300)
    assert [(own / name).read_text() for name in ("memory.max", "memory.swap.max")] == [str(300 * MB)] * 2
    assert limits.count_kills("acme") == 0
    (own / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n")
    assert limits.count_kills("acme") == 2


def test_imitated_version_2_root_leaves_a_group_alone_that_systemd_did_not_delegate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, group = imitate(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    claim_group(process)
    assert not (group / PLATFORM).exists()
    assert (group / "cgroup.subtree_control").read_text() == ""


def test_files_that_limit_nothing_are_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process, group = imitate(tmp_path, handed_down="memory pids\n")
    parents = find_parents(process)
    assert parents == (group,)
    monkeypatch.setattr(memory_limit, "find_parents", lambda: parents)
    monkeypatch.setattr(memory_limit, "LEAVING_S", 0)
    limits = probe_limits(tmp_path, wanted=True)
    assert limits.parents == ()
    assert "more memory than its group may have" in limits.reason


def test_where_there_is_no_such_controller_it_is_said(tmp_path: Path) -> None:
    process, _group = imitate(tmp_path)
    (process / "mountinfo").write_text("23 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    with pytest.raises(OSError, match=r"docs/isolation\.md"):
        find_parents(process)


def test_the_hard_limit_is_above_the_other_one(settings: Settings) -> None:
    assert change(settings, memory_limit_mb=700, memory_hard_limit_mb=None).hard_memory_limit_mb == 1400
    assert change(settings, memory_limit_mb=0, memory_hard_limit_mb=None).hard_memory_limit_mb == 0
    assert change(settings, memory_limit_mb=700, memory_hard_limit_mb=0).hard_memory_limit_mb == 0
    with pytest.raises(ValidationError, match="FLAME_MEMORY_HARD_LIMIT_MB must be greater"):
        change(settings, memory_limit_mb=700, memory_hard_limit_mb=700)
