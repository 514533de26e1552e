"""Whether the assistant can answer, told once for each change."""

from tenant_runner.assistants.base import Problem
from tenant_runner.contract import AssistantStatusChanged
from tenant_runner.journal import Journal

_FACT = "assistant_problem"
MAX_DETAIL_CHARS = 500


class AssistantHealth:
    """The last known problem survives restarts, so that its end is told too."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def report(self, problem: Problem | None, detail: str | None = None) -> None:
        """Tell of a problem, or of its end with None; nothing happens while it stays the same."""
        async with self._journal.transaction():
            if await self._journal.database.fact(_FACT) == problem:
                return
            await self._journal.database.remember(_FACT, problem)
            await self._journal.outbox.add(
                AssistantStatusChanged(problem=problem, detail=detail[:MAX_DETAIL_CHARS] if detail else None)
            )
