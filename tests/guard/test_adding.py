"""What the web process and the scheduler do until a new client runs: as much with few clients as with many."""

from datetime import UTC, datetime, timedelta

import pytest

from control_plane.clients.models import Client
from control_plane.database import connect
from control_plane.runners import reconcile
from control_plane.runners.launchers import probe_walls
from control_plane.runners.models import RunnerState
from control_plane.runners.repository import Runners
from control_plane.scheduler import OVERLAP, Context, reconcile_runners
from control_plane.sessions.repository import ClientSession
from tenant_runner.contract import SessionReason, SessionState
from tests.control_plane.runners.memory import MemoryLauncher
from tests.control_plane.site import Site, change
from tests.guard.bounds import ADDING
from tests.guard.conftest import Counter

FEW, MANY = 3, 30
# supervisord calls a process running after five seconds; the scheduler looks every second.
LOOKS_UNTIL_UP = 5


async def test_adding_a_client_asks_the_same_of_the_database_and_of_the_launcher_for_few_clients_and_for_many(
    site: Site, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A look ends when all that it began has ended, however slow the machine.
    monkeypatch.setattr(reconcile, "PASS_S", 60.0)
    settings = change(site.settings, reconcile_interval_s=3600, isolation="off")
    database = connect(settings)[settings.database_name]
    launcher = MemoryLauncher()
    context = Context(settings, database, launcher, site.cipher, probe_walls(settings))
    counts = []
    known: list[Client] = []
    for number in (FEW, MANY):
        while len(known) < number:
            known.append(await site.create(f"Cliente {len(known)}"))
            launcher.run(known[-1].id, ago=timedelta(seconds=30))
            await hear(site, known[-1])
        long_ago = datetime.now(UTC) - OVERLAP * 2
        await site.database["clients"].update_many({}, {"$set": {"updated_at": long_ago}})
        context.reconciled_at = float("-inf")
        await reconcile_runners(context)
        assert not context.reconciler.is_unsettled
        counts.append(await count_adding(site, context, launcher, counter))
        known += await site.clients.list_changed_since(long_ago + OVERLAP)
    await context.reconciler.aclose()
    await database.client.close()
    assert counts[0] == counts[1]
    assert counts[0].keys() == ADDING.keys()
    assert all(counts[0][what] <= bound for what, bound in ADDING.items()), counts[0]


async def count_adding(site: Site, context: Context, launcher: MemoryLauncher, counter: Counter) -> dict[str, int]:
    """From the request until a look finds nothing to do."""
    launcher.looks_until_up, launcher.looked_at = LOOKS_UNTIL_UP, 0
    launcher.defined.clear()
    counter.clear()
    body = {
        "name": "Uno más",
        "email": "ana@example.com",
        "assistant": {"kind": "automatic", "default_answer": "Hola."},
    }
    answer = await site.api.post("/api/admin/clients", json=body)
    client = await site.clients.get(answer.json()["id"])
    assert client is not None
    await reconcile_runners(context)
    assert launcher.started[-1] == client.id
    assert (await site.runner(client).deliver(session={"state": "WORKING", "reason": "connected"})).is_success
    for _ in range(LOOKS_UNTIL_UP + 2):
        await reconcile_runners(context)
    assert not context.reconciler.is_unsettled
    counts = {
        "commands": len(counter.asked),
        "documents": counter.documents,
        "processes looked at": launcher.looked_at,
        "definitions": len(launcher.defined),
    }
    assert (await Runners(site.database).get(client.id)).state is RunnerState.RUNNING
    return counts


async def hear(site: Site, client: Client) -> None:
    """Its session works."""
    now = datetime.now(UTC)
    values = {"state": str(SessionState.WORKING), "reason": str(SessionReason.CONNECTED), "since": now}
    await ClientSession(site.database, client.id).set(**values, heard_at=now)
