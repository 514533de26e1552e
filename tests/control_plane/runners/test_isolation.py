"""The walls around a runner, tried from the inside by a program that a real supervisord runs behind them."""

import asyncio
import contextlib
import dataclasses
import json
import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from control_plane.files import write_private
from control_plane.runners.launchers.base import LauncherRefused, ProcessState, RunnerSpec
from control_plane.runners.launchers.isolation import (
    Level,
    Walls,
    describe_installation,
    probe,
    strongest_level,
    try_walls,
)
from control_plane.runners.launchers.supervisord import SupervisordLauncher
from control_plane.settings import REPOSITORY
from tests.conftest import wait_for
from tests.control_plane.runners.conftest import Supervisord

PROGRAM = Path(__file__).with_name("walled.py")
FIRST_ACCOUNT = 1_900_100_000
ACME = RunnerSpec("acme", 7)


def build_walls(data_directory: Path, *, level: Level | None = None) -> Walls:
    installation = describe_installation(
        data_directory=data_directory, repository=REPOSITORY, chromium=None, first_account=FIRST_ACCOUNT
    )
    installation = dataclasses.replace(installation, readable=(*installation.readable, PROGRAM.parent))
    return Walls(level or strongest_level(), installation)


class Walled:
    """A client `acme` behind its walls, another client and the platform's own files beside it."""

    def __init__(self, supervisord: Supervisord, walls: Walls, *, memory_mb: int = 0) -> None:
        self.spec = dataclasses.replace(ACME, memory_mb=memory_mb)
        self.supervisord = supervisord
        self.walls = walls
        self.clients = supervisord.home / "clients"
        self.own = self.clients / "acme"
        for name in ("acme", "bolt"):
            (self.clients / name).mkdir(mode=0o700, parents=True)
            write_private(self.clients / name / "runner.json", "a token")
        self.settings = supervisord.home / "settings.env"
        write_private(self.settings, "a secret")
        self.launcher = self.open_launcher()

    def open_launcher(self) -> SupervisordLauncher:
        return self.supervisord.launcher(
            serve_command=(sys.executable, str(PROGRAM), str(self.clients), "--client"),
            clients_directory=self.clients,
            walls=self.walls,
            stop_seconds=60,
        )

    async def start(self, *attempts: tuple[str, object]) -> dict[str, str]:
        """Start it and wait for what it says of its attempts."""
        write_private(self.own / "attempts.json", json.dumps([(kind, str(target)) for kind, target in attempts]))
        assert await self.launcher.ensure([self.spec]) == {}
        await self.launcher.start("acme")
        report = self.own / "report.json"
        try:
            await wait_for(report.exists, what="the report from behind the walls")
        except AssertionError as error:
            raise AssertionError(await self.launcher.logs("acme")) from error
        told: dict[str, str] = json.loads(report.read_text())
        report.unlink()
        return told

    def family(self) -> list[psutil.Process]:
        """All that runs for the client: bubblewrap, the program, and what the program started; eldest first."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                mine = any(str(self.clients) in part for part in process.cmdline())
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def program(self) -> psutil.Process:
        return next(p for p in self.family() if "--client" in p.cmdline() and p.name() != "bwrap")


@pytest.fixture
async def walled(supervisord: Supervisord) -> AsyncIterator[Walled]:
    walls = build_walls(supervisord.home)
    if refusal := try_walls(walls):
        pytest.skip(f"this machine refuses the walls: {refusal}")
    walled = Walled(supervisord, walls)
    yield walled
    await walled.launcher.aclose()


async def test_nothing_of_others_or_of_the_platform_can_be_reached_from_behind_the_walls(walled: Walled) -> None:
    home = walled.supervisord.home
    attempts = [
        ("read", walled.clients / "bolt" / "runner.json"),
        ("list", walled.clients / "bolt"),
        ("read", walled.settings),
        ("connect", walled.supervisord.socket),
        ("read", home / "supervisord.conf"),
        ("list", walled.supervisord.programs),
        ("list", walled.supervisord.logs),
        ("read", REPOSITORY / "control_plane" / "settings.py"),
        ("list", REPOSITORY / ".git"),
        ("read", "/etc/shadow"),
        ("list", Path.home() / ".ssh"),
        ("kill", os.getpid()),
        ("write", REPOSITORY / "tenant_runner" / "planted.py"),
        ("write", walled.clients / "planted"),
        ("write", "/usr/planted"),
        ("write", "/planted"),
    ]
    told = await walled.start(*attempts, ("write", walled.own / "mine"), ("list", walled.clients), ("list", home))
    refused = {name: told[name] for name in (f"{kind} {target}" for kind, target in attempts)}
    reached = {name: outcome for name, outcome in refused.items() if outcome == "done" or outcome.startswith("listed")}
    assert reached == {}
    assert told[f"write {walled.own / 'mine'}"] == "done"
    assert told[f"list {walled.clients}"] == "listed acme"
    assert told[f"list {home}"] == "listed clients"
    # Its own, its child and bubblewrap's first process.
    assert len(told["processes"].split()) <= 4


async def test_as_root_each_client_runs_with_an_account_of_its_own(walled: Walled) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give accounts")
    planted = walled.own / "profile" / "link"
    planted.parent.mkdir()
    planted.symlink_to(walled.settings)
    told = await walled.start()
    account = FIRST_ACCOUNT + ACME.number
    assert told["uid"] == str(account)
    assert {p.uids().real for p in walled.family() if p.name() != "bwrap"} == {account}
    assert set(walled.program().gids()) == {account}
    owners = {path.stat(follow_symlinks=False).st_uid for path in (walled.own, *walled.own.rglob("*"))}
    assert owners == {account}
    assert walled.settings.stat().st_uid == 0
    # What the platform writes there is the client's to read, and nobody else's.
    write_private(walled.own / "runner.json", "another token")
    found = (walled.own / "runner.json").stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (account, 0o600)
    assert walled.walls.account_at(walled.own) == account


async def test_it_is_asked_to_stop_and_ends_by_itself(walled: Walled) -> None:
    await walled.start()
    await walled.launcher.stop("acme")
    assert (await walled.launcher.get("acme")).state is ProcessState.STOPPED
    assert walled.family() == []
    log = (walled.supervisord.home / "supervisord.log").read_text()
    assert "killing 'tenant-acme'" not in log
    assert "stopped: tenant-acme (exit status 0)" in log


@pytest.mark.parametrize("victim", ["program", "bubblewrap"])
async def test_what_is_killed_leaves_nothing_behind_and_comes_back_once(walled: Walled, victim: str) -> None:
    await walled.start()
    family = walled.family()
    (walled.program() if victim == "program" else family[0]).kill()
    await wait_for(lambda: not any(process.is_running() for process in family), what="the end of all of them")
    await wait_for((walled.own / "report.json").exists, what="the next run")
    assert len([p for p in walled.family() if p.name() != "bwrap" and "--client" in p.cmdline()]) == 1


async def test_a_killed_supervisord_leaves_nothing_behind(walled: Walled) -> None:
    await walled.start()
    family = walled.family()
    assert len(family) >= 3
    await asyncio.to_thread(walled.supervisord.stop, children_too=False)
    await wait_for(lambda: not any(process.is_running() for process in family), what="the end of all of them")


async def test_a_second_look_by_a_new_scheduler_ends_none_of_those_behind_the_walls(walled: Walled) -> None:
    await walled.start()
    family = walled.family()
    newcomer = walled.open_launcher()
    try:
        assert (await newcomer.list())["acme"].state is ProcessState.RUNNING
    finally:
        await newcomer.aclose()
    assert walled.family() == family


async def test_a_plain_file_is_written_where_a_runner_planted_a_link_or_a_pipe(walled: Walled) -> None:
    target = walled.own / "runner.json"
    for planted in ("link", "pipe"):
        target.unlink()
        if planted == "link":
            target.symlink_to(walled.settings)
        else:
            os.mkfifo(target)
        (walled.own / f".runner.json.{os.getpid()}.new").symlink_to(walled.settings)
        assert write_private(target, "fresh")
        assert (target.read_text(), target.is_symlink()) == ("fresh", False)
        assert walled.settings.read_text() == "a secret"


def refuse(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose bubblewrap may not do what it needs."""
    program = directory / "bin" / "bwrap"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_a_machine_that_refuses_is_said_and_only_the_best_policy_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(tmp_path, monkeypatch)
    installation = build_walls(tmp_path / "var").installation
    best, strict, off = (probe(installation, policy) for policy in ("best", "strict", "off"))
    assert (best.level, best.is_enough) == (Level.NONE, True)
    assert (strict.level, strict.is_enough) == (Level.NONE, False)
    assert "No permissions to create new namespace" in strict.reason
    assert (off.level, off.is_enough) == (Level.NONE, True)
    assert "FLAME_ISOLATION" in off.reason
    assert best.wrap(["python", "-m", "x"], tmp_path, 1) == ("python", "-m", "x")


def test_a_machine_without_bubblewrap_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walls = build_walls(tmp_path / "var")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get install bubblewrap" in (try_walls(walls) or "")


async def test_no_runner_is_defined_where_the_settings_demand_more_than_the_machine_allows(
    supervisord: Supervisord,
) -> None:
    walls = dataclasses.replace(
        build_walls(supervisord.home, level=Level.NONE), is_enough=False, reason="no namespaces"
    )
    launcher = supervisord.launcher(walls=walls)
    try:
        with pytest.raises(LauncherRefused, match=r"no namespaces.*FLAME_ISOLATION=best"):
            await launcher.ensure([ACME])
    finally:
        await launcher.aclose()
    assert list(supervisord.programs.iterdir()) == []
