"""One whole sandbox for the session, on free ports."""

from collections.abc import AsyncIterator, Callable

import pytest

from sandbox.servers import Endpoints, serve
from sandbox.settings import SandboxSettings
from tests.sandbox.openai_conformance import Caller


@pytest.fixture(scope="session")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Endpoints]:
    directory = tmp_path_factory.mktemp("sandbox")
    async with serve(SandboxSettings(data_directory=directory, port=0, tls_port=0, smtp_port=0)) as endpoints:
        yield endpoints


@pytest.fixture
async def as_key(sandbox: Endpoints) -> AsyncIterator[Callable[..., Caller]]:
    """Makes callers of the OpenAI stand-in; whatever they send and get must keep to OpenAI's specification."""
    callers: list[Caller] = []

    def make(key: str, *, timeout_s: float = 30) -> Caller:
        callers.append(Caller(sandbox.url, key, timeout_s=timeout_s))
        return callers[-1]

    yield make
    for caller in callers:
        await caller.control.delete("/faults")
        await caller.close()
    assert [violation for caller in callers for violation in caller.violations] == []


@pytest.fixture
def caller(as_key: Callable[..., Caller]) -> Caller:
    return as_key("sk-test-aaaabbbbcccc0001")
