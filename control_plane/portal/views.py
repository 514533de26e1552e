"""What the portal shows of a client, made from what is stored."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from control_plane.clients.models import Client, Wanted
from control_plane.mail.models import Mail, MailState
from control_plane.portal.texts import ISOLATION, MAIL_STATES, PROCESS_STATES, Label
from control_plane.retention.models import CleanupRun, RunState
from control_plane.runners.models import Isolation, Runner, RunnerState
from control_plane.session_text import (
    ASSISTANT_PROBLEMS,
    KEY_LOST,
    PHASES,
    SESSION_TEXTS,
    TRIED_AGAIN,
    SessionText,
    Situation,
    Words,
    find_situation,
)
from control_plane.sessions.models import Session
from control_plane.settings import Settings
from tenant_runner.contract import SessionState

CRASHING = frozenset({RunnerState.CRASH_LOOP, RunnerState.FAILED})
STARTING = frozenset({RunnerState.WAITING, RunnerState.STARTING})


@dataclass(frozen=True)
class Row:
    """One client as a person sees it now.

    Attributes:
        number: digits of the linked phone.
        error: short text of what is wrong, None when nothing is.
        problem: of the assistant; `problem_detail` are the provider's words.
        waiting: chats that wait for a person.
        attempt: number of the attempt to connect again, and when the next one begins.
        detail: the runner's words on a state that needs attention.
        ahead: how many clients start before this one, while it waits for its turn.
        process: state of the client's process; `process_detail` says what is wrong with it.
    """

    client: Client
    session: Session
    situation: Situation
    text: SessionText
    phase: tuple[str, int]
    process: str
    process_detail: str | None = None
    number: str | None = None
    since: datetime | None = None
    last_activity_at: datetime | None = None
    error: str | None = None
    problem: Words | None = None
    problem_detail: str | None = None
    detail: str | None = None
    waiting: int = 0
    attempt: int | None = None
    next_attempt_at: datetime | None = None
    ahead: int | None = None

    @property
    def needs_attention(self) -> bool:
        """Whether an admin should look at this client."""
        return self.text.attention or self.problem is not None or self.waiting > 0


@dataclass(frozen=True)
class Totals:
    """The figures above the list."""

    total: int
    active: int
    connected: int
    attention: int


def make_row(
    client: Client,
    session: Session,
    runner: Runner,
    *,
    settings: Settings,
    waiting: int = 0,
    key_lost: bool = False,
    now: datetime | None = None,
) -> Row:
    """One client, what its runner said, what is known of its process, and how many chats wait for a person.

    Args:
        key_lost: nobody can read the client's stored key at its AI provider any more.
    """
    now = now or datetime.now(UTC)
    wanted = client.wanted is Wanted.CONNECTED
    situation = find_situation(
        deleting=client.deleting_since is not None,
        wanted=wanted,
        reason=session.reason,
        heard_at=session.heard_at,
        changed_at=client.updated_at,
        crashing=runner.state in CRASHING,
        starting=runner.state in STARTING,
        lost_after=timedelta(seconds=settings.heartbeat_lost_s),
        now=now,
    )
    text = SESSION_TEXTS[situation]
    problem = ASSISTANT_PROBLEMS.get(session.assistant_problem or "") if wanted else None
    if key_lost:
        problem = KEY_LOST
    linked = session.phone if session.state in (SessionState.WORKING, SessionState.STARTING) else None
    return Row(
        client=client,
        session=session,
        situation=situation,
        text=text,
        phase=PHASES.get(session.phase, PHASES[None]),
        process=PROCESS_STATES[str(runner.state)],
        process_detail=runner.message,
        number=linked or client.bound_phone,
        since=_since(client, session, situation),
        last_activity_at=session.last_message_at,
        error=problem.title if problem else (text.admin.title if text.attention else None),
        problem=problem,
        problem_detail=session.assistant_problem_detail if problem and not key_lost else None,
        detail=session.detail if text.attention else None,
        waiting=waiting,
        ahead=runner.ahead if situation is Situation.PREPARING else None,
        attempt=session.attempt if situation in TRIED_AGAIN else None,
        next_attempt_at=session.next_attempt_at if situation in TRIED_AGAIN else None,
    )


def sum_up(rows: list[Row]) -> Totals:
    """The figures of a list."""
    return Totals(
        total=len(rows),
        active=sum(row.client.wanted is Wanted.CONNECTED for row in rows),
        connected=sum(row.situation is Situation.CONNECTED for row in rows),
        attention=sum(row.needs_attention for row in rows),
    )


def still(row: Row) -> Row:
    """The row without the heartbeat, for pages that do not show it: two are equal when they look the same."""
    session = row.session
    quiet = {"heard_at": None, "last_round_trip_at": None, "memory_bytes": None, "updated_at": row.client.created_at}
    return replace(row, session=session.model_copy(update={**quiet, "accepted_through": 0}))


def explain_isolation(isolation: Isolation | None) -> tuple[Label, str] | None:
    """What an admin must know of the walls around runners, and the machine's own words; None when all is well."""
    if isolation is None or not isolation.reason:
        return None
    return ISOLATION[str(isolation.level) if isolation.is_enough else "refused"], isolation.reason


def _since(client: Client, session: Session, situation: Situation) -> datetime | None:
    if situation is Situation.DELETING:
        return client.deleting_since
    if situation is Situation.PAUSED:
        return client.updated_at
    if situation is Situation.SILENT:
        return session.heard_at
    return session.since if session.heard_at else None


# ------------------------------------------------------------------------------------------------ mails


@dataclass(frozen=True)
class Invitation:
    """What became of the client's newest invitation."""

    label: str
    icon: str
    tone: str
    at: datetime
    explanation: str | None = None
    detail: str | None = None


def make_invitation(mail: Mail | None) -> Invitation | None:
    """A mail in words; None when there is none."""
    if mail is None:
        return None
    match mail.state:
        case MailState.SENT:
            label = MAIL_STATES["sent"]
        case MailState.FAILED:
            label = MAIL_STATES["failed"]
        case MailState.WAITING_FOR_SMTP:
            label = MAIL_STATES["waiting"]
        case _:
            label = MAIL_STATES["retrying" if mail.last_error else "queued"]
    return Invitation(
        label=label.text,
        icon=label.icon,
        tone=label.tone,
        at=mail.sent_at or mail.created_at,
        explanation=label.explanation,
        detail=mail.last_error,
    )


# ------------------------------------------------------------------------------------------------ cleanups


def cleanup_state(run: CleanupRun) -> str:
    """Key of a cleanup's state in the table of texts: what failed for some clients was done for the others."""
    if run.state is RunState.FAILED and run.clients > len(run.failures):
        return "partial"
    return str(run.state)
