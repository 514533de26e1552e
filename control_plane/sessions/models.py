"""What runners reported last, one document per client."""

from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from tenant_runner.contract import SessionReason, SessionState


def _never() -> datetime:
    return datetime.fromtimestamp(0, UTC)


class Session(BaseModel):
    """A client's session as its runner reported it (`SessionChanged` without its codes), and the runner's heartbeat.

    Attributes:
        linked_phone: digits of the number that is linked, None once a code is shown again; a reconnection keeps it.
        fence: the greatest number that was given to a process of the runner; what has a smaller one is refused.
        heard_at: the last delivery of the runner.
        updated_at: the last change that a page would show.
        assistant_problem: None when the assistant answers; else as in `AssistantStatusChanged`.
        automatic: False when the owner suspended the assistant in every chat.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    client_id: str
    instance: str | None = None
    instance_started_at: datetime | None = None
    fence: int = 0
    config_revision: int = 0
    version: int = -1
    state: SessionState = SessionState.STOPPED
    reason: SessionReason = SessionReason.STOPPED
    since: datetime | None = None
    phase: str | None = None
    progress: int | None = None
    detail: str | None = None
    phone: str | None = None
    push_name: str | None = None
    last_round_trip_at: datetime | None = None
    refused_phone: str | None = None
    attempt: int | None = None
    next_attempt_at: datetime | None = None
    page_version: str | None = None
    memory_bytes: int | None = None
    linked_phone: str | None = None
    heard_at: datetime | None = None
    updated_at: datetime = datetime.fromtimestamp(0, UTC)
    journal_id: str | None = None
    accepted_through: int = 0
    assistant_problem: str | None = None
    assistant_problem_detail: str | None = None
    assistant_problem_since: datetime | None = None
    automatic: bool = True
    last_message_at: datetime | None = None

    def is_fresh(self, heartbeat_lost_s: float, now: datetime | None = None) -> bool:
        """Whether the runner was heard of within the last `heartbeat_lost_s` seconds."""
        heard = self.heard_at or _never()
        return (now or datetime.now(UTC)) - heard < timedelta(seconds=heartbeat_lost_s)


class TypedCode(BaseModel):
    """A code that waits to be typed on the phone; a credential."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    client_id: str
    text: str = Field(repr=False)
    expires_at: datetime

    @property
    def shown(self) -> str:
        """As WhatsApp writes it: `ABCD-1234`."""
        return f"{self.text[:4]}-{self.text[4:]}"


class QRCode(BaseModel):
    """A code that waits for a scan; a credential."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    client_id: str
    text: str
    expires_at: datetime
    version: int
