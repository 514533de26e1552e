"""No log of any process that the tests start holds a secret: looked for once all tests have run, by whoever led them.

Test code says `remember_secret` of what it makes up or is given; what installations keep in their private files is
found there. The files that are read are all logs below pytest's temporary directory, and what the product logged
within pytest itself. A secret that is found fails the run: with file and line, and without the secret.
"""

import contextlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest

from control_plane.telemetry import RedactingFormatter

DIRECTORY = "FLAME_TEST_SECRETS"
SHORTEST = 8
SHORTEST_TOKEN = 20
# Databases call their own files logs too; they hold what they are there to hold.
_NOT_LOGS = {"clients", "database"}
_OURS = ("control_plane", "tenant_runner", "uvicorn")
_leaks = pytest.StashKey[list[str]]()


@dataclass(frozen=True)
class Secret:
    """What must be in no log, and what to call it."""

    kind: str
    value: str


def remember_secret(kind: str, value: str) -> str:
    """Have the logs searched for it; returns it."""
    assert len(value) >= SHORTEST, f"{kind}: too short to be told from other words"
    if directory := os.environ.get(DIRECTORY):
        with (Path(directory) / f"{os.getpid()}.jsonl").open("a") as file:
            file.write(json.dumps([kind, value]) + "\n")
    return value


def find_leaks(root: Path, secrets: Iterable[Secret]) -> list[str]:
    """Lines `file:line: kind` of every log below a directory that holds one of the secrets, as it is or encoded."""
    kinds = {form: secret.kind for secret in secrets for form in (secret.value, quote(secret.value, safe=""))}
    if not kinds:
        return []
    # One pass over each line, however many secrets there are.
    pattern = re.compile("|".join(map(re.escape, sorted(kinds, key=len, reverse=True))))
    return [
        f"{file}:{number}: {kinds[found[0]]}"
        for file in _find_logs(root)
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1)
        if (found := pattern.search(line))
    ]


def _find_logs(root: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if name not in _NOT_LOGS and not name.startswith("profile")]
        for name in sorted(files):
            if re.search(r"\.log(\.\d+)?$", name):
                yield Path(directory, name)


def find_kept_secrets(root: Path) -> Iterator[Secret]:
    """What installations below a directory keep in private files: keys, tokens, the database's password, settings."""
    for directory, names, files in os.walk(root):
        here = Path(directory)
        names[:] = [name for name in names if not name.startswith("profile")]
        for name in files:
            with contextlib.suppress(OSError, ValueError, KeyError):
                yield from _read_secrets(here / name)


def _read_secrets(file: Path) -> Iterator[Secret]:
    match file.name:
        case "keys":
            yield from (Secret("an encryption key", line) for line in file.read_text().split() if len(line) == 44)
        case "runner.json":
            # Tests that need none write a short one.
            if len(token := json.loads(file.read_text())["token"]) >= SHORTEST_TOKEN:
                yield Secret("a runner's token", token)
        case "uri":
            if password := urlsplit(file.read_text().strip()).password:
                yield Secret("the database's password", unquote(password))
        case "settings.env":
            for name, value in re.findall(r"^(\w*(?:PASSWORD|SECRET|TOKEN|KEYS))='(.+)'$", file.read_text(), re.M):
                if len(value) >= SHORTEST:
                    yield Secret(f"the setting {name}", value)


# ------------------------------------------------------------------------------------------------ pytest's hooks


def _leads(config: pytest.Config) -> bool:
    return not hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    """Agree with the workers on a private place for the secrets; log what the product logs in this process."""
    if _leads(config):
        os.environ[DIRECTORY] = tempfile.mkdtemp(prefix="flame-secrets-")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Keep what the product logs within pytest, in the form in which its processes write it."""
    base: Path = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    handler = logging.FileHandler(base / "within-pytest.log", delay=True)
    handler.setFormatter(RedactingFormatter("{levelname}{name}{message}", style="{"))
    # A test may ask for more than the product lets its libraries say, and has a client of its own.
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.startswith(_OURS))
    for name in (*_OURS, "pymongo", "httpx2", "aiosmtplib"):
        logging.getLogger(name).addHandler(handler)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Search, after every worker has ended."""
    if not _leads(session.config):
        return
    base: Path = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    directory = Path(os.environ.pop(DIRECTORY))
    secrets = {Secret(*json.loads(line)) for file in directory.iterdir() for line in file.read_text().splitlines()}
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()
    leaks = find_leaks(base, secrets | set(find_kept_secrets(base)))
    session.config.stash[_leaks] = leaks
    if leaks:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what was found, and where."""
    for leak in config.stash.get(_leaks, []):
        terminalreporter.write_line(f"A SECRET IS IN A LOG: {leak}", red=True)
