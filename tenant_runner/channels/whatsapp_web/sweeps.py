"""When to look through the chats: the page tells most messages by events, and some by none.

None comes for what arrived before the page was ready to tell, nor for the real form of a message that was not decrypted
yet when the page was loaded.
"""

SOON_S = (5.0, 30.0)
SEALED_S = 5.0
EVERY_S = 300.0


class Sweeps:
    """Looks when the session connects, soon again, and now and then; often while a message waits for its real form."""

    def __init__(self) -> None:
        self._soon: list[float] = []
        self._last = 0.0
        self._failed = 0

    def connected(self, now: float) -> None:
        """The session just connected (monotonic seconds, here and below)."""
        self._soon = [now, *(now + later for later in SOON_S)]

    def want(self) -> None:
        """Something was told and not stored: look at once."""
        self._soon.insert(0, 0.0)

    def is_near(self, *, sealed: bool) -> bool:
        """Whether to ask `due` every second.

        Args:
            sealed: a message waits for its real form.
        """
        return sealed or bool(self._soon)

    def due(self, now: float, *, sealed: bool) -> bool:
        """Whether to look now."""
        planned = bool(self._soon) and self._soon[0] <= now
        return planned or now - self._last >= (SEALED_S if sealed else EVERY_S)

    def done(self, now: float) -> None:
        """Everything was read."""
        self._failed = 0
        self._looked(now)

    def failed(self, now: float) -> None:
        """Not everything could be read: look again soon, later each time."""
        self._looked(now)
        self._soon = sorted((*self._soon, now + min(EVERY_S, SOON_S[0] * 2**self._failed)))
        self._failed += 1

    def _looked(self, now: float) -> None:
        self._last = now
        self._soon = [at for at in self._soon if at > now]
