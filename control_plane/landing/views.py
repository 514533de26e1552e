"""What a client's landing page shows, made from what is stored."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from control_plane.clients.models import Client, Wanted
from control_plane.database import Database
from control_plane.runners.models import Runner, RunnerState
from control_plane.runners.repository import Runners
from control_plane.session_text import N_, PHASES, SESSION_TEXTS, SessionText, Situation, Words, find_situation
from control_plane.sessions.models import QRCode, Session
from control_plane.sessions.repository import ClientSession
from control_plane.settings import Environment, Settings

# What the page says after its one form.
NOTICES: dict[str, str] = {
    "code-asked": N_("A new code is on its way: it appears here in a few seconds."),
    "code-too-many": N_("You asked for many codes in a short time. Wait a minute and try again."),
    "code-failed": N_("We could not ask for a code now. Wait a moment and try again."),
}


@dataclass(frozen=True)
class LandingView:
    """All that the page may show: no whole number, and the code only while it waits for a scan.

    Attributes:
        path: the page's own address.
        phase: step of the preparation and how far it is, 0 to 100.
        scanned_number: of a wrong phone; `wanted_number`: of the right one.
        notice: what came of the page's form.
    """

    path: str
    name: str
    environment: Environment | None
    situation: Situation
    text: SessionText
    scan: Words
    phase: tuple[str, int]
    progress: int | None = None
    qr_url: str | None = None
    qr_expires_at: datetime | None = None
    expected_number: str | None = None
    number: str | None = None
    scanned_number: str | None = None
    wanted_number: str | None = None
    since: datetime | None = None
    last_message_at: datetime | None = None
    notice: str | None = None


async def load_view(client: Client, *, database: Database, settings: Settings) -> LandingView:
    """The page of a client now."""
    now = datetime.now(UTC)
    sessions = ClientSession(database, client.id)
    session, code = await sessions.get(), await sessions.get_code(now)
    return make_view(client, session, code, await Runners(database).get(client.id), settings=settings, now=now)


def make_view(
    client: Client, session: Session, code: QRCode | None, runner: Runner, *, settings: Settings, now: datetime
) -> LandingView:
    """The page of a client, its session, its code and its process."""
    situation = find_situation(
        deleting=client.deleting_since is not None,
        wanted=client.wanted is Wanted.CONNECTED,
        reason=session.reason,
        heard_at=session.heard_at,
        changed_at=client.updated_at,
        crashing=runner.state in (RunnerState.CRASH_LOOP, RunnerState.FAILED),
        starting=runner.state in (RunnerState.WAITING, RunnerState.STARTING),
        lost_after=timedelta(seconds=settings.heartbeat_lost_s),
        now=now,
    )
    path = f"/client/{client.slug}"
    # After a wrong phone or an unlink the runner offers a code at once, beside the cause.
    shown = code if situation in (Situation.SCAN, Situation.WRONG_NUMBER, Situation.UNLINKED) else None
    scanned, wanted = _wrong_numbers(session, situation)
    return LandingView(
        path=path,
        name=client.name,
        environment=settings.environment(client.environment),
        situation=situation,
        text=SESSION_TEXTS[situation],
        scan=SESSION_TEXTS[Situation.SCAN].owner,
        phase=PHASES.get("login" if situation is Situation.SCAN else session.phase, PHASES[None]),
        progress=session.progress,
        qr_url=f"/api{path}/qr?v={shown.version}" if shown else None,
        qr_expires_at=shown.expires_at if shown else None,
        expected_number=client.expected_phone or client.bound_phone,
        number=session.phone,
        scanned_number=scanned,
        wanted_number=wanted,
        since=client.updated_at if situation is Situation.PAUSED else session.since,
        last_message_at=session.last_message_at,
    )


def _wrong_numbers(session: Session, situation: Situation) -> tuple[str | None, str | None]:
    """The last digits of the phone that scanned and of the right one: the runner tells no more than these."""
    if situation is not Situation.WRONG_NUMBER:
        return None, None
    found = re.findall(r"…(\d{4})", session.detail or "")
    return (found[0], found[1]) if len(found) == 2 else (None, None)
