"""What every test may use: one embedded database for the whole session, a fresh name in it for each test."""

import asyncio
import inspect
import os
import random
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, TypeVar, overload

import pytest
from pydantic import SecretStr
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from control_plane import embedded_database
from control_plane.ports import is_free
from control_plane.settings import Settings
from tests import log_scan

Document = dict[str, Any]
T = TypeVar("T")


# Below the ports from which the system makes outgoing connections, so that none of those takes one in between.
# pytest's workers run side by side: each has a slice of its own, and begins somewhere in it.
_FIRST_PORT, _LAST_PORT, _SLICE = 12_000, 32_000, 5_000
_slice_start = _FIRST_PORT + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4 * _SLICE
_ports = cycle(range(_slice_start, _slice_start + _SLICE))
for _ in range(random.randrange(_SLICE)):
    next(_ports)


def find_free_port() -> int:
    """A TCP port that nobody listened on a moment ago and that no other test was given lately."""
    return find_free_ports(1)


def find_free_ports(count: int) -> int:
    """The first of `count` successive ports, as `find_free_port` says of one."""
    found: list[int] = []
    while len(found) < count:
        port = next(_ports)
        if not is_free(port):
            found = []
        elif found and port != found[-1] + 1:
            found = [port]
        else:
            found.append(port)
    return found[0]


@overload
async def wait_for(
    condition: Callable[[], Awaitable[T | None]], *, deadline_s: float = ..., interval_s: float = ..., what: str = ...
) -> T: ...
@overload
async def wait_for(
    condition: Callable[[], T | None], *, deadline_s: float = ..., interval_s: float = ..., what: str = ...
) -> T: ...
async def wait_for(
    condition: Callable[[], Any], *, deadline_s: float = 60.0, interval_s: float = 0.05, what: str = ""
) -> Any:
    """Poll `condition` until it returns something true, and return that.

    Raises:
        AssertionError: nothing true within `deadline_s` seconds; says what was returned last.
    """
    ends = time.monotonic() + deadline_s
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > ends:
            raise AssertionError(f"not within {deadline_s} s: {what or condition}; last value: {value!r}")
        await asyncio.sleep(interval_s)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(log_scan)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, so that no worker is left alone with them at the end."""
    longest = ("tests/e2e/", "tests/contract/")
    long = ("tests/tenant_runner/", "tests/twelve_mistakes/", "tests/control_plane/test_")
    items.sort(key=lambda item: (not item.nodeid.startswith(longest), not item.nodeid.startswith(long)))


@pytest.fixture
def free_port() -> Callable[[], int]:
    return find_free_port


@contextmanager
def serve_database(directory: Path) -> Iterator[str]:
    """The embedded database as the platform runs it; its address."""
    uri = embedded_database.prepare(directory, port=find_free_port())
    port = int(uri.split("@127.0.0.1:")[1].split("/")[0])
    process = subprocess.Popen(embedded_database.server_command(directory, port))
    try:
        embedded_database.wait_until_it_answers(uri)
        yield uri
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="session")
def mongodb_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve_database(tmp_path_factory.mktemp("database")) as uri:
        yield uri


@pytest.fixture
async def database(mongodb_uri: str) -> AsyncIterator[AsyncDatabase[Document]]:
    """An empty one. Its collections and indexes are those of the last test: making them anew takes a second."""
    client: AsyncMongoClient[Document] = AsyncMongoClient(mongodb_uri, tz_aware=True, serverSelectionTimeoutMS=10_000)
    database = client["test"]
    try:
        for name in await database.list_collection_names():
            await database[name].delete_many({})
        yield database
    finally:
        await client.close()


@pytest.fixture
def settings(tmp_path: Path, mongodb_uri: str, database: AsyncDatabase[Document]) -> Settings:
    first = find_free_ports(51)
    return Settings(
        data_directory=tmp_path / "var",
        port=find_free_port(),
        first_port=first,
        last_port=first + 50,
        mongodb_uri=SecretStr(mongodb_uri),
        database_name=database.name,
        debounce_s=0.2,
        debounce_cap_s=2.0,
    )
