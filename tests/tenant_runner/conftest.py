"""Stand-ins for everything around a runner."""

import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tenant_runner.assistants.openai import OpenAIReplies
from tenant_runner.contract import (
    AutomaticAssistant,
    KeywordRule,
    OpenAIAssistant,
    RunnerConfig,
    WhatsAppWebChannel,
)
from tenant_runner.journal import Journal
from tests.conftest import find_free_port, wait_for
from tests.tenant_runner.control_plane import FakeControlPlane
from tests.tenant_runner.house import House
from tests.tenant_runner.installation import Phone, RunnerProcess, Sandbox
from tests.tenant_runner.openai_stand_in import OpenAIStandIn

AUTOMATIC = AutomaticAssistant(
    rules=(KeywordRule(keywords=("horario", "abren"), answer="Abrimos de 9 a 18."),),
    default_answer="Gracias por escribir.",
)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = await Journal.open(tmp_path / "journal.sqlite3")
    yield journal
    await journal.close()


@pytest.fixture
def config() -> RunnerConfig:
    return RunnerConfig(
        client_id="c1",
        revision=1,
        name="Panadería",
        language="es",
        channel=WhatsAppWebChannel(url="https://web.whatsapp.com/"),
        assistant=AUTOMATIC,
        debounce_s=0.2,
        debounce_cap_s=2.0,
        fallback_text="Enseguida te atiende una persona.",
    )


@pytest.fixture
async def house(journal: Journal, config: RunnerConfig, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr("tenant_runner.outgoing.LOOK_AGAIN_S", 0.05)
    house = House(journal, config)
    yield house
    await house.conversation.stop()


@pytest.fixture
async def control_plane(config: RunnerConfig) -> AsyncIterator[FakeControlPlane]:
    plane = FakeControlPlane(find_free_port(), secrets.token_urlsafe(16))
    plane.configure(config)
    await plane.start()
    yield plane
    await plane.stop()


@pytest.fixture(scope="session")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(tmp_path_factory.mktemp("sandbox"))
    try:
        await sandbox.wait_until_ready()
        yield sandbox
    finally:
        sandbox.stop()


@pytest.fixture
async def openai_api() -> AsyncIterator[OpenAIStandIn]:
    stand_in = OpenAIStandIn(find_free_port())
    await stand_in.start()
    yield stand_in
    await stand_in.stop()


@pytest.fixture
async def make_replies(journal: Journal) -> AsyncIterator[Callable[[OpenAIAssistant], OpenAIReplies]]:
    made: list[OpenAIReplies] = []

    def make(config: OpenAIAssistant) -> OpenAIReplies:
        made.append(OpenAIReplies(config, journal.threads))
        return made[-1]

    yield make
    for replies in made:
        await replies.close()


@pytest.fixture
async def runner(
    tmp_path: Path, sandbox: Sandbox, control_plane: FakeControlPlane, config: RunnerConfig
) -> AsyncIterator[RunnerProcess]:
    """A runner pointed at the sandbox, not started yet."""
    channel = WhatsAppWebChannel(url="https://web.whatsapp.com/", browser_arguments=sandbox.browser_arguments)
    control_plane.configure(config.model_copy(update={"channel": channel}))
    runner = RunnerProcess(tmp_path, "c1", control_plane)
    try:
        yield runner
    finally:
        await runner.stop()
        await runner.http.aclose()
        await wait_for(lambda: runner.browsers() == [], what="no browser is left over")


@pytest.fixture
def new_number() -> Callable[[], str]:
    """Phone numbers that no other test uses."""
    return lambda: f"54911{secrets.randbelow(10**8):08d}"


@pytest.fixture
def phone(sandbox: Sandbox, new_number: Callable[[], str]) -> Phone:
    """An owner's phone with a number of its own."""
    return sandbox.phone(new_number())
