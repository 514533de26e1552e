"""Whose turn it is to start: a machine that comes back must not start every browser at once."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

from control_plane.clients.models import Client
from control_plane.runners.launchers.base import ObservedRunner, ProcessState
from control_plane.runners.models import Heard, Runner

# A start whose session did not come up within this time does not hold up the others any more.
START_PATIENCE = timedelta(seconds=90)


class StartQueue:
    """Clients that wait for their start, the one that waits longest first; as many as there are places may start.

    Attributes:
        places: how many may start now.
        at: when it was lined up; whoever must wait from now on waits since then, so that all of a pass are equals.
    """

    def __init__(self, places: int, waiting: Collection[tuple[Client, Runner]], now: datetime) -> None:
        self.places = max(0, places)
        self.at = now
        # Whoever begins to wait now comes after all who wait already; among those, the longest unchanged client first.
        ordered = sorted(waiting, key=lambda pair: (pair[1].waiting_since or now, pair[0].updated_at, pair[0].id))
        self._positions = {client.id: position for position, (client, _) in enumerate(ordered)}

    def count_before(self, client_id: str) -> int | None:
        """How many wait before this client; None when it may start now."""
        before = self._positions.get(client_id, len(self._positions)) - self.places
        return before if before >= 0 else None


def find_starting(observed: Collection[ObservedRunner], heard: Mapping[str, Heard]) -> set[str]:
    """Clients whose runners are on their way up: started, and their session has not left its first phases.

    Args:
        observed: what the launcher sees.
        heard: what each runner said last.
    """
    now = datetime.now(UTC)
    return {o.client_id for o in observed if _is_starting(o, heard.get(o.client_id), now)}


def _is_starting(runner: ObservedRunner, heard: Heard | None, now: datetime) -> bool:
    if runner.state not in (ProcessState.STARTING, ProcessState.RUNNING) or runner.started_at is None:
        return False
    if now - runner.started_at >= START_PATIENCE:
        return False
    return heard is None or heard.at <= runner.started_at or heard.is_starting
