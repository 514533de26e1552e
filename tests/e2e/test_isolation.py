"""Inside a running runner nothing of others can be reached; whatever dies leaves no browser behind."""

import asyncio
import errno
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx2
import psutil
import pytest

from control_plane.runners.launchers.memory_limit import find_parents
from tests.conftest import wait_for
from tests.e2e.conftest import CreateTenant
from tests.e2e.installation import Installation
from tests.e2e.tenant import Tenant

CODE = Path(__file__).with_name("inside.py")
# What each attempt meets: the thing is not there, or asks for another credential.
REFUSALS = {
    "read another client's credentials": "FileNotFoundError",
    "list another client's directory": "FileNotFoundError",
    "list the other clients": "IndexError",
    "write beside its own directory": "OSError|PermissionError",
    "see others' processes": "PermissionError: none of others",
    "signal another client's runner": "ProcessLookupError",
    "read another runner's memory": "FileNotFoundError",
    "use another runner's port": "HTTP 401",
    "talk to supervisord": "FileNotFoundError",
    "read supervisord's programs": "FileNotFoundError",
    "read the settings": "FileNotFoundError",
    "read the keys": "FileNotFoundError",
    "read the database's address": "FileNotFoundError",
    "query the database without a password": "OperationFailure",
    "read the platform's logs": "FileNotFoundError",
    "list the clients by the API": "HTTP 401",
    "change another client by the API": "HTTP 401",
    "send as another client by the API": "HTTP 401",
    "replace its own code": "OSError|PermissionError",
    "replace a program": "OSError|PermissionError",
}


def isolation(installation: Installation) -> dict[str, str]:
    """What the scheduler found that this machine allows."""
    document = installation.database()["machines"].find_one({"_id": "here"})
    assert document
    return dict(document["isolation"])


def need_walls(installation: Installation) -> None:
    found = isolation(installation)
    if found["level"] == "none":
        pytest.skip(f"this machine refuses the walls: {found['reason']}")


def enter(runner: psutil.Process, home: Path, *arguments: str) -> str:
    """Run our code inside the surroundings of a running process: its files, its processes, its account."""
    command = ["nsenter", "--target", str(runner.pid), "--mount", "--pid", "--ipc", "--uts"]
    if os.geteuid() == 0:
        command += ["--setuid", str(runner.uids().real), "--setgid", str(runner.gids().real)]
    else:
        command += ["--user", "--preserve-credentials"]
    # The code comes by a pipe: it is no file that the runner could see.
    command += [f"--wdns={home}", sys.executable, "-", *arguments]
    done = subprocess.run(command, input=CODE.read_text(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
async def outcomes(installation: Installation, api: httpx2.AsyncClient) -> AsyncIterator[dict[str, str]]:
    """How every attempt went, from inside one client's running runner on another one's."""
    tenants = await asyncio.gather(*(Tenant.create(installation, api, kind="automatic") for _ in range(2)))
    own, other = tenants
    try:
        need_walls(installation)
        await asyncio.gather(*(tenant.wait_until("SCAN_QR_CODE") for tenant in tenants))
        runner, victim = installation.runner(own.id), installation.runner(other.id)
        assert runner
        assert victim
        given = {
            "home": str(installation.home),
            "own": own.id,
            "other": other.id,
            "other_port": other.port,
            "other_pid": victim.pid,
            "portal_port": installation.ports["FLAME_PORT"],
            "database_port": installation.ports["FLAME_DATABASE_PORT"],
            "supervisor_socket": str(installation.socket),
        }
        printed = await asyncio.to_thread(enter, runner, installation.home, json.dumps(given))
        yield json.loads(printed)
    finally:
        for tenant in tenants:
            await api.post(f"/api/admin/clients/{tenant.id}/toggle")
            await tenant.close()


@pytest.mark.parametrize("attempt", REFUSALS)
async def test_inside_a_running_runner_no_attempt_succeeds(outcomes: dict[str, str], attempt: str) -> None:
    outcome = outcomes[attempt]
    assert not outcome.startswith("REACHED")
    assert outcome.startswith(tuple(REFUSALS[attempt].split("|")))


async def test_the_attempts_were_real(outcomes: dict[str, str]) -> None:
    """The same code with the same means reaches what the runner may reach, so that refusals are not its own faults."""
    assert set(outcomes) == set(REFUSALS) | {"whose configuration", "uid"}
    assert '"client_id"' in outcomes["whose configuration"]
    assert outcomes["uid"] != "0"


async def test_behind_the_walls_a_runner_is_as_small_as_outside(
    installation: Installation, create_tenant: CreateTenant
) -> None:
    need_walls(installation)
    tenant = await create_tenant(kind="automatic")
    await tenant.wait_until("SCAN_QR_CODE")
    runner = installation.runner(tenant.id)
    assert runner
    [browser] = [process for process in runner.children() if "--remote-debugging-pipe" in process.cmdline()]
    assert len(browser.children(recursive=True)) <= 8


@pytest.mark.parametrize("victim", ["runner", "walls"])
async def test_a_kill_leaves_no_browser_and_the_next_runner_is_the_only_one(
    installation: Installation, create_tenant: CreateTenant, victim: str
) -> None:
    need_walls(installation)
    tenant = await create_tenant(kind="automatic")
    await tenant.wait_until("SCAN_QR_CODE")
    runner, walls, browsers = (getattr(installation, name)(tenant.id) for name in ("runner", "walls", "browsers"))
    assert runner
    assert walls
    assert browsers
    fence = tenant.session()["fence"]
    (runner if victim == "runner" else walls[0]).kill()
    await wait_for(
        lambda: not any(process.is_running() for process in (runner, *walls, *browsers)),
        what="the end of the runner, its walls and its browser",
    )
    await wait_for(lambda: tenant.session()["fence"] > fence, deadline_s=90, what="the next runner")
    await tenant.wait_until("SCAN_QR_CODE")
    assert len(installation.runners(tenant.id)) == 1


GREEDY = """
import sys, time
sys.stdin.read()
taken = []
while True:
    taken.append(b"x" * (1 << 20))
    time.sleep(0.005)
"""


def first_of(directory: Path, *names: str) -> Path:
    """The file that this version of control groups has."""
    return next(directory / name for name in names if (directory / name).exists())


def memory_group(installation: Installation, process: psutil.Process) -> Path:
    """The control group that limits a process's memory; skips where the machine allows none."""
    if reason := isolation(installation)["unlimited_reason"]:
        pytest.skip(f"this machine refuses memory limits: {reason}")
    lines = [line.split(":", 2) for line in Path(f"/proc/{process.pid}/cgroup").read_text().splitlines()]
    found = [parent / line[2].rpartition("/")[2] for line in lines for parent in find_parents()]
    return next(group for group in found if (group / "cgroup.procs").exists() and group.name.startswith("flame-"))


def tighten(limit: Path, usage: Path) -> bool:
    """Allow what is used and no more; False while that grows faster, since then the kernel refuses (version 1)."""
    try:
        limit.write_text(usage.read_text())
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


async def test_a_browser_that_wants_more_memory_than_it_may_have_is_ended_and_comes_back(
    installation: Installation, create_tenant: CreateTenant
) -> None:
    tenant = await create_tenant(kind="automatic")
    await tenant.wait_until("SCAN_QR_CODE")
    runner, browsers = installation.runner(tenant.id), installation.browsers(tenant.id)
    assert runner
    assert browsers
    since = tenant.session()["since"]
    group = memory_group(installation, runner)
    assert group.name.endswith(f"-{tenant.id}")
    members = {int(line) for line in (group / "cgroup.procs").read_text().split()}
    assert {process.pid for process in (runner, *browsers)} <= members
    limit = first_of(group, "memory.max", "memory.limit_in_bytes")
    before, usage = limit.read_text(), first_of(group, "memory.current", "memory.usage_in_bytes")
    # Beside the browser, so that it is short of memory as if its page grew without end.
    greedy = await asyncio.create_subprocess_exec(sys.executable, "-c", GREEDY, stdin=subprocess.PIPE)
    try:
        (group / "cgroup.procs").write_text(str(greedy.pid))
        await wait_for(lambda: tighten(limit, usage), what="the limit")
        assert greedy.stdin
        greedy.stdin.close()
        # A page that nobody looks at may be the first to go.
        await wait_for(lambda: tenant.session()["state"] != "SCAN_QR_CODE", what="the end of the page")
    finally:
        with suppress(ProcessLookupError):
            # It may have been ended too.
            greedy.kill()
        await greedy.wait()
        limit.write_text(before)
    runners = installation.database()["runners"]
    await wait_for(
        lambda: "memory ran out" in ((runners.find_one({"_id": tenant.id}) or {}).get("message") or ""),
        what="the word of it",
    )
    await wait_for(
        lambda: (session := tenant.session())["state"] == "SCAN_QR_CODE" and session["since"] > since,
        deadline_s=120,
        what="the next session",
    )


async def test_a_killed_supervisord_leaves_no_runner_and_no_browser(
    installation: Installation, create_tenant: CreateTenant
) -> None:
    need_walls(installation)
    tenant = await create_tenant(kind="automatic")
    await tenant.wait_until("SCAN_QR_CODE")
    runner, browsers = installation.runner(tenant.id), installation.browsers(tenant.id)
    assert runner
    assert browsers
    daemon = psutil.Process(int(await asyncio.to_thread(installation.control, "pid")))
    try:
        daemon.kill()
        await wait_for(
            lambda: not any(process.is_running() for process in (runner, *browsers)),
            what="the end of the runner and its browser",
        )
    finally:
        await asyncio.to_thread(installation.stop)
        await asyncio.to_thread(installation.start)
    await tenant.wait_until("SCAN_QR_CODE")
