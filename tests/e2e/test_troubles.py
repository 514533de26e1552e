"""What goes wrong around the platform is said in the portal, and mends itself when it is over."""

import asyncio
from typing import Any

import httpx2
import pytest

from tests.conftest import wait_for
from tests.e2e.conftest import CreateTenant
from tests.e2e.installation import Installation
from tests.e2e.tenant import INSTRUCTIONS, Tenant, make_number


async def wait_for_problem(tenant: Tenant, problem: str | None) -> None:
    """Wait until the portal's data names a problem of the assistant (or none)."""
    await wait_for(
        lambda: tenant.session().get("assistant_problem") == problem,
        deadline_s=90,
        interval_s=0.3,
        what=f"the assistant's problem {problem}",
    )


async def test_a_bad_key_is_refused_when_it_is_saved(api: httpx2.AsyncClient) -> None:
    body: dict[str, Any] = {"name": "Mala", "email": "a@example.com"}
    body["assistant"] = {"kind": "openai", "api_key": "sk-bad-0123456789abcdef", "instructions": "x"}
    response = await api.post("/api/admin/clients", json=body)
    assert response.status_code == 422
    assert response.json()["type"] == "/problems/openai-key-refused"
    assert "0123456789abcdef" not in response.text


@pytest.mark.parametrize(
    ("status", "code", "problem"), [(401, "invalid_api_key", "bad_key"), (500, None, "unavailable")]
)
async def test_a_provider_that_refuses_or_fails_is_named_and_the_customer_is_answered_when_it_is_over(
    installation: Installation, create_tenant: CreateTenant, status: int, code: str | None, problem: str
) -> None:
    tenant, customer = await create_tenant(), make_number()
    await tenant.link()
    async with httpx2.AsyncClient(base_url=f"{installation.sandbox}/openai/control", timeout=30) as control:
        fault = {"path": "/", "key": tenant.key, "times": None, "status": status, "code": code, "message": "SECRETO"}
        made = (await control.post("/faults", json=fault)).json()
        await tenant.receive(customer, "¿Cuál es el horario?")
        await wait_for_problem(tenant, problem)
        assert await tenant.sent(customer) == []
        await control.delete(f"/faults/{made['id']}")
    assert "9 a 18" in (await tenant.answers(customer, deadline_s=150))[0]
    await wait_for_problem(tenant, None)
    assert len(await tenant.sent(customer)) == 1


async def test_no_quota_is_named_and_a_new_key_answers_what_waited(
    api: httpx2.AsyncClient, create_tenant: CreateTenant
) -> None:
    tenant, customer = await create_tenant(key="sk-noquota-0123456789"), make_number()
    await tenant.link()
    await tenant.receive(customer, "¿Cuál es el horario?")
    await wait_for_problem(tenant, "no_quota")
    changes = {"assistant": {"kind": "openai", "api_key": "sk-paid-0123456789", "instructions": INSTRUCTIONS}}
    assert (await api.patch(f"/api/admin/clients/{tenant.id}", json=changes)).status_code == 200
    assert "9 a 18" in (await tenant.answers(customer))[0]
    await wait_for_problem(tenant, None)


async def test_a_mail_server_that_is_down_delays_the_invitation_and_the_portal_says_so(
    installation: Installation, create_tenant: CreateTenant
) -> None:
    async with httpx2.AsyncClient(base_url=f"{installation.sandbox}/mail/api", timeout=30) as mailbox:
        await mailbox.post("/faults", json={"mode": "tempfail", "times": 2})
        tenant = await create_tenant(kind="automatic", email="demorado@example.com")
        emails = installation.database()["emails"]
        delayed = await wait_for(lambda: emails.find_one({"client_id": tenant.id, "last_error": {"$ne": None}}))
        assert delayed["state"] == "queued"
        assert "mail server" in delayed["last_error"]
        await wait_for(lambda: emails.find_one({"client_id": tenant.id, "state": "sent"}), deadline_s=150)
        answer = (await mailbox.get("/messages")).json()
    messages = answer.get("messages", answer) if isinstance(answer, dict) else answer
    assert len([message for message in messages if "demorado@example.com" in str(message["to"])]) == 1


async def test_a_database_that_is_down_at_start_is_said_and_is_no_reason_to_restart_anything(
    installation: Installation, api: httpx2.AsyncClient
) -> None:
    await asyncio.to_thread(installation.control, "stop", "scheduler", "web", "database")
    try:
        await asyncio.to_thread(installation.control, "start", "web", "scheduler")

        async def page() -> str | None:
            try:
                async with httpx2.AsyncClient(base_url=installation.portal, timeout=30) as visitor:
                    response = await visitor.get("/admin/login?lang=es", headers={"Cookie": "flame_session=x"})
                    health = await visitor.get("/health")
            except httpx2.TransportError:
                return None
            return response.text if (response.status_code, health.status_code) == (503, 503) else None

        text = await wait_for(page, interval_s=0.3, what="a page that says that the database is down")
        assert "base de datos" in text
        down = await api.get("/api/admin/clients")
        assert down.status_code == 503
        assert down.json()["type"] == "/problems/database-unavailable"
        pids = await asyncio.to_thread(installation.control, "pid", "web")
    finally:
        await asyncio.to_thread(installation.control, "start", "database")

    async def is_healthy() -> bool:
        async with httpx2.AsyncClient(base_url=installation.portal, timeout=30) as visitor:
            return bool((await visitor.get("/health")).json()["status"] == "ok")

    await wait_for(is_healthy, deadline_s=90, interval_s=0.3, what="health")
    assert (await api.get("/api/admin/clients")).status_code == 200
    assert await asyncio.to_thread(installation.control, "pid", "web") == pids
