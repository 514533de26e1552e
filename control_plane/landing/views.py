"""What a client's landing page shows, made from what is stored."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from control_plane.clients.models import Client, Wanted
from control_plane.database import Database
from control_plane.runners.models import Runner, RunnerState
from control_plane.runners.repository import Runners
from control_plane.session_text import (
    N_,
    PHASES,
    SESSION_TEXTS,
    TRIED_AGAIN,
    SessionText,
    Situation,
    Words,
    find_situation,
)
from control_plane.sessions.models import QRCode, Session, TypedCode
from control_plane.sessions.repository import ClientSession
from control_plane.settings import Environment, Settings

# What the page says after its one form.
NOTICES: dict[str, str] = {
    "code-asked": N_("A new code is on its way: it appears here in a few seconds."),
    "code-too-many": N_("You asked for many codes in a short time. Wait a minute and try again."),
    "code-failed": N_("We could not ask for a code now. Wait a moment and try again."),
}
# What the visitor can do something about by linking, with either kind of code.
LINKABLE = frozenset(
    {
        Situation.SCAN,
        Situation.LINK_CODE,
        Situation.EXPIRED,
        Situation.PASSKEY,
        Situation.WRONG_NUMBER,
        Situation.UNLINKED,
    }
)


@dataclass(frozen=True)
class LandingView:
    """All that the page may show: no whole number, and the code only while it waits for a scan.

    Attributes:
        path: the page's own address; `show` is the kind of code that the visitor chose to see.
        link_code: to type on the phone.
        can_type: a code to type can be asked for.
        attempt: number of the attempt to connect again, and when the next one begins.
        phase: step of the preparation and how far it is, 0 to 100.
        scanned_number: of a wrong phone; `wanted_number`: of the right one.
        notice: what came of the page's form.
        is_used: the link was for one use: the page says so, and nothing else of the client.
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
    show: str = ""
    link_code: str | None = field(default=None, repr=False)
    link_code_expires_at: datetime | None = None
    can_type: bool = False
    attempt: int | None = None
    next_attempt_at: datetime | None = None
    expected_number: str | None = None
    number: str | None = None
    scanned_number: str | None = None
    wanted_number: str | None = None
    since: datetime | None = None
    last_message_at: datetime | None = None
    notice: str | None = None
    is_used: bool = False


async def load_view(client: Client, *, database: Database, settings: Settings, show: str = "") -> LandingView:
    """The page of a client now; `show` is `qr` for a visitor who wants no code to type."""
    now = datetime.now(UTC)
    sessions = ClientSession(database, client.id)
    session, code = await sessions.get(), await sessions.get_code(now)
    typed = None if show == "qr" else await sessions.get_link_code(now)
    runner = await Runners(database).get(client.id)
    return make_view(
        client, session, code, typed, runner, settings=settings, now=now, show="qr" if show == "qr" else ""
    )


def make_view(
    client: Client,
    session: Session,
    code: QRCode | None,
    typed: TypedCode | None,
    runner: Runner,
    *,
    settings: Settings,
    now: datetime,
    show: str = "",
) -> LandingView:
    """The page of a client, its session, its codes and its process."""
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
    if client.link_is_used:
        return LandingView(
            path=path,
            name="",
            environment=settings.environment(client.environment),
            situation=Situation.CONNECTED,
            text=SESSION_TEXTS[Situation.CONNECTED],
            scan=SESSION_TEXTS[Situation.SCAN].owner,
            phase=PHASES[None],
            is_used=True,
        )
    linkable = situation in LINKABLE
    typed = typed if linkable else None
    if typed is not None:
        situation = Situation.LINK_CODE
    elif situation is Situation.LINK_CODE:
        # Whoever went back to scanning waits for a QR code; else the code to type is over and nothing follows it.
        situation = Situation.SCAN if code or show else Situation.EXPIRED
    # After a wrong phone or an unlink the runner offers a code at once, beside the cause.
    shown = code if situation in (Situation.SCAN, Situation.WRONG_NUMBER, Situation.UNLINKED) else None
    expected = client.expected_phone or client.bound_phone
    wrong = situation is Situation.WRONG_NUMBER
    again = situation in TRIED_AGAIN
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
        show=show,
        link_code=typed.shown if typed else None,
        link_code_expires_at=typed.expires_at if typed else None,
        can_type=linkable,
        attempt=session.attempt if again else None,
        next_attempt_at=session.next_attempt_at if again else None,
        expected_number=expected,
        number=session.phone,
        scanned_number=session.refused_phone if wrong else None,
        wanted_number=expected if wrong else None,
        since=client.updated_at if situation is Situation.PAUSED else session.since,
        last_message_at=session.last_message_at,
    )
