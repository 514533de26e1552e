"""What a runner delivers, without a runner."""

from datetime import UTC, datetime
from typing import Any

from bench.site import Site, make_event
from control_plane.clients.models import Client
from control_plane.clients.stored_secrets import read_runner_token
from control_plane.database import Document
from tenant_runner.contract import EVENTS_PATH, START_PATH, TOKEN_HEADER


class RunnerSide:
    """Delivers a client's events as its runner's courier does: up to 200 in one request, the session with each."""

    def __init__(self, site: Site, client: Client) -> None:
        self._http = site.visitor
        self._headers = {TOKEN_HEADER: read_runner_token(client, site.cipher)}
        self._started_at = datetime.now(UTC)
        self._fence = 0
        self.sequence = 0

    async def deliver(self, events: list[dict[str, Any]]) -> None:
        """Post until all of them are accepted: a slow control plane takes a part at a time."""
        if not self._fence:
            self._fence = (await self._http.post(START_PATH, headers=self._headers)).json()["fence"]
        while events:
            body = {
                "instance": "bench",
                "fence": self._fence,
                "started_at": self._started_at.isoformat(),
                "journal_id": "bench",
                "config_revision": 1,
                "session": {"state": "WORKING", "reason": "connected", "since": self._started_at.isoformat()},
                "events": events,
            }
            answer = await self._http.post(EVENTS_PATH, headers=self._headers, json=body)
            answer.raise_for_status()
            through = answer.json()["accepted_through"]
            events = [event for event in events if event["sequence"] > through]

    def number(self, documents: list[Document]) -> list[dict[str, Any]]:
        """The events of messages, numbered on."""
        first = self.sequence + 1
        self.sequence += len(documents)
        return [make_event(document, number) for number, document in enumerate(documents, start=first)]
