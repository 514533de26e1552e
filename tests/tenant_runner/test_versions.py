"""Which page is opened: the one that is served, or a pinned one."""

import ssl
from pathlib import Path

import httpx2
import pytest

from tenant_runner.channels.whatsapp_web import versions
from tenant_runner.channels.whatsapp_web.versions import PageUnsupported, is_too_old, pinned_page
from tests.conftest import wait_for
from tests.tenant_runner.installation import Sandbox
from tests.tenant_runner.linked_session import LinkedSession

PINNED = "2.3000.1045555555"


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pages = tmp_path / "html"
    pages.mkdir()
    monkeypatch.setattr(versions, "PINNED_PAGES", pages)
    (pages / f"{PINNED}-alpha.html").write_text("<!doctype html><p>pinned</p>")
    return pages


@pytest.mark.parametrize("version", [PINNED, f"{PINNED}-alpha"])
def test_a_pinned_page_is_found_by_its_version(pages: Path, version: str) -> None:
    assert "pinned" in pinned_page(version)


@pytest.mark.parametrize("version", ["2.3000.1999999999", "../../package", "", "latest"])
def test_a_version_that_is_not_installed_is_told_with_the_newest_that_is(pages: Path, version: str) -> None:
    with pytest.raises(PageUnsupported, match=f"newest installed: {PINNED}-alpha; wa-js 4"):
        pinned_page(version)


def test_a_pinned_version_that_wa_js_cannot_drive_is_told_with_both_versions(pages: Path) -> None:
    (pages / "2.3000.1011111111.html").write_text("old")
    with pytest.raises(PageUnsupported, match=r"2\.3000\.1011111111 is pinned, which is too old for wa-js 4\.6\.0"):
        pinned_page("2.3000.1011111111")


@pytest.mark.parametrize(
    ("version", "supported", "too_old"),
    [
        ("2.3000.1038792968", ">=2.3000.1038792969-alpha", True),
        ("2.3000.1038792969", ">=2.3000.1038792969-alpha", False),
        ("2.3000.1044096500-alpha", ">=2.3000.1038792969-alpha", False),
        ("2.2412.54", ">=2.3000.1038792969-alpha", True),
        (None, ">=2.3000.1038792969-alpha", False),
        ("2.3000.1", None, False),
    ],
)
def test_versions_are_compared_as_numbers(version: str | None, supported: str | None, too_old: bool) -> None:
    assert is_too_old(version, supported) is too_old


async def test_a_pinned_page_is_opened_instead_of_the_one_that_is_served(
    sandbox: Sandbox, pages: Path, tmp_path: Path
) -> None:
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    served = httpx2.get(f"https://127.0.0.1:{sandbox.tls_port}/", verify=trusting, trust_env=False, timeout=60).text
    other = f"__d('WAWebBuildConstants', [], (exports) => {{ exports.VERSION_STR = '{PINNED}'; }});"
    before, start, after = served.rpartition("<script")
    (pages / f"{PINNED}-alpha.html").write_text(f"{before}<script>{other}</script>{start}{after}")
    session = LinkedSession(sandbox, tmp_path, page_version=PINNED)
    session.allow_loopback()
    await session.start()
    try:
        assert (await session.wait_for("SCAN_QR_CODE", "code_shown")).page_version == PINNED
    finally:
        await session.stop()


async def test_the_code_is_what_the_page_draws_and_waits_for_nothing_else(
    sandbox: Sandbox, pages: Path, tmp_path: Path
) -> None:
    codes = ["1@first,key,key,key,1", "1@second,key,key,key,1"]
    rotate = f"setTimeout(() => document.querySelector('#code').setAttribute('data-ref', '{codes[1]}'), 3000)"
    drawn = f"<p data-ref='other'></p><div id='code' data-ref='{codes[0]}'><canvas></canvas></div>"
    (pages / f"{PINNED}-alpha.html").write_text(f"<!doctype html>{drawn}<script>{rotate}</script>")
    session = LinkedSession(sandbox, tmp_path, page_version=PINNED)
    await session.start()
    try:
        await wait_for(lambda: session.running.session.qr == codes[1])
        told = [change.qr for change in session.listener.sessions if change.qr]
        assert told == codes, "wa-js finds nothing to work with on this page"
        assert session.shown == ("SCAN_QR_CODE", "code_shown")
    finally:
        await session.stop()


async def test_a_version_that_cannot_be_pinned_is_told_without_a_browser(
    sandbox: Sandbox, pages: Path, tmp_path: Path
) -> None:
    session = LinkedSession(sandbox, tmp_path, page_version="2.3000.1011111111")
    await session.start()
    try:
        told = await session.wait_for("STARTING", "page_unsupported")
        assert told.detail is not None
        assert "2.3000.1011111111" in told.detail
        assert told.next_attempt_at is not None
        assert not session.profile.exists()
    finally:
        await session.stop()
