"""The last good copy of a profile: when it is taken, when it is gone back to, and when never."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tenant_runner.channels.whatsapp_web import attempts, profile_care
from tenant_runner.channels.whatsapp_web.browser import browsers_of
from tenant_runner.channels.whatsapp_web.profile_copy import CopyFailed, ProfileCopy
from tenant_runner.contract import SessionReason
from tests.conftest import wait_for
from tests.tenant_runner.installation import Phone, Sandbox
from tests.tenant_runner.linked_session import LinkedSession

PHONE = "5491155551190"


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    storage = tmp_path / "profile" / "Default" / "IndexedDB"
    storage.mkdir(parents=True)
    (storage / "login").write_text("one")
    (tmp_path / "profile" / "Default" / "Cache").mkdir()
    (tmp_path / "profile" / "Default" / "Cache" / "picture").write_text("large")
    (tmp_path / "profile" / "SingletonLock").symlink_to("host-1")
    return tmp_path / "profile"


def login(profile: Path) -> str:
    return (profile / "Default" / "IndexedDB" / "login").read_text()


def test_a_copy_has_the_login_and_no_cache_and_brings_it_back(profile: Path) -> None:
    copy = ProfileCopy(profile)
    assert not copy.usable(PHONE)
    copy.take(PHONE)
    assert not list(profile.with_name("profile-copy").rglob("Cache"))
    assert not list(profile.with_name("profile-copy").rglob("Singleton*"))
    shutil.rmtree(profile)
    profile.mkdir()
    assert copy.usable(PHONE)
    copy.restore()
    assert login(profile) == "one"


def test_a_copy_that_was_gone_back_to_is_not_gone_back_to_again(profile: Path) -> None:
    copy = ProfileCopy(profile)
    copy.take(PHONE)
    copy.restore()
    assert not copy.usable(PHONE)
    copy.take(PHONE)
    assert copy.usable(PHONE), "the session worked again"


def test_the_damaged_profile_is_kept_until_a_session_works_again(profile: Path) -> None:
    copy = ProfileCopy(profile)
    copy.take(PHONE)
    (profile / "Default" / "IndexedDB" / "login").write_text("newer")
    copy.restore()
    assert login(profile.with_name("profile-damaged")) == "newer"
    copy.take(PHONE)
    assert not profile.with_name("profile-damaged").exists()


def test_a_copy_cut_short_leaves_the_one_before(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = ProfileCopy(profile)
    copy.take(PHONE)
    (profile / "Default" / "IndexedDB" / "login").write_text("two")

    def disk_full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copytree", disk_full)
        with pytest.raises(CopyFailed):
            copy.take(PHONE)
    copy.restore()
    assert login(profile) == "one"


def test_a_copy_is_of_one_number_and_ends_with_its_login(profile: Path) -> None:
    copy = ProfileCopy(profile)
    copy.take(PHONE)
    assert not copy.usable("5491155554821")
    assert not copy.usable(None)
    copy.drop()
    assert not copy.usable(PHONE)
    assert sorted(path.name for path in profile.parent.iterdir()) == ["profile"]


async def test_a_browser_stands_still_while_it_is_copied_and_goes_on(
    profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()
    copytree: Callable[..., Any] = shutil.copytree

    def watching(*given: Any, **more: Any) -> Any:
        seen.add(psutil.Process(browser.pid).status())
        return copytree(*given, **more)

    monkeypatch.setattr(shutil, "copytree", watching)
    command = [sys.executable, "-c", "import time; time.sleep(300)", f"--user-data-dir={profile}"]
    browser = await asyncio.create_subprocess_exec(*command)
    try:
        # A process that has just begun has no arguments for a moment.
        await wait_for(lambda: browsers_of(profile))
        await asyncio.to_thread(ProfileCopy(profile).take, PHONE)
        assert seen == {psutil.STATUS_STOPPED}
        assert psutil.Process(browser.pid).status() != psutil.STATUS_STOPPED
    finally:
        browser.kill()
        await browser.wait()


@pytest.fixture
async def session(
    sandbox: Sandbox, phone: Phone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LinkedSession]:
    """Linked, with a copy taken at once."""
    monkeypatch.setattr(profile_care, "COPY_AFTER_S", 0.0)
    monkeypatch.setattr(attempts, "LONGEST_BACKOFF_S", 0.5)
    session = LinkedSession(sandbox, tmp_path)
    await session.start()
    try:
        await session.link(phone)
        await wait_for(lambda: ProfileCopy(session.profile).usable(phone.number))
        yield session
    finally:
        await session.stop()


async def test_a_login_that_the_browser_lost_comes_back_from_the_copy(session: LinkedSession, phone: Phone) -> None:
    message = phone.incoming("5491155550001", "hola")
    await wait_for(lambda: session.listener.of(message["id"]))
    await session.stop()
    for storage in ("IndexedDB", "Local Storage", "WebStorage"):
        shutil.rmtree(session.profile / "Default" / storage, ignore_errors=True)
    told = len(session.listener.sessions)
    await session.start(linked_phone=phone.number)
    await session.wait_for("WORKING", "connected")
    assert "SCAN_QR_CODE" not in {told.state.value for told in session.listener.sessions[told:]}
    assert len(phone.events("linked")) == 1


async def test_a_profile_that_the_browser_does_not_start_on_is_replaced_by_the_copy(
    session: LinkedSession, phone: Phone
) -> None:
    await session.stop()
    chromium = session.directory / "chromium"
    real = session.chromium or "chromium"
    chromium.write_text(
        f'#!/bin/sh\ncase " $* " in *" --user-data-dir={session.profile} "*)'
        f' [ -e "{session.profile}/damaged" ] && exit 1;; esac\nexec {real} "$@"\n'
    )
    chromium.chmod(0o700)
    session.chromium = chromium
    (session.profile / "damaged").touch()
    await session.start(linked_phone=phone.number)
    await session.wait_for("WORKING", "connected")
    assert len(phone.events("linked")) == 1
    assert not list(session.directory.glob("profile-try-*"))


async def test_a_browser_that_starts_nowhere_changes_nothing_and_a_useless_copy_is_tried_once(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "LONGEST_BACKOFF_S", 0.2)
    session = LinkedSession(sandbox, tmp_path)
    session.profile.mkdir()
    ProfileCopy(session.profile).take(PHONE)
    chromium = tmp_path / "chromium"
    chromium.write_text(f'#!/bin/sh\n[ -e "{tmp_path}/works" ] || exit 1\nexec {session.chromium or "chromium"} "$@"\n')
    chromium.chmod(0o700)
    session.chromium = chromium
    await session.start(linked_phone=PHONE)
    try:
        failed = await session.wait_for("FAILED", "browser_failed")
        assert (failed.attempt, failed.phone) == (4, PHONE)
        assert ProfileCopy(session.profile).usable(PHONE)
        (tmp_path / "works").touch()
        shown = await session.wait_for("SCAN_QR_CODE", "unlinked")
        assert shown.detail == "the browser lost its login"
    finally:
        await session.stop()


async def test_a_device_that_the_phone_unlinked_does_not_come_back_from_the_copy(
    session: LinkedSession, phone: Phone
) -> None:
    await session.stop()
    phone.unlink()
    await session.start(linked_phone=phone.number)

    def told() -> bool:
        return any(one.reason is SessionReason.UNLINKED for one in session.listener.sessions)

    # Nobody is told before the copy is gone.
    await wait_for(told, deadline_s=90)
    assert not ProfileCopy(session.profile).usable(phone.number)
    assert len(phone.events("linked")) == 1
