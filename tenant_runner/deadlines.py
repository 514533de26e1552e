"""What ends by time alone: a person's hold on a chat, the wait for a message's real form."""

import asyncio
import logging
from contextlib import suppress

from tenant_runner.answering import Patience
from tenant_runner.journal import Journal
from tenant_runner.journal.changes import UNDECRYPTED
from tenant_runner.journal.database import now

logger = logging.getLogger(__name__)

LONGEST_SLEEP_S = 60.0
AFTER_A_BUG_S = 5.0


class Deadlines:
    """Sleeps until the next deadline of the journal; a new one wakes it."""

    def __init__(self, journal: Journal, patience: Patience) -> None:
        self._journal = journal
        self._patience = patience
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def nudge(self) -> None:
        """There may be an earlier deadline than before."""
        self._news.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="deadlines")

    async def stop(self) -> None:
        """Stop watching; the deadlines are in the journal."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            self._news.clear()
            try:
                left_s = await self._keep()
            except Exception:
                logger.exception("deadlines not kept")
                left_s = AFTER_A_BUG_S
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._news.wait()

    async def _keep(self) -> float:
        """Do what is due; returns in how many seconds to look again."""
        for chat_id in await self._journal.chats.give_back():
            logger.info("assistant answers again", extra={"chat_id": chat_id})
        for message in await self._journal.changes.give_up_decryption(now() - self._patience.undecrypted_s):
            logger.warning("message stayed undecrypted", extra={"message_id": message.message_id})
            if message.author == "contact":
                await self._journal.chats.wait_for_human(message.chat_id, UNDECRYPTED)
        next_give_back = await self._journal.chats.next_give_back()
        oldest = await self._journal.changes.oldest_undecrypted()
        deadlines = [now() + LONGEST_SLEEP_S]
        if next_give_back is not None:
            deadlines.append(next_give_back)
        if oldest is not None:
            deadlines.append(oldest + self._patience.undecrypted_s)
        return max(0.0, min(deadlines) - now())
