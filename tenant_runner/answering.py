"""From an open turn to a reply in the journal, however long the assistant takes to recover."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tenant_runner.assistants.base import Assistant, Question, Rejected, TenantProblem, Unavailable
from tenant_runner.contract import MAX_TEXT_CHARS, RunnerConfig
from tenant_runner.courtesy import LONGEST_APOLOGY_AGE_S, OPTED_OUT, TOO_OLD, Notice, Plan, make_plan, text_of
from tenant_runner.health import AssistantHealth
from tenant_runner.journal import Journal
from tenant_runner.journal.database import now
from tenant_runner.journal.turns import Turn

logger = logging.getLogger(__name__)

HISTORY_LINES = 60
HANDED_OVER = "handed_over"

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long what is waited for, in seconds.

    Attributes:
        media_s: for a file, while the channel is there.
        undecrypted_s: for the real form of a message that cannot be read.
    """

    answer_s: float = 150.0
    media_s: float = 300.0
    undecrypted_s: float = 180.0
    first_retry_s: float = 2.0
    longest_retry_s: float = 60.0
    give_up_s: float = 600.0
    unavailable_after: int = 3
    slow_retry_s: float = 30.0
    tenant_give_up_s: float = 600.0


class Files(Protocol):
    """The files that turns wait for."""

    async def settle(self, chat_id: str) -> None:
        """Return once every file of a chat is there or given up."""

    def image(self, message_id: str) -> str | None:
        """A picture as a data URL."""
        ...


class Answering:
    """Asks the assistant of the newest configuration; a new one is tried at once by whoever waits.

    Attributes:
        asking: chats in which the assistant is being asked now; what it makes at its provider is not known yet.
    """

    def __init__(self, journal: Journal, config: RunnerConfig, assistant: Assistant, patience: Patience) -> None:
        self._journal = journal
        self._config = config
        self._assistant = assistant
        self._patience = patience
        self._changed = asyncio.Event()
        self.asking: Counter[str] = Counter()
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
        self.asking[question.chat_id] += 1
        try:
            return (await self._attempt(self._assistant.answer(question)))[:MAX_TEXT_CHARS]
        finally:
            self.asking[question.chat_id] -= 1
            self.asking += Counter()

    async def transcribe(self, recording: bytes, mimetype: str | None) -> str:
        """One attempt at what is said in a recording; raises as `ask` does."""
        try:
            return await self._attempt(self._assistant.transcribe(recording, mimetype, self._config.language))
        except TenantProblem as error:
            await self.health.report(error.problem, error.detail)
            raise

    async def _attempt(self, work: Awaitable[T]) -> T:
        assistant = self._assistant
        try:
            async with asyncio.timeout(self._patience.answer_s):
                result = await work
        except (Unavailable, TenantProblem, Rejected):
            raise
        except TimeoutError as error:
            raise Unavailable("no answer in time") from error
        except Exception as error:
            logger.exception("assistant broke")
            raise Unavailable(type(error).__name__) from error
        if assistant is self._assistant:
            await self.health.report(None)
        return result

    async def answer(self, turn: Turn, files: Files) -> Turn | None:
        """Work on a turn until it has a reply in the journal; None when it was closed without one."""
        unavailable_since: float | None = None
        while True:
            await files.settle(turn.chat_id)
            await self._journal.turns.adopt_pending(turn)
            if turn.failing_since is None:
                await self._mark_too_old(turn)
            plan = make_plan(await self._journal.messages.of_turn(turn.turn_id), files.image)
            silence = await self._journal.chats.silence(turn.chat_id)
            if silence is not None and not (silence == "opted_out" and plan.notice == "opt_out"):
                await self._close(turn, silence)
                return None
            if not plan.question:
                return await self._be_courteous(turn, plan)
            history = await self._journal.messages.history(turn.chat_id, but_turn=turn.turn_id, limit=HISTORY_LINES)
            changed = self._changed
            try:
                reply = await self.ask(Question(turn.chat_id, tuple(history), plan.question))
            except Rejected as error:
                logger.warning("question rejected", extra={"chat_id": turn.chat_id})
                if not error.by_policy:
                    await self.health.report("rejected", error.detail)
                return await self._fall_back(turn, "rejected")
            except TenantProblem as error:
                turn = await self._journal.turns.failed(turn)
                logger.warning("assistant cannot answer", extra={"problem": error.problem, "attempt": turn.attempts})
                async with self._journal.transaction():
                    await self.health.report(error.problem, error.detail)
                    await self._journal.chats.wait_for_human(turn.chat_id, error.problem)
                if now() - (turn.failing_since or now()) > self._patience.tenant_give_up_s:
                    return await self._fall_back(turn, error.problem)
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
                beside = text_of(plan.notice, self._config).strip() if plan.notice else ""
                return await self._journal.turns.replied(turn, f"{reply}\n\n{beside}" if beside else reply)

    async def _mark_too_old(self, turn: Turn) -> None:
        """After an outage of this runner nobody wants a burst of late answers."""
        newest = await self._journal.messages.newest_of_turn(turn.turn_id)
        if newest is not None and now() - newest > self._config.too_old_s:
            await self._journal.changes.conclude(turn.turn_id, TOO_OLD)

    async def _be_courteous(self, turn: Turn, plan: Plan) -> Turn | None:
        """A turn that the assistant is not asked about: one of the client's own texts, or nothing."""
        if plan.media_lost:
            return await self._fall_back(turn, "media_unavailable")
        if plan.notice is None:
            await self._close(turn, "nothing_to_answer")
            return None
        async with self._journal.transaction():
            if plan.notice == "too_old":
                await self._journal.chats.wait_for_human(turn.chat_id, TOO_OLD)
            text = text_of(plan.notice, self._config)
            if not text or not await self._is_due(turn, plan.notice):
                await self._close(turn, OPTED_OUT if plan.notice == "opt_out" else plan.notice)
                return None
            return await self._journal.turns.replied(turn, text, notice=plan.notice)

    async def apologise(self, turn: Turn, reason: str) -> Turn | None:
        """A reply that became too late: an apology instead of it, where one is due; None when the turn was closed."""
        async with self._journal.transaction():
            await self._journal.chats.wait_for_human(turn.chat_id, reason)
            await self._journal.changes.conclude(turn.turn_id, reason)
            if not self._config.apology_text or not await self._is_due(turn, "too_old"):
                await self._close(turn, reason)
                return None
            return await self._journal.turns.replied(turn, self._config.apology_text, notice="too_old")

    async def _is_due(self, turn: Turn, notice: Notice) -> bool:
        if notice == "opt_out":
            return await self._journal.chats.confirm_opt_out(turn.chat_id)
        if notice == "too_old":
            sent_at = await self._journal.messages.newest_sent_at_of_turn(turn.turn_id)
            fresh = sent_at is not None and now() - sent_at < LONGEST_APOLOGY_AGE_S
            return fresh and await self._journal.chats.apologise(turn.chat_id)
        return True

    async def _close(self, turn: Turn, outcome: str) -> None:
        async with self._journal.transaction():
            await self._journal.changes.conclude(turn.turn_id, outcome)
            await self._journal.turns.close(turn, outcome)

    def _retry_delay(self, attempts: int, asked_s: float) -> float:
        delay_s: float = min(
            self._patience.longest_retry_s, self._patience.first_retry_s * 2.0 ** min(attempts - 1, 10)
        )
        return max(delay_s * random.uniform(0.75, 1.0), min(asked_s, self._patience.longest_retry_s))  # noqa: S311

    async def _fall_back(self, turn: Turn, reason: str) -> Turn | None:
        """Leave a turn to a person; the customer is told so once, until they are answered again."""
        async with self._journal.transaction():
            await self._journal.chats.wait_for_human(turn.chat_id, reason)
            await self._journal.changes.conclude(turn.turn_id, HANDED_OVER)
            if not await self._journal.chats.apologise(turn.chat_id):
                await self._close(turn, HANDED_OVER)
                return None
            return await self._journal.turns.replied(turn, self._config.fallback_text, notice="fallback")


async def _wait(event: asyncio.Event, longest_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(longest_s):
            await event.wait()
