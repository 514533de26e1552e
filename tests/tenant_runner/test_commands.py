"""A runner's process that cannot start says why, and leaves nothing behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tenant_runner.channels.whatsapp_web.browser import browsers_of
from tests.conftest import find_free_port
from tests.tenant_runner.installation import CHROMIUM, REPOSITORY

TOKEN = "a-token-that-nobody-may-read"


def serve(data: Path, client_id: str = "c1", **environment: str) -> subprocess.CompletedProcess[str]:
    chromium = {"FLAME_CHROMIUM": str(CHROMIUM)} if CHROMIUM.exists() else {}
    return subprocess.run(
        [sys.executable, "-m", "tenant_runner", "serve", "--client", client_id],
        cwd=REPOSITORY,
        env={**os.environ, "FLAME_DATA_DIRECTORY": str(data), **chromium, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The `runner.json` of client `c1`; nobody answers at its control plane."""
    (tmp_path / "clients" / "c1").mkdir(parents=True)
    credentials = {
        "client_id": "c1",
        "control_plane_url": f"http://127.0.0.1:{find_free_port()}",
        "token": TOKEN,
        "port": find_free_port(),
        "browser_arguments": [],
    }
    path = tmp_path / "clients" / "c1" / "runner.json"
    path.write_text(json.dumps(credentials))
    return path


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"port": "many"}, "runner.json has 1 errors"),
        ({"client_id": "c2"}, "runner.json is of another client"),
        ({"browser_arguments": 5}, "runner.json has 1 errors"),
    ],
)
def test_credentials_that_cannot_be_used_are_told_without_the_token(
    written: Path, changes: dict[str, object], cause: str
) -> None:
    written.write_text(json.dumps(json.loads(written.read_text()) | changes))
    done = serve(written.parents[2])
    assert done.returncode == 1
    assert cause in json.loads(done.stdout)["cause"]
    assert TOKEN not in done.stdout + done.stderr
    assert browsers_of(written.parent / "profile") == []


def test_where_there_are_none_that_is_told(written: Path) -> None:
    written.write_text("{")
    assert "runner.json has 1 errors" in json.loads(serve(written.parents[2]).stdout)["cause"]
    written.unlink()
    assert "runner.json cannot be read: No such file" in json.loads(serve(written.parents[2]).stdout)["cause"]
    assert "clients/c9 cannot be used: No such file" in json.loads(serve(written.parents[2], "c9").stdout)["cause"]


def test_a_setting_that_cannot_be_meant_is_told_with_what_can(written: Path) -> None:
    done = serve(written.parents[2], FLAME_LOG_LEVEL="LOUD")
    assert done.returncode == 1
    assert json.loads(done.stdout)["cause"] == "FLAME_LOG_LEVEL is LOUD; it can be DEBUG, INFO, WARNING, ERROR"
