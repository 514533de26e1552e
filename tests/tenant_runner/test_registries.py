"""A new channel or assistant is one file and one line; these fail until the line is there."""

from typing import Any, get_args

import pytest
from pydantic import BaseModel

from tenant_runner.assistants import ASSISTANTS
from tenant_runner.assistants.automatic import AutomaticReplies
from tenant_runner.assistants.base import Question
from tenant_runner.channels.registry import CHANNELS
from tenant_runner.contract import AssistantConfig, AutomaticAssistant, ChannelConfig, KeywordRule
from tenant_runner.journal import Line


def kinds(union: Any) -> set[str]:
    """The `kind` of every model in a union, annotated or not, or of a single model."""
    if isinstance(union, type) and issubclass(union, BaseModel):
        return {union.model_fields["kind"].default}
    return {kind for part in get_args(union) if get_args(part) or isinstance(part, type) for kind in kinds(part)}


def test_every_channel_of_the_contract_is_registered() -> None:
    assert set(CHANNELS) == kinds(ChannelConfig)


def test_every_assistant_of_the_contract_is_registered() -> None:
    assert set(ASSISTANTS) == kinds(AssistantConfig)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("¿Cuál es el HORARIO?", "horas"),
        ("horários por favor", "otra"),
        ("¿Abrís hoy? Dirección también", "horas"),
        ("la direccion", "calle"),
        ("buenos dias, qué tal", "saludo"),
        ("buenos   DÍAS", "saludo"),
        ("predirección", "otra"),
    ],
)
async def test_the_first_rule_with_a_whole_word_wins(text: str, answer: str) -> None:
    assistant = AutomaticReplies(
        AutomaticAssistant(
            rules=(
                KeywordRule(keywords=("horario", "abrís"), answer="horas"),
                KeywordRule(keywords=("dirección",), answer="calle"),
                KeywordRule(keywords=("buenos días",), answer="saludo"),
            ),
            default_answer="otra",
        )
    )
    assert await assistant.answer(Question("1@c.us", (), (Line(1, "user", text),))) == answer
