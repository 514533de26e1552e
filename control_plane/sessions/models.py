"""What runners reported last, one document per client."""

from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict

from tenant_runner.contract import SessionReason, SessionState


def _never() -> datetime:
    return datetime.fromtimestamp(0, UTC)


class Session(BaseModel):
    """A client's session as its runner reported it (`SessionChanged` without the QR code), and the runner's heartbeat.

    Attributes:
        heard_at: the last delivery of the runner.
        updated_at: the last change that a page would show.
        assistant_problem: None when the assistant answers; else as in `AssistantStatusChanged`.
        automatic: False when the owner suspended the assistant in every chat.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    client_id: str
    instance: str | None = None
    instance_started_at: datetime | None = None
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


class QRCode(BaseModel):
    """A code that waits for a scan; a credential."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    client_id: str
    text: str
    expires_at: datetime
    version: int
