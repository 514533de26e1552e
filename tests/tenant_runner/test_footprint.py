"""What a runner leaves out to stay small: modules that it does not need, and processes."""

import contextlib
import subprocess
import sys
from pathlib import Path

import psutil

from tenant_runner.channels.whatsapp_web.browser import Browser
from tenant_runner.channels.whatsapp_web.command_line import ARGUMENTS, build_arguments
from tests.tenant_runner.installation import CHROMIUM, REPOSITORY

AUTOMATIC = """
import sys
import tenant_runner.commands
from tenant_runner.assistants import ASSISTANTS
from tenant_runner.contract import AutomaticAssistant
ASSISTANTS["automatic"](AutomaticAssistant(rules=(), default_answer="x"), None)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
HEAVY = {"openai", "playwright", "numpy", "PIL", "pymongo", "cryptography", "control_plane", "sandbox"}


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
    arguments = build_arguments(given, profile=Path("/p"), sandbox=True)
    [disabled], [enabled] = lists(arguments, "--disable-features"), lists(arguments, "--enable-features")
    assert {"One", "MediaRouter", "DestroyProfileOnBrowserClose"} <= disabled
    assert "Two" in enabled
    assert "--host-rules=x" in arguments
    assert len(arguments) == len(ARGUMENTS) + 2


async def test_a_browser_is_few_processes(tmp_path: Path) -> None:
    chromium = CHROMIUM if CHROMIUM.exists() else None
    browser = await Browser.open(tmp_path / "profile", chromium=chromium, arguments=())
    try:
        lines = []
        for process in psutil.Process().children(recursive=True):
            # Some live for a moment only.
            with contextlib.suppress(psutil.Error):
                lines.append(process.cmdline())
    finally:
        await browser.close()
    assert not [line for line in lines if "node" in line[:1]]
    parts = [part for line in lines for part in line]
    assert not [part for part in parts if part.startswith("--utility-sub-type=network")]
    assert parts.count("--type=renderer") - parts.count("--top-chrome-webui") == 1
