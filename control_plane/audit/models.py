"""Who did what to what, when, from where; never a secret and never what a customer wrote."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_CHARS = 200
Scalar = str | int | float | bool | None


class Outcome(StrEnum):
    """How it went: somebody may have been stopped, or it may not have worked."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class ActorKind(StrEnum):
    """Who it was. CLAIMED: somebody gave the name of an account at the log-in, and proved nothing."""

    PERSON = "person"
    CLAIMED = "claimed"
    VISITOR = "visitor"
    UNKNOWN = "unknown"
    OPERATOR = "operator"
    SYSTEM = "system"


class Actor(BaseModel):
    """Who did it.

    Attributes:
        id: of the account.
        name: of the account, or of the operator's user on the machine; None where nobody has a name.
        via: what proved it: the browser's session, an API key or an access token.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: ActorKind = ActorKind.UNKNOWN
    id: str | None = None
    name: str | None = None
    role: str | None = None
    via: Literal["cookie", "key", "token"] | None = None

    @property
    def label(self) -> str:
        """What events are filtered by: the name, or the kind where there is none (`:system`)."""
        return self.name or f":{self.kind}"


class Change(BaseModel):
    """One field before and after.

    Attributes:
        unit: what `before` and `after` are. `value`: the values themselves, at most 200 characters; `characters` and
            `entries`: only how long a text or list was and is; `secret`: nothing is told but that it changed.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    field: str
    before: Scalar = None
    after: Scalar = None
    unit: Literal["value", "characters", "entries", "secret"] = "value"


class AuditEvent(BaseModel):
    """One act, refused or failed ones too; stored once and never changed.

    Attributes:
        id: sorts by time: 12 hexadecimal digits of milliseconds, then 12 at random.
        action: stable word, such as `client.edit`; see `control_plane.audit.actions`.
        route: method and path as declared; None for what no request did.
        status: HTTP status of the answer.
        target: `client_id` and `client_name`, `chat_id`, `run_id` … whatever it was about.
        problem: the problem's type, such as `/problems/forbidden`, where known.
        address: from where, as the web process saw it; the machine's name for an operator.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    at: datetime
    outcome: Outcome
    action: str
    route: str | None = None
    status: int | None = None
    actor: Actor = Actor()
    target: dict[str, str] = Field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    problem: str | None = None
    address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


class AuditFilter(BaseModel):
    """Which events are asked for; a field that is None does not matter.

    Attributes:
        who: a name, or a kind without names (`:system`).
        client_id: what was done to that client.
        since: at that moment or later.
        until: before that moment.
        words: every one of them must be in the event, as whole words, whatever their case and accents.
    """

    model_config = ConfigDict(frozen=True)

    who: str | None = None
    client_id: str | None = None
    action: str | None = None
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None
    words: tuple[str, ...] = ()


class AuditPage(BaseModel):
    """Events, newest first; `before` is the cursor of the next page, None on the last one."""

    model_config = ConfigDict(frozen=True)

    events: tuple[AuditEvent, ...]
    before: str | None
