"""The brake on crash loops: a launcher starts what dies again at once and for ever; this says when that must end."""

from datetime import datetime, timedelta
from typing import Self

from pydantic import BaseModel, ConfigDict

WINDOW = timedelta(minutes=10)
CRASHES = 5
FIRST_HOLD = timedelta(seconds=15)
LONGEST_HOLD = timedelta(minutes=15)


class Brake(BaseModel):
    """One runner's crashes. Immutable: each method answers the brake that follows.

    Attributes:
        crashes: times of the last ones, oldest first, within `WINDOW`.
        holds: how often in a row the runner was held; each hold lasts twice as long as the one before.
        held_until: the runner stays stopped until then.
    """

    model_config = ConfigDict(frozen=True)

    crashes: tuple[datetime, ...] = ()
    holds: int = 0
    held_until: datetime | None = None

    def is_on(self, now: datetime) -> bool:
        """Whether the runner must not run."""
        return self.held_until is not None and now < self.held_until

    def is_released(self, now: datetime) -> bool:
        """Whether a hold is over and the runner was not tried again yet."""
        return self.held_until is not None and now >= self.held_until

    def crashed(self, now: datetime) -> Self:
        """A run ended by itself: hold after `CRASHES` of them within `WINDOW`."""
        crashes = (*(at for at in self.crashes if now - at < WINDOW), now)
        braked = self.model_copy(update={"crashes": crashes})
        return braked.hold(now) if len(crashes) >= CRASHES else braked

    def hold(self, now: datetime) -> Self:
        """Keep the runner stopped for a while, longer each time."""
        length = min(LONGEST_HOLD, FIRST_HOLD * 2 ** min(self.holds, 16))
        return self.model_copy(update={"crashes": (), "holds": self.holds + 1, "held_until": now + length})

    def tried(self) -> Self:
        """The runner is being started after a hold."""
        return self.model_copy(update={"held_until": None})

    def ran(self, started_at: datetime, now: datetime) -> Self:
        """A run goes on: a whole `WINDOW` without a crash makes all forgotten."""
        return type(self)() if now - started_at >= WINDOW else self
