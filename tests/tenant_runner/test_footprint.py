"""What a runner leaves out to stay small: modules that it does not need, processes, heaps."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tenant_runner.channels.whatsapp_web.browser import Browser
from tenant_runner.channels.whatsapp_web.command_line import ARGUMENTS, DRIVER, build_arguments
from tests.tenant_runner.installation import CHROMIUM, REPOSITORY

AUTOMATIC = """
import sys
import tenant_runner.__main__
from tenant_runner.assistants import ASSISTANTS
from tenant_runner.contract import AutomaticAssistant
ASSISTANTS["automatic"](AutomaticAssistant(rules=(), default_answer="x"), None)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
HEAVY = {"openai", "numpy", "PIL", "pymongo", "cryptography", "control_plane", "sandbox"}


def lists(arguments: list[str], switch: str) -> list[set[str]]:
    """Every list of features that a command line has under a switch, in order."""
    return [set(each.partition("=")[2].split(",")) for each in arguments if each.startswith(f"{switch}=")]


def test_a_runner_with_the_automatic_assistant_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AUTOMATIC], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=120
    )
    assert set(done.stdout.split()) & HEAVY == set()


def test_an_environments_features_join_ours() -> None:
    given = ("--disable-features=One,MediaRouter", "--host-rules=x", "--enable-features=Two")
    arguments = build_arguments(given)
    [disabled], [enabled] = lists(arguments, "--disable-features"), lists(arguments, "--enable-features")
    assert {"One", "MediaRouter", "DestroyProfileOnBrowserClose"} <= disabled
    assert "Two" in enabled
    assert "--host-rules=x" in arguments
    assert len(arguments) == len(ARGUMENTS) + 1


@pytest.fixture
async def family(tmp_path: Path) -> list[list[str]]:
    """Command lines of a browser on a new profile and of what drives it."""
    chromium = CHROMIUM if CHROMIUM.exists() else None
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    browser = await Browser.open(tmp_path / "profile", chromium=chromium, arguments=())
    try:
        processes = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
        return [process.cmdline() for process in processes]
    finally:
        await browser.close()


async def test_what_playwright_switches_off_stays_off(family: list[list[str]]) -> None:
    """Chromium takes the last list only: after an update of Playwright ours may have to be longer."""
    [browser] = [line for line in family if "--remote-debugging-pipe" in line and "--type=" not in " ".join(line)]
    for switch in ("--disable-features", "--enable-features"):
        *playwrights, last = lists(browser, switch)
        assert playwrights
        assert set.union(*playwrights) <= last


async def test_the_browser_and_its_driver_are_few_processes_with_small_heaps(family: list[list[str]]) -> None:
    [driver] = [line for line in family if "run-driver" in line]
    assert "--max-semi-space-size=1" in driver
    assert "--optimize-for-size" in driver
    parts = [part for line in family for part in line]
    assert not [part for part in parts if part.startswith("--utility-sub-type=network")]
    assert parts.count("--type=renderer") - parts.count("--top-chrome-webui") == 1
    assert DRIVER.stat().st_mode & 0o111 == 0o111
