"""The form of a client: what was typed, what is wrong with it in plain words, and the request that it makes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.datastructures import FormData

from control_plane.clients.models import Client, ClientChanges, NewClient, Overrides, StoredAutomaticAssistant
from control_plane.session_text import N_
from control_plane.settings import Settings
from control_plane.web import Language, translate

TEXT_FIELDS = (
    "name",
    "email",
    "language",
    "expected_phone",
    "kind",
    "model",
    "instructions",
    "default_answer",
    "retention_hours",
    "environment",
    "link_expires",
    *Overrides.model_fields,
)
EMPTY_RULES = 3
_KEY = re.compile(r"[!-~]{0,400}")  # travels in an HTTP header: visible ASCII
Request = TypeVar("Request", NewClient, ClientChanges)
REQUIRED = N_("Write this; it cannot stay empty.")

# What a person reads for a refused field: the first text is for an empty field, the second for any other fault.
_MESSAGES: dict[str, tuple[str, str]] = {
    "name": (N_("Write the name of the client."), N_("The name can have at most 80 characters.")),
    "email": (N_("Write the email of the client."), N_("That is not an email address. Example: ana@example.com")),
    "expected_phone": (
        REQUIRED,
        N_("Write the number with its country code, 7 to 15 digits. Example: +54 9 11 5555 1190"),
    ),
    "retention_hours": (REQUIRED, N_("Write a whole number of hours, from 1 to 8760 (one year).")),
    "model": (REQUIRED, N_("The name of a model has at most 100 characters.")),
    "instructions": (REQUIRED, N_("The instructions can have at most 32,000 characters.")),
    "default_answer": (
        N_("Write the answer for when no rule matches."),
        N_("The answer can have at most 4,000 characters."),
    ),
    "api_key": (N_("Write the OpenAI key."), N_("That is not an OpenAI key.")),
    "rules": (REQUIRED, N_("There can be at most 100 rules.")),
    "language": (REQUIRED, N_("Choose one of the list.")),
    "environment": (REQUIRED, N_("Choose one of the list.")),
    "kind": (N_("Choose an assistant."), N_("Choose an assistant.")),
    "takeover_minutes": (REQUIRED, N_("Write whole minutes, from 0 to 10080 (one week).")),
    "too_old_minutes": (REQUIRED, N_("Write whole minutes, from 1 to 10080 (one week).")),
    "opt_out_words": (REQUIRED, N_("Write at most 20 words of at most 40 characters, separated by commas.")),
    "sends_per_minute": (REQUIRED, N_("Write a whole number from 1 to 1000.")),
    "sends_per_hour": (REQUIRED, N_("Write a whole number from 1 to 20000.")),
    "sends_per_day": (REQUIRED, N_("Write a whole number from 1 to 100000.")),
    "memory_limit_mb": (REQUIRED, N_("Write whole megabytes, from 0 to 65536; 0 is no limit.")),
    "whatsapp_web_version": (REQUIRED, N_("That is not a version of WhatsApp Web. Example: 2.3000.1023204257-alpha")),
}


@dataclass(frozen=True)
class RuleRow:
    """One row of the automatic assistant's rules, as typed."""

    keywords: str = ""
    answer: str = ""


@dataclass
class Form:
    """What a page needs to show a form again: values by field (never secrets) and translated errors by field."""

    values: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


@dataclass
class ClientForm(Form):
    """The client's form.

    Attributes:
        rules: rows to show, some of them empty.
        api_key: what was typed now; never rendered.
        key_hint: what may be shown of the stored key.
    """

    rules: list[RuleRow] = field(default_factory=list)
    api_key: str = field(default="", repr=False)
    key_hint: str | None = None

    @property
    def shows_overrides(self) -> bool:
        """Something of the client's own is typed there, or is wrong."""
        return any(self.values.get(name) or name in self.errors for name in Overrides.model_fields)

    @property
    def key_was_dropped(self) -> bool:
        """A key was typed that the page cannot give back."""
        return bool(self.api_key)

    def add_empty_rules(self) -> None:
        """Offer three more rows: also a browser without scripts can write as many rules as it likes."""
        self.rules += [RuleRow()] * EMPTY_RULES


def blank_form(settings: Settings) -> ClientForm:
    """The form of a client to be."""
    values = {
        **dict.fromkeys(TEXT_FIELDS, ""),
        "language": "es",
        "kind": "openai",
        "retention_hours": str(settings.retention_hours),
        "environment": settings.all_environments[0].name,
    }
    return ClientForm(values=values, rules=[RuleRow()] * EMPTY_RULES)


def form_of_client(client: Client) -> ClientForm:
    """The form of a client as it is stored."""
    form = ClientForm(
        values={
            **dict.fromkeys(TEXT_FIELDS, ""),
            "name": client.name,
            "email": client.email,
            "language": client.language,
            "expected_phone": f"+{client.expected_phone}" if client.expected_phone else "",
            "kind": client.assistant.kind,
            "retention_hours": str(client.retention_hours),
            "environment": client.environment,
            "link_expires": "on" if client.link_expires else "",
            **_show_overrides(client.overrides),
        }
    )
    if isinstance(client.assistant, StoredAutomaticAssistant):
        form.values["default_answer"] = client.assistant.default_answer
        form.rules = [RuleRow(", ".join(rule.keywords), rule.answer) for rule in client.assistant.rules]
    else:
        form.values |= {"model": client.assistant.model, "instructions": client.assistant.instructions}
        form.key_hint = client.assistant.api_key_hint
    form.add_empty_rules()
    return form


def read_form(data: FormData, client: Client | None = None) -> ClientForm:
    """What was typed, nothing judged yet."""
    form = ClientForm(
        values={name: _text(data, name) for name in TEXT_FIELDS},
        rules=[
            RuleRow(str(words).strip(), str(answer).strip())
            for words, answer in zip(data.getlist("keywords"), data.getlist("answer"), strict=False)
        ],
        api_key=_text(data, "api_key"),
        key_hint=form_of_client(client).key_hint if client else None,
    )
    if not any(row == RuleRow() for row in form.rules):
        form.add_empty_rules()
    return form


def request_new_client(form: ClientForm, language: Language) -> NewClient | None:
    """The request to create; None when `form.errors` says why not."""
    fields = _fields(form, language, needs_key=True)
    return None if form.errors else _validate(NewClient, fields, form, language)


def request_changes(form: ClientForm, client: Client, language: Language) -> ClientChanges | None:
    """The request to change; None when `form.errors` says why not."""
    fields = _fields(form, language, needs_key=client.assistant.kind != "openai")
    return None if form.errors else _validate(ClientChanges, fields, form, language)


def _fields(form: ClientForm, language: Language, *, needs_key: bool) -> dict[str, Any]:
    values = form.values
    if values["kind"] == "automatic":
        assistant: dict[str, Any] = {
            "kind": "automatic",
            "rules": _rules(form, language),
            "default_answer": values["default_answer"],
        }
    else:
        if not form.api_key and needs_key:
            form.errors["api_key"] = translate(language, _MESSAGES["api_key"][0])
        elif not _KEY.fullmatch(form.api_key):
            form.errors["api_key"] = translate(language, _MESSAGES["api_key"][1])
        assistant = {
            "kind": values["kind"],
            "api_key": form.api_key or None,
            "model": values["model"] or None,
            "instructions": values["instructions"],
        }
    fields = {
        "name": values["name"],
        "email": values["email"],
        "language": values["language"],
        "environment": values["environment"] or None,
        "assistant": assistant,
        "expected_phone": values["expected_phone"] or None,
        "retention_hours": values["retention_hours"] or None,
        "link_expires": bool(values["link_expires"]),
        "overrides": _overrides(values),
    }
    if form.errors:
        # Say everything that is wrong at once, not one thing per attempt.
        _validate(NewClient, fields, form, language)
    return fields


def _show_overrides(overrides: Overrides) -> dict[str, str]:
    """The client's own values as a person would type them; what the installation decides stays empty."""
    shown = {name: value for name, value in overrides.model_dump().items() if value is not None}
    return {name: ", ".join(value) if isinstance(value, tuple) else str(value) for name, value in shown.items()}


def _overrides(values: Mapping[str, str]) -> dict[str, Any]:
    typed: dict[str, Any] = {name: values[name] or None for name in Overrides.model_fields}
    if typed["opt_out_words"]:
        typed["opt_out_words"] = [word.strip() for word in typed["opt_out_words"].split(",") if word.strip()]
    return typed


def _rules(form: ClientForm, language: Language) -> list[dict[str, Any]]:
    rules = []
    for index, row in enumerate(form.rules):
        words = [word.strip() for word in row.keywords.split(",") if word.strip()]
        if words and row.answer:
            rules.append({"keywords": words, "answer": row.answer})
        elif words or row.answer:
            form.errors[f"rule-{index}"] = translate(language, N_("A rule needs at least one word and an answer."))
    return rules


def _validate(model: type[Request], fields: Mapping[str, Any], form: ClientForm, language: Language) -> Request | None:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False, include_context=False):
            name = next((str(part) for part in reversed(problem["loc"]) if part in _MESSAGES), "kind")
            empty, wrong = _MESSAGES[name]
            text = empty if not form.values.get(name) and name != "api_key" else wrong
            form.errors.setdefault(name, translate(language, text))
        return None


def _text(data: FormData, name: str) -> str:
    value = data.get(name)
    return value.strip() if isinstance(value, str) else ""
