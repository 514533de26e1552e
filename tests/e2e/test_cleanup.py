"""The cleanup, forced: everything past its time is gone here and at the provider, and the record says how much."""

from datetime import UTC, datetime
from typing import Any

import httpx2

from tests.conftest import wait_for
from tests.e2e.conftest import CreateTenant
from tests.e2e.installation import Installation
from tests.e2e.tenant import make_number

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def conversations_of(installation: Installation, ids: set[str]) -> list[dict[str, Any]]:
    """Those of the given conversations that the provider's stand-in still has."""
    async with httpx2.AsyncClient(base_url=installation.sandbox, timeout=30) as control:
        answer = (await control.get("/openai/control/conversations")).json()
    found = answer.get("conversations", answer) if isinstance(answer, dict) else answer
    return [conversation for conversation in found if conversation["id"] in ids]


async def test_a_forced_cleanup_empties_database_journal_and_provider(
    installation: Installation, api: httpx2.AsyncClient, create_tenant: CreateTenant
) -> None:
    past, kept = await create_tenant(), await create_tenant()
    customer = make_number()
    for tenant in (past, kept):
        await tenant.link()
        await tenant.receive(customer, "¿Cuál es el horario?")
        await tenant.answers(customer)
        await tenant.wait_until_stored(2)
    database = installation.database()
    ids = {tenant.id: await tenant.wait_until_threads_are_stored() for tenant in (past, kept)}
    # Whatever this client has is past its time; the other keeps its day.
    database["clients"].update_one({"_id": past.id}, {"$set": {"retention_hours": 0}})
    database["client_qr_codes"].insert_one({"_id": "gone", "text": "x", "version": 1, "expires_at": LONG_AGO})

    run = (await api.post("/api/admin/cleanup/force")).json()

    async def is_over() -> dict[str, Any] | None:
        record = (await api.get(f"/api/admin/cleanup/runs/{run['id']}")).json()
        return record if record["state"] in ("done", "failed") else None

    record = await wait_for(is_over, deadline_s=120, interval_s=0.3, what="the cleanup's end")
    assert record["state"] == "done"
    assert record["failures"] == []
    assert record["counts"]["messages"] == 2
    assert record["counts"]["threads"] == 1
    assert record["counts"]["qr_codes"] == 1
    assert record["counts"]["journal_messages"] >= 2
    assert record["counts"]["remote_conversations"] == 1

    assert past.stored() == []
    assert database["client_threads"].count_documents({"client_id": past.id}) == 0
    assert await conversations_of(installation, ids[past.id]) == []
    journal = installation.home / "var" / "clients" / past.id
    question = "¿Cuál es el horario?".encode()
    assert [file.name for file in journal.glob("journal.sqlite3*") if question in file.read_bytes()] == []
    assert len(kept.stored()) == 2
    assert len(await conversations_of(installation, ids[kept.id])) == 1

    # The chat goes on with a new thread, and a second cleanup has nothing to do twice.
    await past.receive(customer, "¿Cuál es la dirección?")
    assert "Belgrano" in (await past.answers(customer, 2))[-1]


async def test_a_deleted_client_leaves_nothing_behind(
    installation: Installation, api: httpx2.AsyncClient, create_tenant: CreateTenant
) -> None:
    tenant, customer = await create_tenant(), make_number()
    await tenant.link()
    await tenant.receive(customer, "¿Cuál es el horario?")
    await tenant.answers(customer)
    await tenant.wait_until_stored(2)
    database = installation.database()
    ids = await tenant.wait_until_threads_are_stored()
    wrong = await api.request("DELETE", f"/api/admin/clients/{tenant.id}", json={"name": "otro"})
    assert wrong.status_code == 409
    name = (await api.get(f"/api/admin/clients/{tenant.id}")).json()["name"]
    assert (await api.request("DELETE", f"/api/admin/clients/{tenant.id}", json={"name": name})).status_code == 202

    async def is_gone() -> bool:
        return (await api.get(f"/api/admin/clients/{tenant.id}")).status_code == 404

    await wait_for(is_gone, deadline_s=120, interval_s=0.3, what="the deletion's end")
    for collection in ("client_messages", "client_threads", "client_sessions", "emails", "runners"):
        assert database[collection].count_documents({"$or": [{"client_id": tenant.id}, {"_id": tenant.id}]}) == 0
    assert not (installation.home / "var" / "clients" / tenant.id).exists()
    assert not list((installation.home / "var" / "supervisor" / "conf.d").glob(f"*{tenant.id}*"))
    assert installation.runner(tenant.id) is None
    assert installation.browsers(tenant.id) == []
    assert await conversations_of(installation, ids) == []
    async with httpx2.AsyncClient(base_url=installation.portal, timeout=30) as visitor:
        assert (await visitor.get(f"/api/client/{tenant.slug}/status")).status_code == 404
