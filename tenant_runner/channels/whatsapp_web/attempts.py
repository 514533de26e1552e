"""How long to wait before the browser begins anew, and what to say meanwhile."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tenant_runner.contract import SessionReason, SessionState

LONGEST_BACKOFF_S = 60.0
LONGEST_UNSUPPORTED_S = 900.0
ATTEMPTS_UNTIL_FAILED = 4
STEADY_S = 60.0


@dataclass(frozen=True)
class Pause:
    """What comes before the next attempt.

    Attributes:
        attempt: number of the coming attempt, from 1.
    """

    attempt: int
    delay_s: float
    state: SessionState
    next_attempt_at: datetime


class Attempts:
    """Counts failures in a row; a session that stayed connected for a while ends the row."""

    def __init__(self) -> None:
        self._failures = 0

    def failed(self, reason: SessionReason, connected_s: float) -> Pause:
        """One more failure, after having been connected for that long.

        It never says that there is no next attempt: whatever failed, it may be back tomorrow.
        """
        if connected_s >= STEADY_S:
            self._failures = 0
        self._failures += 1
        # A page that wa-js cannot drive stays that way for hours, not seconds.
        longest_s = LONGEST_UNSUPPORTED_S if reason is SessionReason.PAGE_UNSUPPORTED else LONGEST_BACKOFF_S
        delay_s = min(longest_s, 2.0 ** min(self._failures - 1, 20)) * random.uniform(0.5, 1.0)  # noqa: S311 (jitter)
        return Pause(
            attempt=self._failures,
            delay_s=delay_s,
            state=SessionState.STARTING if self._failures < ATTEMPTS_UNTIL_FAILED else SessionState.FAILED,
            next_attempt_at=datetime.now(UTC) + timedelta(seconds=delay_s),
        )
