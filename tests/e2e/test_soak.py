"""The soak, run short: a whole installation under seeded faults while customers write (`bench/soak.py`)."""

import subprocess
import sys

import pytest

from tests.e2e.installation import REPOSITORY


@pytest.mark.timeout(600)
def test_nothing_is_lost_doubled_or_crossed_while_everything_fails_in_turn(chromium: str) -> None:
    command = [sys.executable, "-m", "bench", "soak", "--short", "--seed", "3"]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=580, check=False)
    assert run.returncode == 0, run.stdout + run.stderr[-4_000:]
    assert "0 lost, 0 duplicated, 0 crossed, 0 not recorded once" in run.stdout
