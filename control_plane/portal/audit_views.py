"""An event of the audit log as a person reads it."""

from collections.abc import Mapping
from dataclasses import dataclass

from control_plane.audit.models import Actor, AuditEvent, Change, Outcome, Scalar
from control_plane.portal.audit_texts import ACTS, FIELDS, OUTCOMES, VALUES, WHO
from control_plane.portal.texts import Label
from control_plane.session_text import N_
from control_plane.web import Language, translate

SHOWN_CHANGES = 3


@dataclass(frozen=True)
class AuditLine:
    """An event, its sentence ("Ana edited Panadería Sol: model gpt-5 → gpt-6") and its outcome."""

    event: AuditEvent
    sentence: str
    who: str
    what: str
    outcome: Label


def make_audit_line(event: AuditEvent, language: Language, client_names: Mapping[str, str]) -> AuditLine:
    """The event in words.

    Args:
        client_names: of the clients that there are, by id; an event of a refused attempt knows the id only.
    """
    who, what = say_who(event.actor, language), _say_what(event, client_names)
    act, outcome = ACTS.get(event.action), OUTCOMES[event.outcome]
    if event.outcome is Outcome.DONE and act is not None:
        sentence = translate(language, act.done, who=who, what=what or "–")
    else:
        name = translate(language, act.name) if act else event.action
        sentence = translate(language, outcome.explanation or "", who=who, act=name)
        sentence += f" ({what})" if what else ""
    return AuditLine(event, sentence + _say_changes(event, language), who, what, outcome)


def say_who(actor: Actor, language: Language) -> str:
    """Who it was."""
    return translate(language, WHO[actor.kind], name=actor.name or "–")


def say_action(action: str, language: Language) -> str:
    """The name of an act, as a line of a list."""
    name = translate(language, ACTS[action].name) if action in ACTS else action
    return name[:1].upper() + name[1:]


def say_field(change: Change, language: Language) -> str:
    """The name of a field."""
    return translate(language, FIELDS.get(change.field, change.field))


def say_change(change: Change, language: Language) -> str:
    """What became of a field."""
    if change.unit == "secret":
        return translate(language, N_("changed"))
    before, after = (_say_value(change.field, value, language) for value in (change.before, change.after))
    text = f"{before} → {after}"
    if change.unit == "characters":
        return translate(language, N_("%(change)s characters"), change=text)
    return translate(language, N_("%(change)s entries"), change=text) if change.unit == "entries" else text


def _say_what(event: AuditEvent, client_names: Mapping[str, str]) -> str:
    target = event.target
    client_id = target.get("client_id", "")
    named = target.get("client_name") or client_names.get(client_id) or client_id
    others = [value for name, value in target.items() if name.endswith("_name") and name != "client_name"]
    return ", ".join(filter(None, (*others, named)))


def _say_changes(event: AuditEvent, language: Language) -> str:
    """The first changes; none of what was made or went, which changes everything."""
    if not event.changes or all(change.before is None and change.unit != "secret" for change in event.changes):
        return ""
    if len(event.changes) > 1 and all(change.after is None for change in event.changes):
        return ""
    first = [
        f"{say_field(change, language)} {say_change(change, language)}" for change in event.changes[:SHOWN_CHANGES]
    ]
    more = len(event.changes) - len(first)
    rest = [translate(language, N_("and %(more)s more"), more=more)] if more > 0 else []
    return ": " + ", ".join([*first, *rest])


def _say_value(field: str, value: Scalar, language: Language) -> str:
    if value is None:
        return "–"
    known = VALUES.get(field, {}).get(value)
    return translate(language, known) if known else str(value)
