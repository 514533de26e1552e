"""The search for secrets in logs finds them, and fails the run without repeating them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from control_plane.settings import REPOSITORY
from tests.log_scan import Secret, find_kept_secrets, find_leaks

SECRET = "made-up-secret/4711+with signs"

LEAKING = f"""
import logging
from pathlib import Path
from tests.log_scan import remember_secret

def test_one(tmp_path):
    remember_secret("an API key", {SECRET!r})

def test_two(tmp_path):
    logs = tmp_path / "var" / "logs"
    logs.mkdir(parents=True)
    (logs / "web.log.1").write_text("a line\\nthe key is %s\\n" % LEAKED)

def test_three():
    logging.getLogger("control_plane.somewhere").error("failed", extra={{"url": LEAKED}})
"""


def run(directory: Path, *, leaked: str) -> "subprocess.CompletedProcess[str]":
    test = directory / "test_leaking.py"
    test.write_text(LEAKING + f"\nLEAKED = {leaked!r}\n")
    (directory / "pytest.ini").write_text("[pytest]\n")
    options = ["-p", "tests.log_scan", "-p", "no:schemathesis", "-p", "no:hypothesispytest", "-q", "-n", "2"]
    command = [sys.executable, "-m", "pytest", *options, "--basetemp", str(directory / "base"), str(test)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120)


def test_a_logged_secret_fails_a_run_whose_tests_all_passed(tmp_path: Path) -> None:
    ended = run(tmp_path, leaked=SECRET)
    assert "3 passed" in ended.stdout, ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert "var/logs/web.log.1:2: an API key" in ended.stdout
    assert "within-pytest.log:1: an API key" in ended.stdout
    assert SECRET not in ended.stdout + ended.stderr


def test_a_run_without_a_leak_passes(tmp_path: Path) -> None:
    ended = run(tmp_path, leaked="nothing secret")
    assert (ended.returncode, "SECRET" in ended.stdout) == (0, False), ended.stdout


@pytest.mark.parametrize("form", [SECRET, "made-up-secret%2F4711%2Bwith%20signs"])
def test_a_secret_is_found_as_it_is_and_as_in_an_address(tmp_path: Path, form: str) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "tenant-a.log").write_text(f"fine\nfine\n{form}\n")
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / "000003.log").write_text(form)
    assert find_leaks(tmp_path, [Secret("a token", SECRET), Secret("another", "something else")]) == [
        f"{tmp_path}/logs/tenant-a.log:3: a token"
    ]


def test_what_an_installation_keeps_is_known_without_a_word(tmp_path: Path) -> None:
    var = tmp_path / "flame" / "var"
    (var / "database").mkdir(parents=True)
    (var / "clients" / "a").mkdir(parents=True)
    (var / "keys").write_text("k" * 44 + "\n")
    (var / "database" / "uri").write_text("mongodb://flame:pass%2Fword@127.0.0.1:1/?x=y")
    (var / "clients" / "a" / "runner.json").write_text(json.dumps({"token": "t" * 20}))
    (var / "settings.env").write_text("FLAME_PORT='8001'\nFLAME_SMTP_PASSWORD='the-mail-password'\n")
    assert {secret.value for secret in find_kept_secrets(tmp_path)} == {
        "k" * 44,
        "pass/word",
        "t" * 20,
        "the-mail-password",
    }
