"""What the start script says when it cannot start: the cause and the next step, before anything runs."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from control_plane.settings import REPOSITORY, Settings

SECRET = "it's ${HOME}, a \\ $ecret # no comment"


def start(home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    home.mkdir(parents=True, exist_ok=True)
    for name in ("scripts", "control_plane", "tenant_runner", "sandbox", "supervisord.conf"):
        (home / name).symlink_to(REPOSITORY / name)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FLAME_", "MONGODB"))}
    environment |= {"FLAME_CHROMIUM": "/nonexistent", "MONGODB_URI": "mongodb://127.0.0.1:1/", **settings}
    return subprocess.run(
        [sys.executable, "scripts/supervise.py"],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_directory_that_supervisord_cannot_work_in_is_named(tmp_path: Path) -> None:
    done = start(tmp_path / "100%sure")
    assert done.returncode == 1
    assert "'%' in its path" in done.stderr


def test_a_taken_port_is_named_with_a_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = start(tmp_path / "home", FLAME_SANDBOX="off", FLAME_PORT=str(port))
    assert done.returncode == 1
    assert f"port {port} is taken" in done.stderr
    assert "FLAME_PORT=" in done.stderr


def test_secrets_go_to_a_private_file_and_nowhere_else(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = start(tmp_path / "home", FLAME_SANDBOX="on", FLAME_PORT=str(port), FLAME_SMTP_PASSWORD=SECRET)
    file = tmp_path / "home" / "var" / "settings.env"
    assert file.stat().st_mode & 0o777 == 0o600
    read = Settings(_env_file=file)
    assert read.smtp_password is not None
    assert read.smtp_password.get_secret_value() == SECRET
    assert "ecret" not in done.stdout + done.stderr
