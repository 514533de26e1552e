from datetime import UTC, datetime

import pytest

from control_plane.runners import purge
from control_plane.runners.gateway import RunnerGateway, RunnerRefused, RunnerUnreachable
from control_plane.runners.launchers.base import RunnerSpec
from control_plane.runners.launchers.supervisord import SupervisordLauncher
from control_plane.runners.purge import purge_client
from tenant_runner.contract import PurgeRequest
from tests.conftest import find_free_port
from tests.control_plane.runners.conftest import Supervisord

BEFORE = datetime(2026, 11, 20, tzinfo=UTC)


async def test_a_process_that_runs_purges_by_itself(supervisord: Supervisord, launcher: SupervisordLauncher) -> None:
    port = find_free_port()
    supervisord.behave("acme", f"listen {port}")
    await launcher.ensure([RunnerSpec("acme")])
    await launcher.start("acme")
    gateway = RunnerGateway(port, "token-acme", timeout_s=60)
    report = await purge_client("acme", PurgeRequest(before=BEFORE), launcher=launcher, gateway=gateway)
    assert report.messages == 7
    assert not (supervisord.runners / "acme.purges").exists()
    with pytest.raises(RunnerRefused, match="token"):
        await purge_client(
            "acme", PurgeRequest(before=BEFORE), launcher=launcher, gateway=RunnerGateway(port, "wrong", timeout_s=60)
        )


async def test_a_process_that_does_not_run_is_purged_beside_it(
    supervisord: Supervisord, launcher: SupervisordLauncher
) -> None:
    gateway = RunnerGateway(find_free_port(), "token-acme", timeout_s=60)
    report = await purge_client("acme", PurgeRequest(before=BEFORE), launcher=launcher, gateway=gateway)
    assert report.messages == 3
    assert (supervisord.runners / "acme.purges").read_text() == "--before 2026-11-20T00:00:00+00:00\n"


async def test_a_process_that_runs_and_does_not_answer_keeps_its_journal_to_itself(
    supervisord: Supervisord, launcher: SupervisordLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "START_PATIENCE_S", 1.0)
    await launcher.ensure([RunnerSpec("acme")])
    await launcher.start("acme")
    gateway = RunnerGateway(find_free_port(), "token-acme", timeout_s=60)
    with pytest.raises(RunnerUnreachable):
        await purge_client("acme", PurgeRequest(before=BEFORE), launcher=launcher, gateway=gateway)
    assert not (supervisord.runners / "acme.purges").exists()
    assert len(supervisord.processes()) == 1
