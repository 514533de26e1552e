"""What a reply costs, counted: seconds depend on the machine, these numbers do not."""

import asyncio
from types import SimpleNamespace

import pytest

from tenant_runner.contract import Pacing
from tests.tenant_runner.fake_channel import incoming
from tests.tenant_runner.house import House

# Fewer is fine, more needs a reason.
MOST_TRANSACTIONS = 9
MOST_STATEMENTS = 90


@pytest.fixture
def unpaced(house: House) -> House:
    house.configure(debounce_s=0, pacing=Pacing(gap_s=0, typing_s=0))
    return house


async def test_an_answered_message_takes_few_transactions_and_statements(unpaced: House) -> None:
    statements: list[str] = []
    await unpaced.receive(incoming("primero"))
    await unpaced.settled()
    connection = unpaced.journal.database._connection
    connection.set_trace_callback(statements.append)
    try:
        await unpaced.receive(incoming("segundo"))
        await unpaced.settled()
    finally:
        connection.set_trace_callback(None)
    assert unpaced.channel.texts == ["re: primero", "re: segundo"]
    written = _transactions_that_write(statements)
    assert len(written) <= MOST_TRANSACTIONS, written
    looking = [statement for statement in statements if "count(*)" not in statement]
    assert len(looking) <= MOST_STATEMENTS, len(looking)


async def test_without_debounce_pacing_and_typing_nothing_sleeps(
    unpaced: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    for module in ("conversation", "replying", "outgoing", "answering", "media"):
        monkeypatch.setattr(f"tenant_runner.{module}.asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))
    await unpaced.receive(incoming("hola"))
    await unpaced.settled()
    assert unpaced.channel.texts == ["re: hola"]
    assert slept == []


def _transactions_that_write(statements: list[str]) -> list[list[str]]:
    written: list[list[str]] = []
    current: list[str] = []
    for statement in statements:
        word = statement.split()[0]
        if word == "BEGIN":
            current = []
        elif word in ("INSERT", "UPDATE", "DELETE"):
            current.append(statement)
        elif word == "COMMIT" and current:
            written.append(current)
    return written
