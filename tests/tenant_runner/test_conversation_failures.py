"""An assistant that fails, for a while or for good: what the customer reads, and what the agency is told."""

from dataclasses import replace
from typing import Any

import pytest

from tenant_runner.assistants.base import Rejected, TenantProblem, Unavailable
from tenant_runner.contract import (
    MessageChanged,
    MessageRecorded,
)
from tests.conftest import wait_for
from tests.tenant_runner.fake_channel import incoming
from tests.tenant_runner.house import CHAT, House, ScriptedAssistant


async def test_a_passing_failure_is_retried_and_nobody_hears_of_it(house: House) -> None:
    house.assistant.failures = [Unavailable("503"), Unavailable("timeout")]
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.texts == ["re: hola"]
    assert await house.problems() == []


async def test_a_long_failure_is_told_and_ends_in_the_fallback_text_once(house: House) -> None:
    house.patience = replace(house.patience, give_up_s=2)
    await house.restart()
    house.assistant.failures = [Unavailable("secret words of the provider")] * 1000
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.texts == [house.config.fallback_text]
    assert await house.problems() == ["unavailable"]
    assert await house.statuses() == [(CHAT, "waiting_for_human", "unavailable")]
    assert await house.outcomes() == [("chat", "handed_over")]
    house.assistant.failures = []
    await house.receive(incoming("¿hay alguien?"))
    await house.settled()
    assert house.channel.texts[1:] == ["re: ¿hay alguien?"]
    assert await house.problems() == ["unavailable", None]
    assert (await house.statuses())[-1] == (CHAT, "automatic", None)


@pytest.mark.parametrize(
    "failure",
    [
        Unavailable("secret words of the provider"),
        TenantProblem("no_quota", "secret words of the provider"),
        TenantProblem("bad_key", "secret words of the provider"),
        Rejected("secret words of the provider"),
        Rejected("secret words of the provider", by_policy=True),
        ZeroDivisionError("secret words of the provider"),
    ],
    ids=["unavailable", "no_quota", "bad_key", "rejected", "refused", "bug"],
)
async def test_whatever_fails_for_good_the_customer_reads_the_fallback_text_once_and_never_the_cause(
    house: House, failure: Exception
) -> None:
    house.patience = replace(house.patience, give_up_s=0.3, tenant_give_up_s=0.3)
    await house.restart()
    house.assistant.failures = [failure] * 1000
    for text in ("hola", "¿hay alguien?"):
        await house.receive(incoming(text))
        await house.settled()
    assert house.channel.texts == [house.config.fallback_text]
    assert await house.outcomes() == [("chat", "handed_over")] * 2
    assert [status[:2] for status in await house.statuses()] == [(CHAT, "waiting_for_human")]
    told = [event.text or "" for event in await house.events() if isinstance(event, MessageRecorded | MessageChanged)]
    assert not any("secret words" in text for text in told)


async def test_a_rejected_question_gets_the_fallback_text_at_once(house: House) -> None:
    house.assistant.failures = [Rejected("policy", by_policy=True)]
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.texts == [house.config.fallback_text]
    assert await house.problems() == []
    assert await house.statuses() == [(CHAT, "waiting_for_human", "rejected")]


async def test_a_bad_key_is_told_at_once_and_a_new_one_answers_what_waits(house: House) -> None:
    house.patience = replace(house.patience, slow_retry_s=60)
    await house.restart()
    house.assistant.failures = [TenantProblem("bad_key", "Incorrect API key")]
    await house.receive(incoming("hola"))

    async def told() -> Any:
        return await house.problems() == ["bad_key"]

    await wait_for(told)
    assert house.channel.sent == []
    assert await house.statuses() == [(CHAT, "waiting_for_human", "bad_key")]
    await house.receive(incoming("¿hola?"))
    await house.answering.apply(house.config.model_copy(update={"revision": 2}), ScriptedAssistant())
    await house.settled()
    assert house.channel.texts == ["re: hola + ¿hola?"]
    assert await house.problems() == ["bad_key", None]


async def test_no_quota_recovers_by_itself_when_there_is_some_again(house: House) -> None:
    house.assistant.failures = [TenantProblem("no_quota", "…"), TenantProblem("no_quota", "…")]
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.texts == ["re: hola"]
    assert await house.problems() == ["no_quota", None]


async def test_an_assistant_that_breaks_is_treated_as_unavailable(house: House) -> None:
    house.assistant.failures = [ZeroDivisionError()]
    await house.receive(incoming("hola"))
    await house.settled()
    assert house.channel.texts == ["re: hola"]
