import time

import pytest

from control_plane.accounts.service import AttemptLimiter, TooManyAttempts


async def test_the_limit_holds_over_the_turn_of_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_800_000_000.0 - 1_800_000_000 % 60 + 59.5
    monkeypatch.setattr(time, "time", lambda: now)
    limiter = AttemptLimiter(5)
    for _ in range(5):
        await limiter.count("somebody")
    now += 1
    with pytest.raises(TooManyAttempts):
        await limiter.count("somebody")
    now += 60
    await limiter.count("somebody")
