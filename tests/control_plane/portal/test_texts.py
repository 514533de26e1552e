import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po

import control_plane
from control_plane.errors import Problem
from control_plane.mail.models import MailState
from control_plane.portal import chat_texts, texts
from control_plane.problem_texts import PROBLEM_TEXTS
from control_plane.retention.models import RunState
from control_plane.runners.models import RunnerState
from control_plane.session_text import _OF_REASON, ASSISTANT_PROBLEMS, SESSION_TEXTS, Situation
from control_plane.settings import REPOSITORY
from control_plane.web import LOCALES, render_email, translate
from tenant_runner.contract import (
    AssistantStatusChanged,
    ConversationStatusChanged,
    MessageAcknowledged,
    MessageRecorded,
    SessionReason,
)


def _read(language: str) -> Catalog:
    with (LOCALES / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return read_po(file, locale=language)


def _sources() -> set[str]:
    with (REPOSITORY / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)  # type: ignore[no-untyped-call]
    found: set[str] = set()
    for top in ("control_plane", "templates"):
        prefixed = [(pattern.removeprefix(f"{top}/"), method) for pattern, method in methods if pattern.startswith(top)]
        choices = {pattern.removeprefix(f"{top}/"): values for pattern, values in options.items()}
        for _, _, message, _, _ in extract_from_dir(REPOSITORY / top, prefixed, choices):
            found.add(message if isinstance(message, str) else message[0])
    return found


@pytest.mark.parametrize("language", ["es", "en"])
def test_the_catalog_has_every_message_of_the_sources_and_no_other(language: str) -> None:
    catalog = {message.id if isinstance(message.id, str) else message.id[0] for message in _read(language)} - {""}

    sources = _sources()

    assert len(sources) > 300
    assert sources - catalog == set()
    assert catalog - sources == set()


@pytest.mark.parametrize("language", ["es", "en"])
def test_every_message_is_translated_with_the_same_names_in_it(language: str) -> None:
    for message in _read(language):
        if not message.id:
            continue
        strings = message.string if isinstance(message.string, tuple | list) else [message.string]
        assert all(strings), f"{language}: no translation of {message.id!r}"
        assert not message.fuzzy
        assert not list(message.check()), message.id


def _problems(base: type[Problem] = Problem) -> Iterator[type[Problem]]:
    for problem in base.__subclasses__():
        yield problem
        yield from _problems(problem)


def test_what_every_problem_says_is_in_the_catalogs() -> None:
    for module in pkgutil.walk_packages(control_plane.__path__, "control_plane."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

    for problem in _problems():
        assert problem.title in (*PROBLEM_TEXTS, ""), problem
        assert problem().detail in PROBLEM_TEXTS, problem


def test_every_state_has_its_words_for_both_readers_in_both_languages() -> None:
    assert set(SESSION_TEXTS) == set(Situation)
    assert set(_OF_REASON) == set(SessionReason)
    assert set(_OF_REASON.values()) | {
        Situation.DELETING,
        Situation.PAUSED,
        Situation.SILENT,
        Situation.CRASHING,
    } == set(Situation)
    for situation, text in SESSION_TEXTS.items():
        assert text.pill
        assert text.icon
        for words in (text.admin, text.owner):
            for message in (words.title, words.explanation, *filter(None, [words.action])):
                assert translate("es", message) != message, f"{situation}: {message!r}"
        if text.attention:
            assert text.admin.action, f"{situation} asks for attention and must say what to do"


def test_every_problem_of_an_assistant_and_every_fate_has_its_words() -> None:
    problems = set(get_args(get_args(AssistantStatusChanged.model_fields["problem"].annotation)[0]))
    assert set(ASSISTANT_PROBLEMS) == problems
    assert set(texts.FATES) == set(get_args(MessageAcknowledged.model_fields["ack"].annotation))
    assert set(texts.AUTHORS) == set(get_args(MessageRecorded.model_fields["author"].annotation))
    assert {str(state) for state in RunState} <= set(texts.CLEANUP_STATES)
    assert set(chat_texts.STATUSES) == set(get_args(ConversationStatusChanged.model_fields["status"].annotation))
    assert len(MailState) == len(texts.MAIL_STATES)
    assert set(texts.PROCESS_STATES) == {str(state) for state in RunnerState}


def test_every_icon_is_in_the_font() -> None:
    css = (REPOSITORY / "static" / "vendor" / "tabler-icons.min.css").read_text()
    tables = [table for module in (texts, chat_texts) for table in vars(module).values() if isinstance(table, dict)]
    labels = [value for table in tables for value in table.values()]
    icons = {label.icon for label in labels if isinstance(label, texts.Label)}
    icons |= {text.icon for text in SESSION_TEXTS.values()}

    assert {icon for icon in icons if f".ti-{icon}:before" not in css} == set()


def test_pages_bring_no_script_or_style_of_their_own_and_nothing_from_elsewhere() -> None:
    for file in [*Path(REPOSITORY, "templates").rglob("*.html")]:
        if file.parent.name == "email":
            continue
        source = file.read_text()
        for forbidden in (" style=", "<style", " onclick=", "hx-on", "javascript:", "http://", "https://", "<script>"):
            assert forbidden not in source, f"{file.name}: {forbidden}"


@pytest.mark.parametrize("language", ["es", "en"])
def test_the_invitation_is_readable_as_text_and_as_html(language: str) -> None:
    link = "https://flame.example/client/abc"
    name = "Tom & Jerry <b>"
    subject, text, html = render_email("invitation", "es" if language == "es" else "en", {"name": name, "link": link})

    assert "Tom & Jerry <b>" in subject
    assert "\n" not in subject
    assert "Tom & Jerry <b>" in text
    assert "&amp;" not in text
    assert text.count(link) == 1
    assert "\n\n\n" not in text
    assert "Tom &amp; Jerry &lt;b&gt;" in html
    assert html.count(f'href="{link}"') == 2
    assert f'lang="{language}"' in html
    assert ("Conectá" in subject) == (language == "es")
