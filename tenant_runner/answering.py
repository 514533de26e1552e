"""From an open turn to a reply in the journal, however long the assistant takes to recover."""

import asyncio
import logging
import random
import time
from dataclasses import dataclass

from tenant_runner.assistants.base import Assistant, Question, Rejected, TenantProblem, Unavailable
from tenant_runner.contract import MAX_TEXT_CHARS, RunnerConfig
from tenant_runner.health import AssistantHealth
from tenant_runner.journal import Journal
from tenant_runner.journal.database import now
from tenant_runner.journal.turns import Turn

logger = logging.getLogger(__name__)

HISTORY_LINES = 60


@dataclass(frozen=True)
class Patience:
    """How long what is waited for, in seconds."""

    answer_s: float = 150.0
    too_old_s: float = 15 * 60.0
    first_retry_s: float = 2.0
    longest_retry_s: float = 60.0
    give_up_s: float = 600.0
    unavailable_after: int = 3
    slow_retry_s: float = 30.0
    tenant_give_up_s: float = 6 * 3600.0


class Answering:
    """Asks the assistant of the newest configuration; a new one is tried at once by whoever waits."""

    def __init__(self, journal: Journal, config: RunnerConfig, assistant: Assistant, patience: Patience) -> None:
        self._journal = journal
        self._config = config
        self._assistant = assistant
        self._patience = patience
        self._changed = asyncio.Event()
        self.health = AssistantHealth(journal)

    @property
    def config(self) -> RunnerConfig:
        """The newest configuration."""
        return self._config

    @property
    def assistant(self) -> Assistant:
        """The newest assistant."""
        return self._assistant

    async def apply(self, config: RunnerConfig, assistant: Assistant | None) -> None:
        """Take over a new configuration; `assistant` is None when that part stays as it is."""
        self._config = config
        if assistant is not None:
            self._assistant = assistant
            # What was said of the former one is not true of this one.
            await self.health.report(None)
        waiting, self._changed = self._changed, asyncio.Event()
        waiting.set()

    async def ask(self, question: Question) -> str:
        """One attempt; raises as `Assistant.answer` says, and `Unavailable` for whatever else goes wrong."""
        assistant = self._assistant
        try:
            reply = await asyncio.wait_for(assistant.answer(question), self._patience.answer_s)
        except (Unavailable, TenantProblem, Rejected):
            raise
        except TimeoutError as error:
            raise Unavailable("no answer in time") from error
        except Exception as error:
            logger.exception("assistant broke")
            raise Unavailable(type(error).__name__) from error
        if assistant is self._assistant:
            await self.health.report(None)
        return reply[:MAX_TEXT_CHARS]

    async def answer(self, turn: Turn) -> Turn | None:
        """Work on a turn until it has a reply in the journal; None when it was closed without one."""
        unavailable_since: float | None = None
        if turn.failing_since is None and await self._is_too_late(turn):
            return None
        while True:
            if await self._journal.chats.suspended(turn.chat_id):
                await self._journal.turns.close(turn, "suspended")
                return None
            await self._journal.turns.adopt_pending(turn)
            history = await self._journal.messages.history(turn.chat_id, but_turn=turn.turn_id, limit=HISTORY_LINES)
            new = await self._journal.messages.of_turn(turn.turn_id)
            changed = self._changed
            try:
                reply = await self.ask(Question(turn.chat_id, tuple(history), tuple(new)))
            except Rejected as error:
                logger.warning("question rejected", extra={"chat_id": turn.chat_id})
                if not error.by_policy:
                    await self.health.report("rejected", error.detail)
                return await self._fall_back(turn, "rejected")
            except TenantProblem as error:
                turn = await self._journal.turns.failed(turn)
                logger.warning("assistant cannot answer", extra={"problem": error.problem, "attempt": turn.attempts})
                await self.health.report(error.problem, error.detail)
                await self._journal.chats.wait_for_human(turn.chat_id, error.problem)
                if now() - (turn.failing_since or now()) > self._patience.tenant_give_up_s:
                    await self._journal.turns.close(turn, "assistant_failed")
                    return None
                await _wait(changed, self._patience.slow_retry_s)
            except Unavailable as error:
                turn = await self._journal.turns.failed(turn)
                unavailable_since = unavailable_since or time.monotonic()
                logger.warning("assistant unavailable", extra={"attempt": turn.attempts})
                if turn.attempts > self._patience.unavailable_after:
                    await self.health.report("unavailable", error.detail)
                if time.monotonic() - unavailable_since > self._patience.give_up_s:
                    return await self._fall_back(turn, "unavailable")
                await _wait(changed, self._retry_delay(turn.attempts, error.retry_after_s))
            else:
                return await self._journal.turns.replied(turn, reply)

    async def _is_too_late(self, turn: Turn) -> bool:
        """After an outage of this runner nobody wants a burst of late answers; a person is told instead."""
        newest = await self._journal.messages.newest_of_turn(turn.turn_id)
        if newest is None or now() - newest <= self._patience.too_old_s:
            return False
        async with self._journal.transaction():
            await self._journal.chats.wait_for_human(turn.chat_id, "too_old")
            await self._journal.turns.close(turn, "too_old")
        return True

    def _retry_delay(self, attempts: int, asked_s: float) -> float:
        delay_s: float = min(
            self._patience.longest_retry_s, self._patience.first_retry_s * 2.0 ** min(attempts - 1, 10)
        )
        return max(delay_s * random.uniform(0.75, 1.0), min(asked_s, self._patience.longest_retry_s))  # noqa: S311

    async def _fall_back(self, turn: Turn, reason: str) -> Turn:
        async with self._journal.transaction():
            await self._journal.chats.wait_for_human(turn.chat_id, reason)
            return await self._journal.turns.replied(turn, self._config.fallback_text, fallback=True)


async def _wait(event: asyncio.Event, longest_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), longest_s)
    except TimeoutError:
        return
