"""One Chromium on one profile: nothing left over, no lock taken from the living."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tenant_runner.channels.whatsapp_web.browser import Browser, ProfileInUse, end_leftovers, remove_stale_lock
from tests.tenant_runner.installation import CHROMIUM

ANOTHER_PROGRAM = "import time; time.sleep(300)"


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    profile = tmp_path / "profile"
    profile.mkdir()
    return profile


@pytest.fixture
def process(profile: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like a browser on the profile."""
    with subprocess.Popen([sys.executable, "-c", ANOTHER_PROGRAM, f"--user-data-dir={profile}"]) as process:
        yield process
        process.kill()


def lock(profile: Path, host: str, pid: int) -> Path:
    path = profile / "SingletonLock"
    path.symlink_to(f"{host}-{pid}")
    return path


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(60)
    return process.pid


def test_a_dead_owners_lock_is_removed(profile: Path) -> None:
    path = lock(profile, socket.gethostname(), dead_pid())
    remove_stale_lock(profile)
    assert not path.is_symlink()


def test_a_lock_whose_number_was_given_to_another_program_is_removed(profile: Path) -> None:
    path = lock(profile, socket.gethostname(), os.getpid())
    remove_stale_lock(profile)
    assert not path.is_symlink()


def test_a_living_owners_lock_stays(profile: Path, process: subprocess.Popen[bytes]) -> None:
    path = lock(profile, socket.gethostname(), process.pid)
    with pytest.raises(ProfileInUse):
        remove_stale_lock(profile)
    assert path.is_symlink()


def test_a_lock_of_another_machine_stays(profile: Path) -> None:
    path = lock(profile, "another-machine", dead_pid())
    with pytest.raises(ProfileInUse):
        remove_stale_lock(profile)
    assert path.is_symlink()


def test_a_leftover_browser_is_ended_and_no_other(
    tmp_path: Path, profile: Path, process: subprocess.Popen[bytes]
) -> None:
    other = tmp_path / "profile2"
    with subprocess.Popen([sys.executable, "-c", ANOTHER_PROGRAM, f"--user-data-dir={other}"]) as neighbour:
        try:
            end_leftovers(profile)
            assert not psutil.pid_exists(process.pid)
            assert neighbour.poll() is None
        finally:
            neighbour.kill()


async def test_closing_leaves_no_process_and_a_second_browser_replaces_the_first(profile: Path) -> None:
    chromium = CHROMIUM if CHROMIUM.exists() else None
    first = await Browser.open(profile, chromium=chromium, arguments=())
    page = await first.page(scripts=(), events={})
    assert "Headless" not in await page.evaluate("navigator.userAgent")
    second = await Browser.open(profile, chromium=chromium, arguments=())
    await asyncio.wait_for(first.lost.wait(), 60)
    await first.close()
    # `first.close` ends whatever runs on the profile, the second one too.
    await asyncio.wait_for(second.lost.wait(), 60)
    await second.close()
    assert [p for p in psutil.process_iter(["cmdline"]) if str(profile) in " ".join(p.info["cmdline"] or [])] == []
