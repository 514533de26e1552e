"""A runner's start: the browser first, and everything else beside it."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tenant_runner.assistants import ASSISTANTS
from tenant_runner.channels.registry import CHANNELS
from tenant_runner.contract import ProcessMessageRequest, RunnerCredentials
from tenant_runner.journal import Journal
from tenant_runner.runner import Runner
from tenant_runner.settings import RunnerSettings
from tests.conftest import wait_for
from tests.tenant_runner.control_plane import FakeControlPlane
from tests.tenant_runner.fake_channel import FakeChannel, incoming


async def test_the_channel_starts_before_the_assistant_is_loaded_and_what_comes_meanwhile_is_answered(
    tmp_path: Path, journal: Journal, control_plane: FakeControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel, loading, loaded = FakeChannel(), threading.Event(), threading.Event()
    make = ASSISTANTS["automatic"]

    def load(*given: Any) -> Any:
        loading.set()
        assert loaded.wait(30)
        return make(*given)

    monkeypatch.setitem(ASSISTANTS, "automatic", load)
    monkeypatch.setitem(CHANNELS, "whatsapp_web", lambda *_: channel)
    credentials = RunnerCredentials(
        client_id="c1", control_plane_url=control_plane.url, token=SecretStr(control_plane.token), port=1
    )
    runner = Runner(RunnerSettings(data_directory=tmp_path), credentials, journal)
    running = asyncio.create_task(runner.run())
    try:
        await wait_for(loading.is_set, deadline_s=20, what="the assistant is being loaded")
        assert await runner.working_channel() is channel
        message = asyncio.create_task(runner.message_received(incoming("¿A qué hora abren?")))
        question = ProcessMessageRequest(contact="web-1", text="¿A qué hora abren?")
        asked = asyncio.create_task(runner.process_message(question))
        await asyncio.sleep(0)
        assert not message.done()
        assert not asked.done()
        loaded.set()
        await message
        assert await asked == "Abrimos de 9 a 18."
        await wait_for(lambda: channel.texts, deadline_s=20, what="an answer")
        assert channel.texts == ["Abrimos de 9 a 18."]
    finally:
        loaded.set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await runner.stop()
