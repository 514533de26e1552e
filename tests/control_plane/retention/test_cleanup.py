"""What is past its time goes, by each client's own retention, and a record says so."""

from datetime import UTC, datetime, timedelta

import pytest

from control_plane.clients.models import Client, NewClient
from control_plane.clients.removal import finish_deletion
from control_plane.clients.repository import Clients
from control_plane.clients.service import create_client
from control_plane.conversations.repository import Conversations
from control_plane.database import Database
from control_plane.mail.repository import Mails
from control_plane.mail.service import invite
from control_plane.retention import service
from control_plane.retention.models import RunState
from control_plane.retention.repository import CleanupRuns
from control_plane.security import open_cipher
from control_plane.sessions.repository import ClientSession
from control_plane.settings import Settings
from tenant_runner.contract import MessageRecorded, PurgeReport, ThreadChanged
from tests.control_plane.site import AUTOMATIC, Site

REPORT = PurgeReport(messages=3, threads=2, remote_conversations=2)


@pytest.fixture
def runs(database: Database) -> CleanupRuns:
    return CleanupRuns(database)


@pytest.fixture
def clients(database: Database) -> Clients:
    return Clients(database)


async def create(name: str, retention_hours: int, *, clients: Clients, settings: Settings) -> Client:
    new = NewClient.model_validate(
        {"name": name, "email": "ana@example.com", "assistant": AUTOMATIC, "retention_hours": retention_hours}
    )
    return await create_client(new, clients=clients, cipher=open_cipher(settings), settings=settings)


async def fill(client: Client, database: Database, *hours: int) -> None:
    """One chat with a message and a thread for each age."""
    conversations = Conversations(database, client.id)
    for age in hours:
        at = datetime.now(UTC) - timedelta(hours=age)
        message = MessageRecorded(message_id=f"{age}", chat_id=f"{age}@c.us", author="contact", text="hola", sent_at=at)
        await conversations.record([(message, 1)])
        await conversations.set_thread(
            ThreadChanged(chat_id=f"{age}@c.us", conversation_id=f"conv_{age}", last_activity_at=at)
        )


async def left(client: Client, database: Database, collection: str = "client_messages") -> list[str]:
    return sorted([document["chat_id"] async for document in database[collection].find({"client_id": client.id})])


async def test_each_client_is_cleaned_by_its_own_retention(
    database: Database, clients: Clients, runs: CleanupRuns, settings: Settings
) -> None:
    day = await create("Un día", 24, clients=clients, settings=settings)
    week = await create("Una semana", 168, clients=clients, settings=settings)
    for client in (day, week):
        await fill(client, database, 1, 30, 200)
    now = datetime.now(UTC)
    await ClientSession(database, day.id).set_code("the code", now - timedelta(seconds=1), 1)
    await ClientSession(database, week.id).set_code("the code", now + timedelta(seconds=60), 1)
    asked: dict[str, datetime] = {}

    async def purge(client: Client, before: datetime) -> PurgeReport:
        asked[client.id] = before
        return REPORT

    requested = await service.force(runs=runs)
    run = await service.run_requested(database=database, clients=clients, runs=runs, purge=purge)
    assert run is not None
    assert (run.id, run.trigger, run.state, run.clients) == (requested.id, "forced", RunState.DONE, 2)
    assert run.started_at is not None
    assert run.finished_at is not None
    assert run.counts.model_dump() == {
        "messages": 3,
        "threads": 3,
        "qr_codes": 1,
        "journal_messages": 6,
        "journal_threads": 4,
        "remote_conversations": 4,
        "audit_events": 0,
    }
    assert await left(day, database) == await left(day, database, "client_threads") == ["1@c.us"]
    assert await left(week, database) == await left(week, database, "client_threads") == ["1@c.us", "30@c.us"]
    assert abs((asked[day.id] - (now - timedelta(hours=24))).total_seconds()) < 60
    assert abs((asked[week.id] - (now - timedelta(hours=168))).total_seconds()) < 60
    assert await service.run_requested(database=database, clients=clients, runs=runs, purge=purge) is None


async def test_a_runner_that_fails_stops_neither_its_own_clients_rows_nor_the_others(
    database: Database, clients: Clients, runs: CleanupRuns, settings: Settings
) -> None:
    broken = await create("Roto", 24, clients=clients, settings=settings)
    partly = await create("A medias", 24, clients=clients, settings=settings)
    whole = await create("Sano", 24, clients=clients, settings=settings)
    for client in (broken, partly, whole):
        await fill(client, database, 30)

    async def purge(client: Client, before: datetime) -> PurgeReport:
        if client.id == broken.id:
            raise RuntimeError("no process, no journal")
        return PurgeReport(failed=2) if client.id == partly.id else REPORT

    await runs.request("scheduled")
    run = await service.run_requested(database=database, clients=clients, runs=runs, purge=purge)
    assert run is not None
    assert run.state is RunState.FAILED
    assert {failure.client_name for failure in run.failures} == {"Roto", "A medias"}
    assert all(failure.detail for failure in run.failures)
    assert run.counts.messages == 3
    assert run.counts.remote_conversations == 2
    assert await database["client_messages"].count_documents({}) == 0


async def test_mails_that_are_over_are_forgotten_after_a_month_and_those_that_wait_are_not(
    database: Database, clients: Clients, runs: CleanupRuns, settings: Settings
) -> None:
    client, mails = await create("Un día", 24, clients=clients, settings=settings), Mails(database)
    for name, state, days in (
        ("old", "sent", 31),
        ("failed", "failed", 31),
        ("waits", "queued", 31),
        ("new", "sent", 29),
    ):
        await mails.insert(client.id, "linked", "ana@example.com", mail_id=name)
        await mails.finish(name, state=state, created_at=datetime.now(UTC) - timedelta(days=days))

    async def purge(client: Client, before: datetime) -> PurgeReport:
        return REPORT

    await runs.request("scheduled")
    await service.run_requested(database=database, clients=clients, runs=runs, purge=purge)
    assert {document["_id"] async for document in database["emails"].find()} == {"waits", "new"}


async def test_the_regular_cleanup_is_asked_for_once_in_its_interval(runs: CleanupRuns, database: Database) -> None:
    await service.request_if_due(timedelta(hours=24), runs=runs)
    await service.request_if_due(timedelta(hours=24), runs=runs)
    [run] = await runs.list()
    assert (run.trigger, run.state) == ("scheduled", RunState.REQUESTED)
    long_ago = {"requested_at": datetime.now(UTC) - timedelta(hours=25), "state": "done"}
    await database["cleanup_runs"].update_one({"_id": run.id}, {"$set": long_ago})
    await service.request_if_due(timedelta(hours=24), runs=runs)
    assert len(await runs.list()) == 2


async def test_a_run_whose_process_died_is_taken_up_again(runs: CleanupRuns) -> None:
    requested = await runs.request("forced")
    now = datetime.now(UTC)
    assert await runs.claim(now) is not None
    assert await runs.claim(now) is None
    again = await runs.claim(now + timedelta(hours=2))
    assert again is not None
    assert again.id == requested.id


async def test_forcing_answers_at_once_and_the_record_tells_the_rest(site: Site) -> None:
    first = await site.api.post("/api/admin/cleanup/force")
    second = await site.api.post("/api/admin/cleanup/force")
    assert first.status_code == 202
    # One that waits is enough for everybody.
    assert second.json()["id"] == first.json()["id"]
    assert first.json()["state"] == "requested"

    async def purge(client: Client, before: datetime) -> PurgeReport:
        return REPORT

    await site.create()
    runs = CleanupRuns(site.database)
    await service.run_requested(database=site.database, clients=site.clients, runs=runs, purge=purge)
    record = (await site.api.get(f"/api/admin/cleanup/runs/{first.json()['id']}")).json()
    assert (record["state"], record["clients"], record["counts"]["journal_messages"]) == ("done", 1, 3)
    assert (await site.api.get("/api/admin/cleanup/runs")).json() == [record]
    assert (await site.api.get("/api/admin/cleanup/runs/nothing")).status_code == 404


async def test_finishing_a_deletion_leaves_nothing_of_the_client_and_all_of_the_others(
    database: Database, clients: Clients, settings: Settings
) -> None:
    gone = await create("Se va", 24, clients=clients, settings=settings)
    stays = await create("Se queda", 24, clients=clients, settings=settings)
    for client in (gone, stays):
        await fill(client, database, 1)
        await invite(client, mails=Mails(database))
        session = ClientSession(database, client.id)
        await session.hear(heard_at=datetime.now(UTC))
        await session.set_code("the code", datetime.now(UTC) + timedelta(seconds=60), 1)
        await Conversations(database, client.id).set_status("1@c.us", "suspended", None, datetime.now(UTC))

    async def find_traces(client: Client) -> set[str]:
        either = {"$or": [{"client_id": client.id}, {"_id": client.id}]}
        # Records of erasures prove that the rest is gone.
        names = set(await database.list_collection_names()) - {"erasures"}
        return {name for name in names if await database[name].count_documents(either)}

    before = await find_traces(stays)
    await finish_deletion(gone.id, database=database)
    await finish_deletion(gone.id, database=database)
    assert len(before) >= 7
    assert await find_traces(gone) == set()
    assert await find_traces(stays) == before
    assert gone.port not in await clients.used_ports()
