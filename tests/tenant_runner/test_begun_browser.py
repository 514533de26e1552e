"""The browser that is started before the configuration is there: used when it fits, never left over."""

import asyncio

import psutil
import pytest

from tests.conftest import wait_for
from tests.tenant_runner.control_plane import FakeControlPlane
from tests.tenant_runner.installation import Phone, RunnerProcess

CUSTOMER = "5491155550001"


@pytest.fixture
async def waiting(runner: RunnerProcess, control_plane: FakeControlPlane) -> RunnerProcess:
    """A runner whose control plane is away."""
    await control_plane.stop()
    return runner


async def begun(runner: RunnerProcess) -> psutil.Process:
    """The browser of a runner, once it is there."""
    # A process that it starts looks like another one, for a moment.
    [browser] = await wait_for(lambda: found if len(found := runner.browsers()) == 1 else None, what="one browser")
    return browser


async def test_it_begins_without_the_configuration_and_is_the_one_that_is_used(
    waiting: RunnerProcess, control_plane: FakeControlPlane, phone: Phone
) -> None:
    waiting.start()
    browser = await begun(waiting)
    assert control_plane.instances == []
    await control_plane.start()
    await waiting.link(phone)
    assert waiting.browsers() == [browser]
    phone.incoming(CUSTOMER, "¿Horario?")
    await wait_for(lambda: phone.sent(CUSTOMER))


@pytest.mark.parametrize("written", [["--lang=es"], None])
async def test_one_with_other_arguments_is_replaced_and_without_any_none_begins(
    waiting: RunnerProcess, control_plane: FakeControlPlane, phone: Phone, written: list[str] | None
) -> None:
    waiting.start(browser_arguments=written)
    early = await begun(waiting) if written else None
    await control_plane.start()
    await waiting.link(phone)
    [browser] = waiting.browsers()
    assert browser != early
    assert "--lang=es" not in browser.cmdline()


async def test_one_that_died_meanwhile_is_started_again(
    waiting: RunnerProcess, control_plane: FakeControlPlane, phone: Phone
) -> None:
    waiting.start()
    early = await begun(waiting)
    early.kill()
    await wait_for(lambda: waiting.browsers() == [])
    await control_plane.start()
    await waiting.link(phone)
    assert waiting.browsers() not in ([], [early])
    assert "browser_failed" not in {session.reason for session in control_plane.sessions}


@pytest.mark.parametrize("deed", ["stop", "kill"])
async def test_none_is_left_when_the_runner_ends_before_it_is_used(waiting: RunnerProcess, deed: str) -> None:
    waiting.start()
    browser = await begun(waiting)
    family = [browser, *browser.children(recursive=True)]
    if deed == "stop":
        await wait_for(lambda: "runner started" in waiting.log.read_text())
        assert await waiting.stop() == 0
    else:
        waiting.kill()
    await wait_for(lambda: not [process for process in family if process.is_running()])


async def test_a_second_process_leaves_the_firsts_alone(waiting: RunnerProcess) -> None:
    waiting.start()
    browser = await begun(waiting)
    second = await waiting.run("serve")
    assert second.returncode == 3
    assert waiting.browsers() == [browser]


async def test_the_api_does_not_wait_for_a_page_that_never_comes(
    runner: RunnerProcess, control_plane: FakeControlPlane
) -> None:
    ended = asyncio.Event()

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with server:
        assert control_plane.config is not None
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        control_plane.change(channel=control_plane.config.channel.model_copy(update={"url": url}))
        runner.start()
        await wait_for(lambda: control_plane.session and control_plane.session.phase == "page")
        session = await runner.wait_for_session("STARTING", "preparing")
        assert session.phase == "page"
        ended.set()
        await runner.stop()
