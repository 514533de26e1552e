"""The scheduler process: the JOBS table, run by one holder of the lease at a time."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from pymongo.errors import PyMongoError

from control_plane.accounts.repository import Accounts
from control_plane.clients.models import Client
from control_plane.clients.removal import finish_deletion
from control_plane.clients.repository import Clients
from control_plane.clients.stored_secrets import read_runner_token
from control_plane.data_rights import service as data_rights_service
from control_plane.data_rights.repository import ClientData, Erasures
from control_plane.database import Database, connect, ensure_indexes_in_time
from control_plane.leases import SCHEDULER, Leases
from control_plane.mail import service as mail_service
from control_plane.mail.repository import Mails
from control_plane.portal.overview import keep_overview
from control_plane.retention import service as retention_service
from control_plane.retention.repository import CleanupRuns
from control_plane.runners.gateway import RunnerGateway
from control_plane.runners.launchers import open_launcher, probe_walls
from control_plane.runners.launchers.base import Launcher, LauncherUnavailable
from control_plane.runners.launchers.isolation import Walls
from control_plane.runners.models import Heard, Isolation
from control_plane.runners.purge import purge_client
from control_plane.runners.reconcile import Reconciler
from control_plane.runners.repository import Runners, set_isolation
from control_plane.security import Cipher, open_cipher
from control_plane.sessions.repository import Sessions
from control_plane.settings import Settings
from control_plane.upgrades import upgrade
from tenant_runner.contract import PurgeReport, PurgeRequest, SessionReason, SessionState

logger = logging.getLogger(__name__)

LEASE_S = 15.0
RENEW_S = 4.0
LOOK_S = 1.0
# How soon it is noticed that something else is wanted of a client: one query by an index.
NOTICE_S = 0.25
STOP_DEADLINE_S = 5.0
# A browser that waits for WhatsApp to come back has started: it does not hold up the others.
COMING_UP = frozenset({SessionReason.PREPARING, SessionReason.SYNCING})
# Who changed is asked for so far back, as long as a write may take and clocks may differ; whoever is later is found
# with everybody.
OVERLAP = timedelta(seconds=10)


@dataclass
class Context:
    """What jobs work with.

    Attributes:
        seen: what was wanted of each client when it was looked at, by client.
        reconciled_at: when everybody was looked at last, in the event loop's time.
        is_up_to_date: the last look went well; if not, the next one is at everybody.
        pass_lock: held during a pass: there is one at a time.
    """

    settings: Settings
    database: Database
    launcher: Launcher
    cipher: Cipher
    walls: Walls
    reconciler: Reconciler = field(init=False)
    seen: dict[str, object] = field(default_factory=dict)
    reconciled_at: float = field(default=float("-inf"))
    is_up_to_date: bool = field(default=False)
    pass_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    has_told_walls: bool = field(default=False)
    has_upgraded: bool = field(default=False)

    def __post_init__(self) -> None:
        self.reconciler = Reconciler(
            launcher=self.launcher,
            runners=Runners(self.database),
            settings=self.settings,
            token_of=self.token_of,
            finish_deletion=lambda client_id: finish_deletion(client_id, database=self.database),
        )

    def token_of(self, client: Client) -> str:
        """The client's runner token."""
        return read_runner_token(client, self.cipher)


async def reconcile_runners(context: Context) -> None:
    """Everybody at every interval; in between those of whom something else is wanted or something goes on."""
    async with context.pass_lock:
        await _reconcile(context)


async def notice_wishes(context: Context) -> None:
    """Begin a pass at once when something else is wanted of a client than at the last one."""
    if not context.is_up_to_date or context.pass_lock.locked():
        return
    recent = await Clients(context.database).list_changed_since(datetime.now(UTC) - OVERLAP)
    if any(_is_wish(client, context) for client in recent):
        await reconcile_runners(context)


async def _reconcile(context: Context) -> None:
    read_at, now = datetime.now(UTC), asyncio.get_running_loop().time()
    due = now - context.reconciled_at >= context.settings.reconcile_interval_s
    if not due and not context.is_up_to_date:
        return
    clients = await (Clients(context.database).list() if due else _find_unsettled(context, read_at))
    if not due and not clients and not context.reconciler.is_unsettled:
        return
    sessions = await Sessions(context.database).list(None if due else [client.id for client in clients])
    heard = {
        client_id: Heard(s.heard_at, s.state is SessionState.STARTING and s.reason in COMING_UP)
        for client_id, s in sessions.items()
        if s.heard_at is not None
    }
    # Remembered before the pass: one that fails is repeated at the next interval, not at every look.
    context.is_up_to_date = False
    if due:
        context.seen, context.reconciled_at = {}, now
    context.seen |= {client.id: _wanted(client) for client in clients}
    try:
        await context.reconciler.reconcile(clients, heard, are_all=due)
        context.is_up_to_date = True
    except LauncherUnavailable as error:
        logger.warning("supervisord did not answer", extra={"error": str(error)})
    if due:
        await keep_overview(
            clients,
            sessions,
            read_at=read_at,
            database=context.database,
            settings=context.settings,
            cipher=context.cipher,
        )


async def upgrade_data(context: Context) -> None:
    """Once: what an older version's data lacks."""
    if not context.has_upgraded:
        await upgrade(context.database)
        context.has_upgraded = True


async def _find_unsettled(context: Context, now: datetime) -> list[Client]:
    """Those of whom something else is wanted than before, or something goes on, and those whose starts take places."""
    clients, reconciler = Clients(context.database), context.reconciler
    recent = {client.id: client for client in await clients.list_changed_since(now - OVERLAP)}
    ids = reconciler.unsettled | {i for i, client in recent.items() if _is_wish(client, context)}
    if not ids:
        return []
    ids |= reconciler.starting
    others = sorted(ids - recent.keys())
    return [recent[i] for i in ids & recent.keys()] + [*(await clients.list_some(others) if others else ())]


def _is_wish(client: Client, context: Context) -> bool:
    """Something else is wanted of it than when it was looked at last."""
    return context.seen.get(client.id) != _wanted(client)


def _wanted(client: Client) -> object:
    """What must be seen at once when it changes."""
    return client.wanted, client.restarts, client.deleting_since, client.port


async def tell_walls(context: Context) -> None:
    """Once: what the portal says of the runners' isolation."""
    if not context.has_told_walls:
        walls = context.walls
        told = Isolation(
            level=walls.level,
            is_enough=walls.is_enough,
            reason=walls.reason,
            unlimited_reason=walls.limits.reason,
        )
        await set_isolation(told, database=context.database)
        context.has_told_walls = True


async def deliver_mail(context: Context) -> None:
    """Send what is due."""
    await mail_service.deliver_due(
        mails=Mails(context.database),
        clients=Clients(context.database),
        accounts=Accounts(context.database),
        settings=context.settings,
    )


async def clean_up(context: Context) -> None:
    """Ask for the regular cleanup when it is time; do whichever was asked for."""

    async def purge(client: Client, before: datetime) -> PurgeReport:
        gateway = RunnerGateway(client.port, context.token_of(client), timeout_s=context.settings.runner_timeout_s)
        return await purge_client(client.id, PurgeRequest(before=before), launcher=context.launcher, gateway=gateway)

    runs = CleanupRuns(context.database)
    await retention_service.request_if_due(timedelta(hours=context.settings.cleanup_interval_hours), runs=runs)
    await retention_service.run_requested(
        database=context.database,
        clients=Clients(context.database),
        runs=runs,
        purge=purge,
        audit_kept=timedelta(days=context.settings.audit_days),
    )


async def erase(context: Context) -> None:
    """Carry out the erasures that were asked for, also where the runner is stopped."""

    async def purge(client: Client, request: PurgeRequest) -> PurgeReport:
        gateway = RunnerGateway(client.port, context.token_of(client), timeout_s=context.settings.runner_timeout_s)
        return await purge_client(client.id, request, launcher=context.launcher, gateway=gateway)

    await data_rights_service.carry_out(
        erasures=Erasures(context.database),
        clients=Clients(context.database),
        data_of=lambda client_id: ClientData(context.database, client_id),
        purge=purge,
    )


@dataclass(frozen=True)
class Job:
    """A function and how often it looks whether there is something to do, in seconds."""

    name: str
    interval_s: float
    run: Callable[[Context], Awaitable[None]]


JOBS = (
    Job("reconcile runners", LOOK_S, reconcile_runners),
    Job("notice wishes", NOTICE_S, notice_wishes),
    Job("upgrade data", LOOK_S, upgrade_data),
    Job("tell isolation", LOOK_S, tell_walls),
    Job("deliver mail", 2.0, deliver_mail),
    Job("clean up", LOOK_S, clean_up),
    Job("erase", 2.0, erase),
)


def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    # It warns of every look that is left out because the one before still works; that is as it should be.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    asyncio.run(serve(settings))


async def serve(settings: Settings) -> None:
    """Hold the lease and run the jobs; without the lease, wait for it."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    client = connect(settings)
    database = client[settings.database_name]
    walls = await asyncio.to_thread(probe_walls, settings)
    launcher = open_launcher(settings, walls)
    context = Context(settings, database, launcher, open_cipher(settings), walls)
    holder = f"{socket.gethostname()}:{os.getpid()}"
    indexes = asyncio.create_task(ensure_indexes_in_time(database))
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await _hold_lease(context, Leases(database), holder, stop)
    finally:
        indexes.cancel()
        with contextlib.suppress(PyMongoError):
            await Leases(database).release(SCHEDULER, holder)
        await launcher.aclose()
        await client.close()
    logger.info("scheduler stopped")


async def _hold_lease(context: Context, leases: Leases, holder: str, stop: asyncio.Event) -> None:
    jobs: AsyncIOScheduler | None = None
    running: set[asyncio.Task[None]] = set()
    held_until = float("-inf")
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        asked_at = loop.time()
        try:
            async with asyncio.timeout(RENEW_S):
                held = await leases.acquire(SCHEDULER, holder, LEASE_S) is not None
            held_until = asked_at + LEASE_S if held else float("-inf")
        except (PyMongoError, TimeoutError) as error:
            logger.warning("lease could not be renewed", extra={"error": type(error).__name__})
        if loop.time() < held_until and jobs is None:
            logger.info("scheduler became active", extra={"holder": holder})
            jobs = _start_jobs(context, running)
        elif loop.time() >= held_until and jobs is not None:
            logger.warning("scheduler lost its lease", extra={"holder": holder})
            await _stop_jobs(jobs, running, context)
            jobs = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RENEW_S if held_until > loop.time() else LOOK_S):
                await stop.wait()
    if jobs is not None:
        await _stop_jobs(jobs, running, context)


def _start_jobs(context: Context, running: set[asyncio.Task[None]]) -> AsyncIOScheduler:
    # Another scheduler may have worked in between.
    context.reconciled_at = float("-inf")
    scheduler = AsyncIOScheduler(timezone="UTC")
    for job in JOBS:
        scheduler.add_job(
            _run_job,
            "interval",
            args=[job, context, running],
            seconds=job.interval_s,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
            name=job.name,
        )
    scheduler.start()
    return scheduler


async def _run_job(job: Job, context: Context, running: set[asyncio.Task[None]]) -> None:
    """One run; what goes wrong in it is logged and stops neither the job nor the others."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine runs in a task
    running.add(task)
    try:
        await job.run(context)
    except PyMongoError as error:
        logger.warning(
            "job met a database that does not answer", extra={"job": job.name, "error": type(error).__name__}
        )
    except Exception:
        logger.exception("job failed", extra={"job": job.name})
    finally:
        running.discard(task)


async def _stop_jobs(scheduler: AsyncIOScheduler, running: set[asyncio.Task[None]], context: Context) -> None:
    """End what runs: a cleanup or a start may finish, within the deadline; everything can be repeated."""
    scheduler.pause()
    pending = set(running)
    if pending:
        _done, late = await asyncio.wait(pending, timeout=STOP_DEADLINE_S)
        for task in late:
            task.cancel()
    await context.reconciler.aclose()
    scheduler.shutdown(wait=False)
