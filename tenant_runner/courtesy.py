"""What a turn is answered with: the assistant's words, or one of the client's own texts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tenant_runner.contract import RunnerConfig
from tenant_runner.journal import Line, Received
from tenant_runner.journal.changes import REVOKED

Notice = Literal["fallback", "unsupported", "too_old", "opt_out"]

UNSUPPORTED = "unsupported_kind"
TOO_OLD = "too_old"
OPTED_OUT = "opted_out"
UNAVAILABLE = "media_unavailable"

# A stale message is apologised for while its sender still remembers it.
LONGEST_APOLOGY_AGE_S = 24 * 3600.0


@dataclass(frozen=True)
class Plan:
    """How to meet a turn.

    Attributes:
        question: what the assistant is asked; empty when it is not.
        notice: the text of the client's own that is sent, beside the answer or alone; None for none.
        media_lost: a file that should have been understood could not be had.
    """

    question: tuple[Line, ...]
    notice: Notice | None
    media_lost: bool = False


def make_plan(messages: list[Received], image_of: Callable[[str], str | None]) -> Plan:
    """Decide from the outcomes that a turn's messages have by now.

    Args:
        messages: all of the turn, oldest first.
        image_of: the picture of a message as a data URL, None when it has none.
    """
    messages = [message for message in messages if message.outcome != REVOKED]
    outcomes = {message.outcome for message in messages}
    if OPTED_OUT in outcomes:
        return Plan((), "opt_out")
    media_lost = UNAVAILABLE in outcomes
    if None in outcomes:
        question = tuple(_line(message, image_of) for message in messages)
        return Plan(question, "unsupported" if UNSUPPORTED in outcomes or media_lost else None)
    if media_lost:
        return Plan((), "fallback", media_lost=True)
    if UNSUPPORTED in outcomes:
        return Plan((), "unsupported")
    return Plan((), "too_old" if TOO_OLD in outcomes else None)


def _line(message: Received, image_of: Callable[[str], str | None]) -> Line:
    note = ""
    words = message.text
    if message.outcome in (UNSUPPORTED, UNAVAILABLE):
        # What such a message carries as text is data, or a caption at best.
        words = message.text if message.kind in ("image", "video", "document") else ""
        note = f"a message of kind {message.kind}, which cannot be read here; the customer is told so separately"
    return Line(message.sequence, "user", words, note=note, image=image_of(message.message_id))


def text_of(notice: Notice, config: RunnerConfig) -> str:
    """The client's own text for an occasion; empty says nothing."""
    return {
        "fallback": config.fallback_text,
        "unsupported": config.unsupported_text,
        "too_old": config.apology_text,
        "opt_out": config.opt_out_text,
    }[notice]
