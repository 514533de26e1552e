"""Two machines that answer each other never stop by themselves."""

from tenant_runner.journal import Journal
from tenant_runner.journal.turns import Turn
from tenant_runner.words import fold

MACHINE_S = 3.0


class LoopBreaker:
    """Counts exchanges in a row that look like a machine's: an answer at once, or the same text again."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def is_loop(self, turn: Turn, limit: int) -> bool:
        """Count a turn that has just begun; whether there were too many in a row (0 never)."""
        count = await self._journal.chats.count_exchange(turn.chat_id, machine_like=await self._looks_like_one(turn))
        return 0 < limit <= count

    async def _looks_like_one(self, turn: Turn) -> bool:
        since_s = await self._journal.turns.since_reply(turn)
        if since_s is None:
            return False
        if since_s < MACHINE_S:
            return True
        texts = fold(" ".join(await self._journal.turns.texts_of(turn)))
        return texts != "" and texts == fold(" ".join(await self._journal.turns.texts_of(turn, before=True)))
