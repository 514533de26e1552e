"""Deleting what is past its time: in the database, in the runners' journals and at the AI provider."""

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from control_plane.audit import service as audit_service
from control_plane.audit.act import NOTHING, current_act
from control_plane.audit.actions import CLEANUP
from control_plane.audit.models import Outcome
from control_plane.clients.models import Client
from control_plane.clients.repository import Clients
from control_plane.conversations.repository import Conversations
from control_plane.database import Database
from control_plane.errors import NotFound
from control_plane.mail.repository import Mails
from control_plane.retention.models import CleanupRun, Counts, Failure, RunState
from control_plane.retention.repository import CleanupRuns
from control_plane.sessions.repository import Sessions
from tenant_runner.contract import PurgeReport

logger = logging.getLogger(__name__)

MAILS_KEPT = timedelta(days=30)

Purge = Callable[[Client, datetime], Awaitable[PurgeReport]]


class RunNotFound(NotFound):
    """There is no such cleanup."""

    type = "/problems/cleanup-not-found"
    title = "No such cleanup"


async def force(*, runs: CleanupRuns) -> CleanupRun:
    """Ask for a cleanup now; the scheduler process does it within seconds."""
    run = await runs.request("forced")
    current_act().about(run_id=run.id)
    return run


async def get_run(run_id: str, *, runs: CleanupRuns) -> CleanupRun:
    """A cleanup's record.

    Raises:
        RunNotFound: no such run (404).
    """
    run = await runs.get(run_id)
    if run is None:
        raise RunNotFound
    return run


async def request_if_due(interval: timedelta, *, runs: CleanupRuns) -> None:
    """Ask for the regular cleanup when the last one was asked for longer than `interval` ago.

    The database remembers, so that a restart neither postpones nor repeats it.
    """
    last = await runs.last_requested_at()
    if last is None or datetime.now(UTC) - last >= interval:
        await runs.request("scheduled")


async def run_requested(
    *,
    database: Database,
    clients: Clients,
    runs: CleanupRuns,
    purge: Purge,
    audit_kept: timedelta = timedelta(days=365),
) -> CleanupRun | None:
    """Do the cleanup that was asked for, if any; returns its record.

    Each client by its own retention. A client that fails does not stop the others; what stayed is the next run's.

    Args:
        audit_kept: entries of the audit log that are older go.
    """
    now = datetime.now(UTC)
    run = await runs.claim(now)
    if run is None:
        return None
    counts, failures = Counts(qr_codes=await Sessions(database).delete_expired_codes(now)), []
    await Mails(database).delete_finished(now - MAILS_KEPT)
    counts += Counts(audit_events=await audit_service.delete_old(audit_kept, database=database))
    everyone = [client for client in await clients.list() if client.deleting_since is None]
    for client in everyone:
        cutoff = now - timedelta(hours=client.retention_hours)
        done, failure = await _clean(client, cutoff, database=database, purge=purge)
        counts += done
        if failure:
            failures.append(Failure(client_id=client.id, client_name=client.name, detail=failure))
    state = RunState.FAILED if failures else RunState.DONE
    await runs.finish(run.id, state=state, clients=len(everyone), counts=counts, failures=failures)
    await audit_service.write_system(
        CLEANUP,
        database=database,
        outcome=Outcome.FAILED if failures else Outcome.DONE,
        target={"run_id": run.id},
        before=NOTHING,
        after={"trigger": run.trigger, "clients": len(everyone), **counts.model_dump()},
    )
    facts = {"run_id": run.id, "trigger": run.trigger, "clients": len(everyone), "failures": len(failures)}
    logger.info("cleanup was done", extra={**facts, **counts.model_dump()})
    return await runs.get(run.id)


async def _clean(client: Client, cutoff: datetime, *, database: Database, purge: Purge) -> tuple[Counts, str | None]:
    """One client; what was deleted, and what went wrong in plain words."""
    failure = None
    report = PurgeReport()
    conversations = Conversations(database, client.id)
    # Before the runner tells us that it forgot them, which would take them out of the count.
    threads = await conversations.delete_threads_before(cutoff)
    try:
        # The runner first: it alone knows which conversations at the provider are past their time.
        report = await purge(client, cutoff)
        if report.failed:
            failure = report.detail or f"{report.failed} conversations at the AI provider could not be deleted yet"
    except Exception as error:
        # Whatever happened to one client, the others' data is still due.
        failure = f"the runner could not clean up: {error}"
        logger.warning("purge failed", extra={"client_id": client.id, "error": type(error).__name__})
    messages = await conversations.delete_before(cutoff)
    counts = Counts(
        messages=messages,
        threads=threads,
        journal_messages=report.messages,
        journal_threads=report.threads,
        remote_conversations=report.remote_conversations,
    )
    return counts, failure
