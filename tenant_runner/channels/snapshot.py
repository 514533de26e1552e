"""The session as the outside sees it: one new version for each real change, none for a repetition."""

import logging
from datetime import UTC, datetime
from typing import Any

from tenant_runner.contract import SessionChanged, SessionReason, SessionState

logger = logging.getLogger(__name__)

# What makes no news.
_SILENT = {"version", "since", "last_round_trip_at"}


class Snapshot:
    """Holds the newest `SessionChanged`; versions go on from those of the channel before.

    Attributes:
        page_version: version of the page, part of every change from now on; set by whoever learns of it.
    """

    def __init__(self, version: int = 0) -> None:
        self.page_version: str | None = None
        self.session = SessionChanged(
            state=SessionState.STOPPED, reason=SessionReason.STOPPED, since=datetime.now(UTC), version=version
        )

    def change(self, state: SessionState, reason: SessionReason, **facts: Any) -> bool:
        """Replace the session: facts not given are none. Returns whether anything is new."""
        now = datetime.now(UTC)
        old = self.session
        since = old.since if (old.state, old.reason) == (state, reason) else now
        new = SessionChanged(
            version=old.version + 1,
            state=state,
            reason=reason,
            since=since,
            last_round_trip_at=old.last_round_trip_at,
            page_version=self.page_version,
            **facts,
        )
        if old.model_dump(exclude=_SILENT) == new.model_dump(exclude=_SILENT):
            return False
        self.session = new
        if (old.state, old.reason, old.phase, old.attempt) != (state, reason, new.phase, new.attempt):
            logger.info(
                "session changed",
                extra={
                    "state": state.value,
                    "reason": reason.value,
                    "phase": new.phase,
                    "attempt": new.attempt,
                    "detail": new.detail,
                },
            )
        return True

    def round_trip(self) -> None:
        """WhatsApp just proved that it answers; no new version."""
        self.session = self.session.model_copy(update={"last_round_trip_at": datetime.now(UTC)})
