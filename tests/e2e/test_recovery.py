"""Whatever dies comes back: no new QR code, no browser left over, every message answered once and recorded once."""

import asyncio
import contextlib

import httpx2
import psutil

from tests.conftest import wait_for
from tests.e2e.conftest import CreateTenant
from tests.e2e.installation import Installation
from tests.e2e.tenant import Tenant, make_number


async def new_runner(installation: Installation, tenant: Tenant, old_pid: int) -> psutil.Process:
    """Wait for the client's next runner process."""

    def find() -> psutil.Process | None:
        runner = installation.runner(tenant.id)
        return runner if runner and runner.pid != old_pid else None

    return await wait_for(find, deadline_s=120, interval_s=0.2, what="a new runner")


def find_database(installation: Installation) -> psutil.Process:
    """The embedded database's process."""
    for process in installation.processes():
        with contextlib.suppress(psutil.Error):
            if any("secantusd-py" in part for part in process.cmdline()):
                return process
    raise AssertionError("no database runs")


async def test_a_killed_runner_comes_back_and_answers_what_it_had_in_hand_once(
    installation: Installation, create_tenant: CreateTenant
) -> None:
    tenant, customer = await create_tenant(), make_number()
    await tenant.link()
    runner = installation.runner(tenant.id)
    assert runner
    browsers = installation.browsers(tenant.id)
    assert browsers

    async with httpx2.AsyncClient(base_url=installation.sandbox, timeout=30) as control:
        # The provider thinks for a while: the turn is in hand when the process dies.
        await control.post("/openai/control/faults", json={"path": "/responses", "think_s": 4})
        await tenant.receive(customer, "¿Cuál es el horario?")

        async def is_asked() -> bool:
            return any("/responses" in request["path"] for request in await tenant.requests_at_provider())

        await wait_for(is_asked, what="the turn at the provider")
    runner.kill()

    await wait_for(lambda: not any(b.is_running() for b in browsers), what="the browsers' end")
    await new_runner(installation, tenant, runner.pid)
    await tenant.answers(customer)
    await tenant.wait_until("WORKING")
    assert await tenant.linked() == 1
    # A second customer's turn afterwards proves that nothing of the first one was still to come.
    other = make_number()
    await tenant.receive(other, "¿Cuál es la dirección?")
    await tenant.answers(other)
    assert len(await tenant.sent(customer)) == 1
    stored = await tenant.wait_until_stored(4)
    assert len(stored) == 4


async def test_supervisorctl_restart_keeps_the_session(installation: Installation, create_tenant: CreateTenant) -> None:
    tenant, customer = await create_tenant(kind="automatic"), make_number()
    await tenant.link()
    runner = installation.runner(tenant.id)
    assert runner
    printed = await asyncio.to_thread(installation.control, "restart", f"tenant-{tenant.id}")
    assert "started" in printed
    await new_runner(installation, tenant, runner.pid)
    await tenant.receive(customer, "hola")
    assert await tenant.answers(customer) == ["Gracias por escribir."]
    await tenant.wait_until("WORKING")
    assert await tenant.linked() == 1
    assert "RUNNING" in await asyncio.to_thread(installation.control, "status", f"tenant-{tenant.id}")


async def test_answers_go_on_without_the_control_plane_and_every_event_arrives_afterwards_once(
    installation: Installation, create_tenant: CreateTenant
) -> None:
    tenant, customers = await create_tenant(), [make_number() for _ in range(3)]
    await tenant.link()
    await asyncio.to_thread(installation.control, "stop", "scheduler", "web", "database")
    try:
        for customer in customers:
            await tenant.receive(customer, "¿Cuál es el horario?")
        for customer in customers:
            assert len(await tenant.answers(customer)) == 1
    finally:
        await asyncio.to_thread(installation.control, "start", "database", "web", "scheduler")
    stored = await tenant.wait_until_stored(6)
    assert len(stored) == 6
    assert len({message["message_id"] for message in stored}) == 6
    for customer in customers:
        mine = [message for message in stored if message["chat_id"].startswith(customer)]
        assert [message["author"] for message in mine] == ["contact", "assistant"]
        assert len(await tenant.sent(customer)) == 1


async def test_a_database_that_hangs_is_started_again_and_has_everything(
    installation: Installation, api: httpx2.AsyncClient, create_tenant: CreateTenant
) -> None:
    tenant = await create_tenant(kind="automatic")
    database = find_database(installation)
    database.suspend()

    async def answers_again() -> bool:
        return not database.is_running() and (await api.get("/health")).status_code == 200

    await wait_for(answers_again, deadline_s=200, interval_s=1, what="another database process that answers")
    assert (await api.get(f"/api/admin/clients/{tenant.id}")).status_code == 200


async def test_everything_stopped_and_started_comes_back_without_a_qr_code(
    installation: Installation, create_tenant: CreateTenant
) -> None:
    tenant, customer = await create_tenant(kind="automatic"), make_number()
    await tenant.link()
    assert await asyncio.to_thread(installation.stop) == 0
    assert installation.processes() == []
    await asyncio.to_thread(installation.start)
    await tenant.receive(customer, "hola")
    assert await tenant.answers(customer, deadline_s=150) == ["Gracias por escribir."]
    await tenant.wait_until("WORKING")
    assert await tenant.linked() == 1
