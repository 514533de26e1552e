"""Mistakes 5 to 8 and 12: what happens to a session, with a real browser where only that proves it."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tenant_runner.channels.whatsapp_web import session as session_module
from tenant_runner.channels.whatsapp_web.browser import Browser
from tenant_runner.channels.whatsapp_web.page import PageTimeout, WhatsAppPage
from tenant_runner.channels.whatsapp_web.watch import Verdict
from tests.conftest import wait_for
from tests.tenant_runner.installation import CHROMIUM, Phone, Sandbox
from tests.tenant_runner.linked_session import LinkedSession
from tests.tenant_runner.test_watch import PHONE, Page


@pytest.fixture(scope="module")
def phone(sandbox: Sandbox) -> Phone:
    return sandbox.phone("5491155559177")


@pytest.fixture(scope="module")
async def linked(
    tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox, phone: Phone
) -> AsyncIterator[LinkedSession]:
    session = LinkedSession(sandbox, tmp_path_factory.mktemp("session"))
    with pytest.MonkeyPatch.context() as often:
        often.setattr(session_module, "ROUND_TRIP_S", 0.3)
        await session.start()
        try:
            await session.link(phone)
            yield session
        finally:
            await session.stop()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes of backing off in tenths of a second."""
    monkeypatch.setattr("tenant_runner.channels.whatsapp_web.attempts.LONGEST_BACKOFF_S", 0.1)


def browsers_of(profile: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(profile) in part for part in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_5_no_passing_failure_logs_out_or_asks_for_a_new_scan() -> None:
    page = Page(linked_phone=PHONE)
    page.works()
    for facts in (
        {"ready": False},
        {"mode": "OFFLINE"},
        {"mode": "OFFLINE", "authenticated": True, "phone": PHONE},
        {"mode": "CONFLICT", "authenticated": True, "phone": PHONE},
    ):
        for _ in range(60):
            assert page.says(1.0, **facts) in (Verdict.GO_ON, Verdict.RECYCLE)
            assert page.shown[0] != "SCAN_QR_CODE"
        page.watch.new_page(page.now)
    page.works()
    assert page.shown == ("WORKING", "connected")


async def test_5_a_browser_that_is_killed_comes_back_with_its_login(
    linked: LinkedSession, phone: Phone, impatient: None
) -> None:
    for _ in range(2):
        for process in browsers_of(linked.profile):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        await wait_for(lambda: linked.shown != ("WORKING", "connected"))
        await linked.wait_for("WORKING", "connected")
    assert len(phone.events("linked")) == 1


async def test_6_reconnecting_leaves_no_browser_behind(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    counts = []
    for _ in range(3):
        browser = await Browser.open(profile, chromium=CHROMIUM if CHROMIUM.exists() else None, arguments=())
        await browser.page(scripts=(), events={})
        counts.append(len(browsers_of(profile)))
        await browser.close()
        await wait_for(lambda: browsers_of(profile) == [])
    assert max(counts) - min(counts) <= 2


def test_7_an_hour_of_codes_that_nobody_scans_is_a_handful_of_events() -> None:
    page = Page()
    for second in range(3_600):
        code = second // 20
        if code < 6:
            page.shows_code(f"code-{code}")
        else:
            page.says(mode="QR", socket="UNPAIRED_IDLE", idle=True)
    assert page.shown == ("SCAN_QR_CODE", "code_expired")
    assert page.session.version <= 10


async def test_8_a_connected_session_whose_page_is_dead_is_found_out_and_mended(
    linked: LinkedSession, phone: Phone, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    await linked.wait_for("WORKING", "connected")
    told = len(linked.listener.sessions)

    async def hang(_: WhatsAppPage) -> Any:
        raise PageTimeout("no answer")

    with monkeypatch.context() as dead:
        dead.setattr(WhatsAppPage, "status", hang)
        await wait_for(lambda: "reconnecting" in [s.reason.value for s in linked.listener.sessions[told:]])
    assert "degraded" in [session.reason.value for session in linked.listener.sessions[told:]]
    await linked.wait_for("WORKING", "connected")
    assert len(phone.events("linked")) == 1


async def test_12_after_a_long_outage_a_failed_session_comes_back_by_itself(
    tmp_path: Path, sandbox: Sandbox, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = 0
    real: Callable[..., Any] = WhatsAppPage.open

    async def unreachable(*_: Any, **__: Any) -> Any:
        nonlocal attempts
        attempts += 1
        raise PageTimeout("net::ERR_NAME_NOT_RESOLVED")

    async def open_nothing(*_: Any, **__: Any) -> Any:
        raise OSError("net::ERR_NAME_NOT_RESOLVED")

    session = LinkedSession(sandbox, tmp_path)
    with monkeypatch.context() as away:
        # A browser each time would take long; that the page cannot be reached comes to the same.
        away.setattr(Browser, "open", open_nothing)
        await session.start()
        await session.wait_for("FAILED")
        told = len(session.listener.sessions)
        # It is said, with its cause, and it goes on trying.
        assert "ERR_NAME_NOT_RESOLVED" in (session.running.session.detail or "")
        await wait_for(lambda: len(session.listener.sessions) >= told + 3)
        away.setattr(WhatsAppPage, "open", unreachable)
    assert WhatsAppPage.open == real
    try:
        await session.wait_for("SCAN_QR_CODE", "code_shown")
    finally:
        await session.stop()
