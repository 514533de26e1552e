import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import pytest

from control_plane import scheduler
from control_plane.database import Database
from control_plane.leases import SCHEDULER, Lease, Leases
from control_plane.retention.models import CleanupRun, RunState
from control_plane.retention.repository import CleanupRuns
from control_plane.runners.launchers import open_launcher, probe_walls
from control_plane.scheduler import Context, Job
from control_plane.security import open_cipher
from control_plane.settings import REPOSITORY, Settings
from tests.conftest import find_free_port, wait_for
from tests.control_plane.site import change

# supervisord.conf: stopwaitsecs.
PATIENCE_S = 15


class Start(Protocol):
    """Starts a scheduler as supervisord does; `log` names the file of its output."""

    def __call__(self, log: str, uri: str | None = None) -> subprocess.Popen[bytes]: ...


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Start]:
    processes: list[subprocess.Popen[bytes]] = []

    def start_one(log: str, uri: str | None = None) -> subprocess.Popen[bytes]:
        assert settings.mongodb_uri is not None
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("FLAME_", "MONGODB"))}
        environment |= {
            "FLAME_DATA_DIRECTORY": str(settings.data_directory),
            "FLAME_SETTINGS_FILE": str(tmp_path / "none"),
            "FLAME_DATABASE_NAME": settings.database_name,
            "MONGODB_URI": uri or settings.mongodb_uri.get_secret_value(),
            "PYTHONUNBUFFERED": "1",
        }
        with (tmp_path / log).open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "control_plane", "scheduler"],
                cwd=REPOSITORY,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        processes.append(process)
        return process

    settings.programs_directory.mkdir(parents=True)
    yield start_one
    for process in processes:
        process.kill()
        process.wait(60)


async def find_lease(database: Database) -> Lease | None:
    lease = await Leases(database).find(SCHEDULER)
    return lease if lease and lease.until > datetime.now(UTC) else None


def holds(lease: Lease | None, process: subprocess.Popen[bytes]) -> bool:
    return lease is not None and lease.holder.endswith(f":{process.pid}")


async def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to stop, as patiently as supervisord does."""
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, PATIENCE_S) == 0


async def test_one_scheduler_works_and_another_takes_over_when_it_stops(
    start: Start, database: Database, tmp_path: Path
) -> None:
    first = start("first.log")
    lease = await wait_for(lambda: find_lease(database))
    assert holds(lease, first)
    second = start("second.log")
    await wait_for(lambda: (tmp_path / "second.log").read_text() or second.poll() is not None)
    assert holds(await find_lease(database), first)
    assert "became active" not in (tmp_path / "second.log").read_text()
    # There is no supervisord here: that is said, and stops neither process.
    await wait_for(lambda: "supervisord did not answer" in (tmp_path / "first.log").read_text())
    await stop(first)

    async def is_taken_over() -> bool:
        return holds(await find_lease(database), second)

    await wait_for(is_taken_over)
    newer = await find_lease(database)
    assert newer is not None
    assert newer.token > lease.token
    await stop(second)
    assert "job failed" not in (tmp_path / "first.log").read_text() + (tmp_path / "second.log").read_text()


async def test_a_cleanup_that_is_asked_for_is_done_within_seconds_and_the_regular_one_is_not_repeated(
    start: Start, database: Database
) -> None:
    runs = CleanupRuns(database)

    async def find_done(run_id: str) -> CleanupRun | None:
        run = await runs.get(run_id)
        return run if run and run.state is RunState.DONE else None

    first = start("first.log")
    [regular] = await wait_for(runs.list)
    assert regular.trigger == "scheduled"
    await wait_for(lambda: find_done(regular.id))
    forced = await runs.request("forced")
    await wait_for(lambda: find_done(forced.id))
    await stop(first)
    start("second.log")
    again = await runs.request("forced")
    await wait_for(lambda: find_done(again.id))
    assert [run.trigger for run in await runs.list()] == ["forced", "forced", "scheduled"]
    [looks] = [job.interval_s for job in scheduler.JOBS if job.name == "clean up"]
    assert looks <= 2


async def test_a_regular_cleanup_is_due_by_what_the_database_remembers(start: Start, database: Database) -> None:
    runs = CleanupRuns(database)
    old = await runs.request("scheduled")
    await database["cleanup_runs"].update_one(
        {"_id": old.id}, {"$set": {"requested_at": datetime.now(UTC) - timedelta(hours=25), "state": "done"}}
    )
    start("first.log")

    async def find_new() -> list[CleanupRun]:
        return [run for run in await runs.list() if run.id != old.id and run.state is RunState.DONE]

    [new] = await wait_for(find_new)
    assert new.trigger == "scheduled"


async def test_a_scheduler_waits_for_a_database_that_is_down_and_outlives_its_absence(
    start: Start, settings: Settings, database: Database, tmp_path: Path
) -> None:
    assert settings.mongodb_uri is not None
    uri = settings.mongodb_uri.get_secret_value()
    real, port = urlsplit(uri).port, find_free_port()
    assert real
    connections: set[asyncio.StreamWriter] = set()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", real)
        connections.update((writer, there_writer))

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65_536):
                    target.write(data)
            target.close()

        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))

    async def open_way() -> asyncio.Server:
        return await asyncio.start_server(forward, "127.0.0.1", port)

    async def cut(way: asyncio.Server) -> None:
        way.close()
        for writer in connections:
            writer.close()

    def logged() -> str:
        return (tmp_path / "first.log").read_text()

    process = start("first.log", uri.replace(f":{real}/", f":{port}/"))
    await wait_for(lambda: "lease could not be renewed" in logged())
    way = await open_way()
    await wait_for(lambda: "became active" in logged())
    await cut(way)
    failures = logged().count("lease could not be renewed")
    await wait_for(lambda: logged().count("lease could not be renewed") > failures)
    way = await open_way()
    runs = CleanupRuns(database)
    run = await runs.request("forced")

    async def is_done() -> bool:
        found = await runs.get(run.id)
        return found is not None and found.state is RunState.DONE

    await wait_for(is_done)
    assert process.poll() is None
    await stop(process)
    await cut(way)
    assert "job failed" not in logged()


async def test_a_job_that_fails_stops_neither_itself_nor_the_others(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    done = {"bad": 0, "good": 0, "slow": 0}

    async def fail(_: Context) -> None:
        done["bad"] += 1
        raise RuntimeError("the job's own fault")

    async def work(_: Context) -> None:
        done["good"] += 1

    async def take_long(_: Context) -> None:
        done["slow"] += 1
        await asyncio.Event().wait()

    jobs = (Job("bad", 0.05, fail), Job("good", 0.05, work), Job("slow", 0.05, take_long))
    monkeypatch.setattr(scheduler, "JOBS", jobs)
    monkeypatch.setattr(scheduler, "STOP_DEADLINE_S", 0.2)
    settings.data_directory.mkdir(parents=True)
    walls = probe_walls(change(settings, isolation="off"))
    launcher = open_launcher(settings, walls)
    context = Context(settings, database, launcher, open_cipher(settings), walls)
    running: set[asyncio.Task[None]] = set()
    apscheduler = scheduler._start_jobs(context, running)
    try:
        await wait_for(lambda: done["bad"] >= 3 and done["good"] >= 3)
    finally:
        await scheduler._stop_jobs(apscheduler, running, context)
        await launcher.aclose()
    assert done["slow"] == 1
    assert "job failed" in caplog.text
    await wait_for(lambda: not running)
