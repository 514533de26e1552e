"""The tables of states and of message kinds are whole, and every test that they name exists."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from control_plane.portal.chat_texts import OUTCOMES
from control_plane.session_text import Situation
from tenant_runner.contract import SessionReason, SessionState

REPOSITORY = Path(__file__).resolve().parents[1]
STATES = (REPOSITORY / "docs" / "session.md").read_text()
MESSAGES = (REPOSITORY / "docs" / "messages.md").read_text()
TESTS = {
    name
    for file in (REPOSITORY / "tests").rglob("test_*.py")
    for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
}


def rows(text: str) -> list[list[str]]:
    """The cells of every row below a table's head."""
    lines = [*text.splitlines(), ""]
    below_heads = [
        line
        for line, following in pairwise(lines)
        if line.startswith("|") and not line.startswith("|---") and not following.startswith("|---")
    ]
    return [line.strip("|").split(" | ") for line in below_heads]


def quoted(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


@pytest.mark.parametrize("reason", SessionReason)
def test_every_reason_has_its_row(reason: SessionReason) -> None:
    assert any(reason.value in quoted(cells[0]) for cells in rows(STATES)), reason


def test_every_state_and_situation_is_in_the_table() -> None:
    named = {name for cells in rows(STATES) for name in quoted(cells[0])}
    assert {state.value for state in SessionState} <= named
    of_reasons = {reason.value for reason in SessionReason}
    own = {Situation.DELETING, Situation.PAUSED, Situation.SILENT, Situation.CRASHING}
    assert {situation.value for situation in own} <= named - of_reasons


def test_every_row_of_the_states_names_a_test() -> None:
    for cells in rows(STATES):
        assert quoted(cells[-1]), cells[0]


def test_every_test_that_the_states_name_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", STATES))
    assert named <= TESTS, named - TESTS


def test_every_test_that_the_messages_name_exists() -> None:
    # Written as one letter for the file and the test's name without `test_`.
    named = {name for cells in rows(MESSAGES) for name in quoted(cells[-1])}
    assert len(named) > 20
    missing = {name for name in named if f"test_{name}" not in TESTS}
    assert not missing


def test_every_outcome_that_the_portal_explains_is_in_the_tables_and_the_other_way_round() -> None:
    tables = {name for cells in rows(MESSAGES) for cell in cells[:-1] for name in quoted(cell)}
    assert set(OUTCOMES) <= tables
    listed = {name for cells in rows(MESSAGES.partition("## Why there is no answer")[2]) for name in quoted(cells[0])}
    assert listed <= set(OUTCOMES)
