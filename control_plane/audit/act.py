"""What is being done now. Services add what they know of it; the audit log takes the rest from the request."""

from collections.abc import Mapping, Sized
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, Protocol

from control_plane.audit.models import MAX_CHARS, Actor, ActorKind, Change, Outcome, Scalar
from control_plane.errors import Problem


class Person(Protocol):
    """An account, as far as the audit log cares."""

    @property
    def id(self) -> str: ...
    @property
    def username(self) -> str: ...
    @property
    def role(self) -> str: ...


@dataclass(frozen=True)
class Withheld:
    """A value that is compared and then forgotten: only its length is kept, or nothing at all of a secret."""

    value: Sized = field(repr=False)
    unit: Literal["characters", "entries", "secret"]


Facts = Mapping[str, Scalar | Withheld]
NOTHING: Facts = {}


@dataclass
class Act:
    """One act in the making.

    Attributes:
        failure: set by a handler whose answer does not tell that it failed (a page that leads on with a message).
        is_ignored: it turned out to be no act at all, such as a form that was shown again with more rows.
    """

    action: str = ""
    actor: Actor = field(default_factory=Actor)
    target: dict[str, str] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    failure: Problem | None = None
    is_ignored: bool = False
    via: Literal["cookie", "key", "token"] | None = None

    @property
    def outcome(self) -> Outcome:
        """What services said; without their word it was done."""
        return Outcome.DONE if self.failure is None else Outcome.FAILED

    def known(self, person: Person) -> None:
        """Somebody proved to be that person."""
        self.actor = Actor(
            kind=ActorKind.PERSON, id=person.id, name=person.username, role=str(person.role), via=self.via
        )

    def claimed(self, person: Person | None) -> None:
        """Somebody gave that account's name and proved nothing; None: there is no such account.

        What was typed is not kept: people type passwords into the wrong field.
        """
        if person is not None:
            self.actor = Actor(kind=ActorKind.CLAIMED, id=person.id, name=person.username, role=str(person.role))

    def about(self, **facts: str) -> None:
        """What it is done to: ids and names, such as `client_id` and `client_name`."""
        self.target |= {name: value[:MAX_CHARS] for name, value in facts.items()}

    def changed(self, before: Facts, after: Facts) -> None:
        """Add the fields that differ; `NOTHING` on one side says that it was made or went."""
        for name in dict.fromkeys((*before, *after)):
            old, new = before.get(name), after.get(name)
            if old != new:
                self.changes.append(_compare(name, old, new))

    def failed(self, problem: Problem) -> None:
        """It did not work, whatever the answer's status says."""
        self.failure = problem

    def ignore(self) -> None:
        """Nothing was done or asked for: leave no record."""
        self.is_ignored = True


current: ContextVar[Act | None] = ContextVar("act", default=None)


def current_act() -> Act:
    """What is being done now; one that nobody keeps where nothing is recorded, so that services need not ask."""
    return current.get() or Act()


def _compare(name: str, old: Scalar | Withheld, new: Scalar | Withheld) -> Change:
    unit = next((side.unit for side in (new, old) if isinstance(side, Withheld)), "value")
    if unit == "secret":
        return Change(field=name, unit="secret")
    return Change(field=name, before=_show(old), after=_show(new), unit=unit)


def _show(value: Scalar | Withheld) -> Scalar:
    if isinstance(value, Withheld):
        return len(value.value)
    return value if not isinstance(value, str) or len(value) <= MAX_CHARS else value[: MAX_CHARS - 1] + "…"
