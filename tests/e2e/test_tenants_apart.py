"""Two clients, one customer: nothing of one reaches the other."""

import asyncio
import json
from pathlib import Path

import httpx2

from tests.e2e.conftest import CreateTenant
from tests.e2e.installation import Installation
from tests.e2e.tenant import make_number
from tests.guard.bounds import PROCESSES_PER_CLIENT, PROCESSES_PER_CLIENT_WITH_A_SHELL


async def test_one_customer_of_two_clients_gets_each_ones_own_answer(
    installation: Installation, chromium: str, create_tenant: CreateTenant
) -> None:
    first, second = await asyncio.gather(create_tenant(), create_tenant())
    await asyncio.gather(first.link(), second.link())
    customer = make_number()
    await asyncio.gather(
        first.receive(customer, "¿Cuál es el horario?"), second.receive(customer, "¿Cuál es la dirección?")
    )
    of_first, of_second = await asyncio.gather(first.answers(customer), second.answers(customer))
    assert [("9 a 18" in text, "Belgrano" in text) for text in of_first] == [(True, False)]
    assert [("9 a 18" in text, "Belgrano" in text) for text in of_second] == [(False, True)]

    # Two processes, two ports, two profiles.
    runners = [installation.runner(tenant.id) for tenant in (first, second)]
    assert all(runners)
    assert len({runner.pid for runner in runners if runner}) == 2
    assert first.port != second.port
    assert installation.browsers(first.id)
    assert installation.browsers(second.id)
    assert not {p.pid for p in installation.browsers(first.id)} & {p.pid for p in installation.browsers(second.id)}

    # As many processes as a client may have, and no more (tests/guard has the other bounds).
    bound = PROCESSES_PER_CLIENT_WITH_A_SHELL if "headless" in Path(chromium).name else PROCESSES_PER_CLIENT
    for tenant in (first, second):
        assert len(installation.tree(tenant.id)) <= bound, installation.tree(tenant.id)

    # Two keys at the provider, each with a conversation of its own.
    for tenant in (first, second):
        asked = [request["path"] for request in await tenant.requests_at_provider()]
        assert len([path for path in asked if path.endswith("/responses")]) == 1
    await asyncio.gather(first.wait_until_stored(2), second.wait_until_stored(2))
    [of_one], [of_other] = [await tenant.wait_until_threads_are_stored() for tenant in (first, second)]
    assert of_one != of_other

    # What is stored of each is its own.
    assert {m["text"] for m in first.stored()} == {"¿Cuál es el horario?", *of_first}
    assert {m["text"] for m in second.stored()} == {"¿Cuál es la dirección?", *of_second}


async def test_a_runners_port_wants_that_runners_own_token(
    installation: Installation, create_tenant: CreateTenant
) -> None:
    first, second = await asyncio.gather(create_tenant(kind="automatic"), create_tenant(kind="automatic"))
    await asyncio.gather(first.wait_until("SCAN_QR_CODE"), second.wait_until("SCAN_QR_CODE"))
    file = installation.home / "var" / "clients" / first.id / "runner.json"
    assert file.stat().st_mode & 0o777 == 0o600
    token = json.loads(file.read_text())["token"]
    async with httpx2.AsyncClient(timeout=30) as client:
        own = await client.get(f"http://127.0.0.1:{first.port}/status", headers={"X-Api-Key": token})
        foreign = await client.get(f"http://127.0.0.1:{second.port}/status", headers={"X-Api-Key": token})
        without = await client.get(f"http://127.0.0.1:{first.port}/status")
    assert own.status_code == 200
    assert own.json()["client_id"] == first.id
    assert foreign.status_code == 401
    assert without.status_code == 401
