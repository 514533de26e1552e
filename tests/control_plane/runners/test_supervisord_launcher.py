import asyncio
import os
import signal
import socket
import stat
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from control_plane.runners.launchers.base import (
    LauncherRefused,
    LauncherUnavailable,
    ObservedRunner,
    ProcessState,
    RunnerSpec,
)
from control_plane.runners.launchers.program_file import name_program
from control_plane.runners.launchers.supervisord import SupervisordLauncher
from control_plane.runners.launchers.supervisord_rpc import SupervisordRpc
from tenant_runner.contract import PurgeRequest
from tests.conftest import wait_for
from tests.control_plane.runners.conftest import Supervisord

ACME = RunnerSpec("acme")
BOLT = RunnerSpec("bolt")


async def state(launcher: SupervisordLauncher, client_id: str) -> ProcessState:
    return (await launcher.get(client_id)).state


async def run(supervisord: Supervisord, launcher: SupervisordLauncher, *client_ids: str) -> None:
    assert await launcher.ensure([RunnerSpec(client_id) for client_id in client_ids]) == {}
    for client_id in client_ids:
        await launcher.start(client_id)
    await wait_for(lambda: all_run(supervisord, launcher, client_ids))


async def all_run(supervisord: Supervisord, launcher: SupervisordLauncher, client_ids: tuple[str, ...]) -> bool:
    seen = await launcher.list()
    return all(client_id in seen and supervisord.has_begun(client_id, seen[client_id].run) for client_id in client_ids)


async def all_in(launcher: SupervisordLauncher, client_ids: tuple[str, ...], wanted: ProcessState) -> bool:
    seen = await launcher.list()
    return all(client_id in seen and seen[client_id].state is wanted for client_id in client_ids)


async def test_a_defined_program_is_private_holds_only_the_id_and_is_not_started(
    supervisord: Supervisord, launcher: SupervisordLauncher
) -> None:
    assert await launcher.ensure([ACME]) == {}
    file = supervisord.programs / "tenant-acme.conf"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().count("acme") == 3
    assert [path.name for path in supervisord.programs.iterdir()] == ["tenant-acme.conf"]
    assert await state(launcher, "acme") is ProcessState.STOPPED


async def test_start_stop_and_restart_may_be_repeated(supervisord: Supervisord, launcher: SupervisordLauncher) -> None:
    await run(supervisord, launcher, "acme")
    first = await launcher.get("acme")
    await launcher.start("acme")
    assert (await launcher.get("acme")).run == first.run
    await launcher.restart("acme")
    await wait_for(lambda: all_in(launcher, ("acme",), ProcessState.RUNNING))
    assert (await launcher.get("acme")).run != first.run
    await launcher.stop("acme")
    await launcher.stop("acme")
    await launcher.stop("unknown")
    assert await state(launcher, "acme") is ProcessState.STOPPED
    assert supervisord.processes() == []
    assert (await launcher.get("acme")).run is None


async def test_a_removed_program_leaves_no_file_no_log_and_no_process(
    supervisord: Supervisord, launcher: SupervisordLauncher
) -> None:
    await run(supervisord, launcher, "acme", "bolt")
    assert "started as steady" in await launcher.logs("acme")
    await launcher.remove("acme")
    await launcher.remove("acme")
    assert await state(launcher, "acme") is ProcessState.ABSENT
    assert list(supervisord.programs.glob("*acme*")) == []
    assert list(supervisord.logs.glob("*acme*")) == []
    assert await launcher.logs("acme") == ""
    assert set(await launcher.list()) == {"bolt"}
    assert await state(launcher, "bolt") is ProcessState.RUNNING


async def test_a_second_look_at_the_same_programs_writes_and_reloads_nothing(
    supervisord: Supervisord, launcher: SupervisordLauncher
) -> None:
    await run(supervisord, launcher, "acme", "bolt")
    before = {path: path.stat().st_mtime_ns for path in supervisord.programs.iterdir()}
    log = (supervisord.home / "supervisord.log").read_text()
    await launcher.ensure([ACME, BOLT])
    await launcher.ensure([ACME, BOLT])
    assert {path: path.stat().st_mtime_ns for path in supervisord.programs.iterdir()} == before
    assert (supervisord.home / "supervisord.log").read_text() == log
    assert len(supervisord.starts("acme")) == 1


async def test_a_changed_definition_replaces_one_program_and_leaves_the_others_running(
    supervisord: Supervisord, launcher: SupervisordLauncher
) -> None:
    await run(supervisord, launcher, "acme", "bolt")
    bystander = await launcher.get("bolt")
    file = supervisord.programs / "tenant-acme.conf"
    file.write_text(file.read_text().replace("startretries=1", "startretries=9"))
    second = supervisord.launcher()
    try:
        assert await second.ensure([ACME, BOLT]) == {}
    finally:
        await second.aclose()
    assert "startretries=1" in file.read_text()
    assert (await launcher.get("bolt")).run == bystander.run


async def test_a_program_whose_definition_supervisord_holds_is_old_is_taken_away_and_added_again(
    supervisord: Supervisord, launcher: SupervisordLauncher
) -> None:
    await run(supervisord, launcher, "acme", "bolt")
    bystander = await launcher.get("bolt")
    newer = supervisord.launcher(stop_seconds=3)
    try:
        assert await newer.ensure([ACME]) == {}
        assert await state(newer, "acme") is ProcessState.STOPPED
        await run(supervisord, newer, "acme")
        assert (await newer.get("bolt")).run == bystander.run
    finally:
        await newer.aclose()


class Clumsy(SupervisordLauncher):
    """Defines for `bad…` what supervisord cannot read."""

    def _render(self, client_id: str) -> str:
        text = super()._render(client_id)
        return text.replace("stopsignal=WINCH", "stopsignal=NONE") if client_id.startswith("bad") else text


async def test_a_bad_definition_leaves_no_file_and_the_others_are_defined(supervisord: Supervisord) -> None:
    clumsy = supervisord.launcher_of(Clumsy)
    (supervisord.programs / "tenant-bad2.conf").write_text("[program:tenant-bad2]\nstopsignal=NONE\n")
    try:
        await run(supervisord, clumsy, "acme")
        running = await clumsy.get("acme")
        problems = await clumsy.ensure([ACME, RunnerSpec("bad1"), BOLT, RunnerSpec("bad2")])
        assert set(problems) == {"bad1", "bad2"}
        assert isinstance(problems["bad1"], LauncherRefused)
        assert "cannot read the program's definition" in str(problems["bad1"])
        assert {path.stem for path in supervisord.programs.iterdir()} == {"tenant-acme", "tenant-bolt"}
        assert await state(clumsy, "bad1") is ProcessState.ABSENT
        assert (await clumsy.get("acme")).run == running.run
        await run(supervisord, clumsy, "bolt")
    finally:
        await clumsy.aclose()


async def test_a_bad_definition_of_one_that_runs_changes_nothing(supervisord: Supervisord) -> None:
    launcher = supervisord.launcher()
    await run(supervisord, launcher, "bad")
    running, text = await launcher.get("bad"), (supervisord.programs / "tenant-bad.conf").read_text()
    await launcher.aclose()
    clumsy = supervisord.launcher_of(Clumsy)
    try:
        assert set(await clumsy.ensure([RunnerSpec("bad")])) == {"bad"}
        assert (await clumsy.get("bad")).run == running.run
        assert (supervisord.programs / "tenant-bad.conf").read_text() == text
    finally:
        await clumsy.aclose()


async def test_a_bad_file_that_a_crash_left_is_written_anew(
    supervisord: Supervisord, launcher: SupervisordLauncher
) -> None:
    (supervisord.programs / "tenant-acme.conf").write_text("[program:tenant-acme]\nstopsignal=NONE\n")
    assert await launcher.ensure([ACME, BOLT]) == {}
    await run(supervisord, launcher, "acme", "bolt")


async def test_a_bad_file_of_somebody_else_keeps_no_client_from_being_defined(
    supervisord: Supervisord, launcher: SupervisordLauncher
) -> None:
    (supervisord.programs / "foreign.conf").write_text("[program:foreign]\ncommand=sleep 1\nstopsignal=NONE\n")
    await run(supervisord, launcher, "acme")


async def test_a_program_that_is_added_is_as_supervisord_reads_it_from_its_file(
    supervisord: Supervisord, launcher: SupervisordLauncher
) -> None:
    await run(supervisord, launcher, "acme", "bolt")
    rpc = SupervisordRpc(supervisord.socket)
    try:
        assert await rpc.call("reloadConfig") == [[[], [], []]]
    finally:
        rpc.close()


async def test_many_are_defined_and_looked_at_in_one_call_and_one_more_is_defined_without_the_others(
    supervisord: Supervisord, launcher: SupervisordLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    defined: list[int] = []
    calls: Counter[str] = Counter()
    call = SupervisordRpc.call

    async def count(rpc: SupervisordRpc, method: str, *arguments: Any) -> Any:
        assert method != "reloadConfig"
        calls[method] += 1
        defined.extend([len(arguments[0])] if method == "programs.define" else [])
        return await call(rpc, method, *arguments)

    monkeypatch.setattr(SupervisordRpc, "call", count)
    many = [RunnerSpec(f"c{number}") for number in range(30)]
    assert await launcher.ensure(many) == {}
    assert await launcher.ensure([*many, ACME]) == {}
    assert defined == [30, 1]
    looked = calls.copy()
    await launcher.list(["acme", "c1", "c2"])
    assert calls - looked == {"programs.look": 1}


async def test_a_supervisord_with_an_older_configuration_says_what_to_do(
    supervisord: Supervisord, launcher: SupervisordLauncher
) -> None:
    supervisord.stop()
    file = supervisord.home / "supervisord.conf"
    file.write_text(file.read_text().replace("[rpcinterface:programs]", "[other]"))
    supervisord.start()
    with pytest.raises(LauncherUnavailable, match=r"older supervisord\.conf"):
        await launcher.ensure([ACME])


async def test_a_supervisord_that_is_ending_says_so(supervisord: Supervisord, launcher: SupervisordLauncher) -> None:
    supervisord.behave("acme", "stubborn")
    await run(supervisord, launcher, "acme")
    assert supervisord.process is not None
    supervisord.process.terminate()

    async def is_ending() -> Any:
        try:
            await launcher.get("acme")
        except LauncherUnavailable as error:
            return str(error)
        return None

    assert await wait_for(is_ending) == "supervisord is shutting down"


async def test_a_killed_process_is_started_again(supervisord: Supervisord, launcher: SupervisordLauncher) -> None:
    await run(supervisord, launcher, "acme")
    first = await launcher.get("acme")
    os.kill(supervisord.starts("acme")[0], signal.SIGKILL)
    await wait_for(lambda: len(supervisord.starts("acme")) == 2)
    await wait_for(lambda: all_in(launcher, ("acme",), ProcessState.RUNNING))
    assert (await launcher.get("acme")).run != first.run


async def test_a_process_that_ignores_the_signal_is_killed(
    supervisord: Supervisord, launcher: SupervisordLauncher
) -> None:
    supervisord.behave("acme", "stubborn")
    await run(supervisord, launcher, "acme")
    await launcher.stop("acme")
    assert supervisord.processes() == []


async def test_a_process_that_never_starts_fails_and_can_be_revived(supervisord: Supervisord) -> None:
    launcher = supervisord.launcher(start_seconds=1)
    supervisord.behave("acme", "exit 1")
    await launcher.ensure([ACME])
    await launcher.start("acme")
    await wait_for(lambda: all_in(launcher, ("acme",), ProcessState.FAILED))
    supervisord.behave("acme", "steady")
    await launcher.start("acme")
    await wait_for(lambda: all_in(launcher, ("acme",), ProcessState.RUNNING))
    await launcher.aclose()


@pytest.mark.parametrize("status", [0, 78])
async def test_an_end_that_is_an_answer_is_told_and_not_repeated(
    supervisord: Supervisord, launcher: SupervisordLauncher, status: int
) -> None:
    supervisord.behave("acme", f"exit {status} after 0.3")
    await launcher.ensure([ACME])
    await launcher.start("acme")
    await wait_for(lambda: all_in(launcher, ("acme",), ProcessState.FAILED))
    assert (await launcher.get("acme")).exit_status == status
    assert len(supervisord.starts("acme")) == 1


async def test_a_command_that_is_not_there_is_refused(supervisord: Supervisord) -> None:
    launcher = supervisord.launcher(serve_command=("/nowhere/runner",))
    try:
        await launcher.ensure([ACME])
        with pytest.raises(LauncherRefused, match="could not start"):
            await launcher.start("acme")
        with pytest.raises(LauncherRefused, match="not defined"):
            await launcher.start("bolt")
    finally:
        await launcher.aclose()


async def test_after_a_restart_of_supervisord_nothing_runs_until_it_is_started(
    supervisord: Supervisord, launcher: SupervisordLauncher
) -> None:
    await run(supervisord, launcher, "acme")
    supervisord.stop()
    with pytest.raises(LauncherUnavailable, match="does not run"):
        await launcher.list()
    supervisord.start()
    assert await state(launcher, "acme") is ProcessState.STOPPED
    await run(supervisord, launcher, "acme")


async def test_a_runner_that_outlived_its_supervisord_is_ended_at_the_first_look_at_the_next_one(
    supervisord: Supervisord, launcher: SupervisordLauncher
) -> None:
    await run(supervisord, launcher, "acme")
    supervisord.stop(children_too=False)
    assert len(supervisord.processes()) == 1
    supervisord.start()
    await launcher.list()
    assert supervisord.processes() == []
    await run(supervisord, launcher, "acme")
    newcomer = supervisord.launcher()
    assert (await newcomer.list())["acme"].state is ProcessState.RUNNING
    await newcomer.aclose()
    assert [process.pid for process in supervisord.processes()] == supervisord.starts("acme")[1:]


async def test_a_hung_supervisord_is_given_up_within_the_deadline(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, tempfile.TemporaryDirectory() as short:
        path = Path(short) / "hung.sock"
        listener.bind(str(path))
        listener.listen()
        launcher = SupervisordLauncher(
            socket=path, programs_directory=tmp_path, logs_directory=tmp_path, call_timeout_s=0.3
        )
        async with asyncio.timeout(60):
            for _ in range(6):
                with pytest.raises(LauncherUnavailable, match="did not answer"):
                    await launcher.get("acme")
        await launcher.aclose()


async def test_many_at_once_do_not_disturb_each_other(supervisord: Supervisord, launcher: SupervisordLauncher) -> None:
    ids = tuple(f"c{number}" for number in range(8))

    async def live(client_id: str) -> None:
        await launcher.ensure([RunnerSpec(client_id)])
        await launcher.start(client_id)
        await launcher.restart(client_id)

    await asyncio.gather(*map(live, ids))
    await wait_for(lambda: all_in(launcher, ids, ProcessState.RUNNING))
    await asyncio.gather(*map(launcher.remove, ids[:4]))
    assert set(await launcher.list()) == set(ids[4:])
    assert len(supervisord.processes()) == 4


async def test_the_purge_runs_without_the_process_and_reports(
    supervisord: Supervisord, launcher: SupervisordLauncher
) -> None:
    report = await launcher.purge("acme", PurgeRequest(before=datetime(2026, 11, 1, tzinfo=UTC)))
    assert (report.messages, report.threads) == (3, 1)
    await launcher.purge("acme", PurgeRequest())
    await launcher.purge("acme", PurgeRequest(chat_ids=("1@c.us", "2@lid")))
    assert (supervisord.runners / "acme.purges").read_text().splitlines() == [
        "--before 2026-11-01T00:00:00+00:00",
        "--everything",
        "--everything --chats 1@c.us 2@lid",
    ]


async def test_a_purge_that_fails_or_hangs_is_said_and_leaves_no_process(
    supervisord: Supervisord, launcher: SupervisordLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisord.behave("acme", "purge fails")
    with pytest.raises(LauncherRefused, match="status 3"):
        await launcher.purge("acme", PurgeRequest())
    monkeypatch.setattr("control_plane.runners.launchers.supervisord.PURGE_DEADLINE_S", 1.0)
    supervisord.behave("acme", "purge hangs")
    with pytest.raises(LauncherRefused, match="did not end"):
        await launcher.purge("acme", PurgeRequest())
    assert supervisord.processes() == []


@pytest.mark.parametrize("client_id", ["", "UPPER", "a b", "a%(ENV_HOME)s", "a\ncommand=evil", "../x", "a" * 33])
def test_an_id_that_could_break_out_of_the_file_is_refused(client_id: str) -> None:
    with pytest.raises(ValueError, match="lower-case"):
        name_program(client_id)


async def test_a_path_that_supervisord_would_cut_off_is_refused(supervisord: Supervisord) -> None:
    launcher = supervisord.launcher(logs_directory=supervisord.home / "logs ;x")
    try:
        with pytest.raises(LauncherRefused, match="cut it off"):
            await launcher.ensure([ACME])
    finally:
        await launcher.aclose()


async def test_a_look_at_a_few_is_as_one_at_all_and_meets_another_supervisord_as_that_does(
    supervisord: Supervisord, launcher: SupervisordLauncher
) -> None:
    await run(supervisord, launcher, "acme")
    await run(supervisord, launcher, "bolt")
    everybody = await launcher.list()
    few = await launcher.list(["acme", "nobody"])
    assert few == {"acme": everybody["acme"], "nobody": ObservedRunner("nobody", ProcessState.ABSENT)}
    supervisord.stop(children_too=False)
    with pytest.raises(LauncherUnavailable):
        await launcher.list(["acme"])
    assert len(supervisord.processes()) == 2
    supervisord.start()
    assert (await launcher.list(["acme"])).keys() == {"acme"}
    assert supervisord.processes() == []
