"""The models on offer, and which of them is about to be switched off."""

from datetime import UTC, date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_CREATED = 1_780_000_000


class Model(BaseModel):
    """One model.

    Attributes:
        shutdown_date: first day without it, None when none is announced.
        reasons: a reasoning model refuses `temperature` and `top_p`.
        context_tokens: how much input it takes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1, max_length=100)
    shutdown_date: date | None = None
    reasons: bool = True
    hears: bool = False
    context_tokens: int = Field(default=1_000_000, ge=1)

    @property
    def public(self) -> dict[str, Any]:
        """`Model` of OpenAI's specification."""
        return {
            "id": self.id,
            "object": "model",
            "created": _CREATED,
            "owned_by": "system",
            "shutdown_date": self.shutdown_date.isoformat() if self.shutdown_date else None,
        }

    @property
    def is_on(self) -> bool:
        """False from its shutdown date on."""
        return self.shutdown_date is None or self.shutdown_date > datetime.now(UTC).date()


DEFAULT_MODELS = (
    Model(id="gpt-6-luna"),
    Model(id="gpt-6.1-terra"),
    Model(id="gpt-5.6-luna"),
    Model(id="gpt-5.4-mini", shutdown_date=date(2027, 6, 30), context_tokens=400_000),
    Model(id="gpt-4o-mini", shutdown_date=date(2027, 1, 14), reasons=False, context_tokens=128_000),
    Model(id="gpt-transcribe", reasons=False, hears=True, context_tokens=16_000),
    Model(id="gpt-4o-mini-transcribe", reasons=False, hears=True, context_tokens=16_000),
)


class Catalogue:
    """The models, which a test may replace for as long as the process lives."""

    def __init__(self) -> None:
        self.models: tuple[Model, ...] = DEFAULT_MODELS

    def find(self, name: str) -> Model | None:
        """The model of that name, unless it is switched off."""
        return next((model for model in self.models if model.id == name and model.is_on), None)
