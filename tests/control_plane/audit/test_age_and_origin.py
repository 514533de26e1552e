"""How long events stay, that nothing changes them, and those that no request made."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from control_plane.accounts.service import WrongCredentials
from control_plane.audit.act import Act
from control_plane.audit.models import Actor, ActorKind, AuditEvent, AuditFilter, Outcome
from control_plane.audit.repository import AuditEvents, find_words, new_id
from control_plane.audit.service import as_operator
from control_plane.clients.removal import finish_deletion
from control_plane.database import Database, ensure_indexes
from control_plane.retention.repository import CleanupRuns
from control_plane.runners.launchers import open_launcher, probe_walls
from control_plane.scheduler import Context, clean_up
from control_plane.security import open_cipher
from control_plane.settings import REPOSITORY, Settings
from tests.control_plane.site import Site, change


async def read(database: Database) -> list[AuditEvent]:
    return await AuditEvents(database).list(AuditFilter(), before=None, limit=1000)


async def test_the_regular_cleanup_removes_what_is_past_its_days_and_says_how_many(
    settings: Settings, database: Database
) -> None:
    log, now = AuditEvents(database), datetime.now(UTC)
    for days in (1, 29, 31, 400):
        at = now - timedelta(days=days)
        await log.add(AuditEvent(id=new_id(at), at=at, outcome=Outcome.DONE, action=f"day-{days}"))
    settings.data_directory.mkdir(parents=True)
    walls = probe_walls(change(settings, isolation="off"))
    launcher = open_launcher(settings, walls)
    await clean_up(Context(change(settings, audit_days=30), database, launcher, open_cipher(settings), walls))
    await launcher.aclose()
    [run] = await CleanupRuns(database).list()
    assert run.counts.audit_events == 2
    told, *left = await read(database)
    assert [event.action for event in left] == ["day-1", "day-29"]
    assert (told.action, told.actor.label, told.target) == ("cleanup.run", ":system", {"run_id": run.id})
    assert {one.field: one.after for one in told.changes}["audit_events"] == 2


def test_the_repository_can_neither_change_nor_remove_but_by_age() -> None:
    source = Path(REPOSITORY, "control_plane", "audit", "repository.py").read_text()
    for verb in ("update", "replace", "find_one_and", "delete_one", "bulk_write", "drop"):
        assert verb not in source, verb
    assert source.count("delete_many") == 1
    elsewhere = [
        file
        for file in Path(REPOSITORY, "control_plane").rglob("*.py")
        if "audit_events" in file.read_text() and file.parent.name not in ("audit", "retention", "portal")
    ]
    assert [file.name for file in elsewhere] == ["database.py"]


async def test_a_finished_deletion_tells_what_the_client_was(site: Site) -> None:
    client = await site.create("Panadería Sol", retention_hours=48)
    await finish_deletion(client.id, database=site.database)
    await finish_deletion(client.id, database=site.database)
    removed = [event for event in await read(site.database) if event.action == "client.removed"]
    assert len(removed) == 1
    assert removed[0].actor.kind is ActorKind.SYSTEM
    assert removed[0].target == {"client_id": client.id, "client_name": "Panadería Sol"}
    before = {change.field: change.before for change in removed[0].changes}
    assert (before["name"], before["retention_hours"]) == ("Panadería Sol", 48)


async def test_a_command_that_found_nothing_to_do_leaves_no_event(database: Database) -> None:
    async with as_operator("create-admin", database=database) as act:
        act.ignore()
    with pytest.raises(WrongCredentials):
        async with as_operator("create-api-key", database=database):
            raise WrongCredentials
    assert [(event.action, event.outcome) for event in await read(database)] == [
        ("operator.create-api-key", Outcome.FAILED)
    ]


async def test_every_filter_is_served_by_an_index_and_so_is_the_order(database: Database) -> None:
    await ensure_indexes(database)
    indexes = await database["audit_events"].index_information()
    keys = {tuple(field for field, _ in index["key"]) for index in indexes.values()}
    filters = ("who", "target.client_id", "action", "outcome", "words")
    assert keys == {("_id",), *((field, "_id") for field in filters)}


def test_words_are_whole_and_know_neither_case_nor_accents() -> None:
    assert find_words("Panadería SOL, gpt-5") == {"panaderia", "sol", "gpt-5", "gpt", "5"}
    assert find_words("ana@example.com.") >= {"ana@example.com", "ana", "example", "com"}
    assert find_words("… ¿? --") == set()


def test_a_claimed_name_that_does_not_exist_is_not_kept() -> None:
    act = Act()
    act.claimed(None)
    assert act.actor == Actor(kind=ActorKind.UNKNOWN)
