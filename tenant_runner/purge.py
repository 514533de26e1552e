"""Deleting what is past its time, here and at the assistant's provider."""

import asyncio
import logging
import time
from datetime import datetime

from tenant_runner.assistants.base import Assistant, AssistantFailure, TenantProblem
from tenant_runner.contract import PurgeReport
from tenant_runner.journal import Journal
from tenant_runner.journal.database import now
from tenant_runner.journal.threads import RemoteConversation

logger = logging.getLogger(__name__)

AT_ONCE = 4
ONE_CONVERSATION_S = 60.0


async def purge(
    journal: Journal, assistant: Assistant | None, before: datetime | None, *, budget_s: float
) -> PurgeReport:
    """Delete what was last active before a time.

    Args:
        journal: where everything is listed.
        assistant: deletes at the provider; None when its key is not known, then what is there stays listed.
        before: None deletes everything, told to the control plane or not.
        budget_s: time for the provider; what is not done by then is left for the next run.
    """
    at = None if before is None else before.timestamp()
    listed = await journal.threads.remote(at)
    deleted, problems = await _forget(journal, assistant, listed, budget_s)
    threads = await journal.threads.forget(at)
    if at is None:
        messages = await journal.retention.delete_everything()
    else:
        messages = await journal.retention.delete_messages(at)
    report = PurgeReport(
        messages=messages,
        threads=threads,
        remote_conversations=deleted,
        failed=len(listed) - deleted,
        detail="; ".join(sorted(problems)) or None,
    )
    logger.info("purged", extra=report.model_dump(exclude={"detail"}))
    return report


async def erase(
    journal: Journal,
    assistant: Assistant | None,
    chat_ids: tuple[str, ...],
    before: datetime | None,
    *,
    budget_s: float,
) -> PurgeReport:
    """Delete what is known of some chats; safe to repeat, and to be repeated while `failed` is not 0.

    Args:
        journal: where everything is listed.
        assistant: deletes at the provider; None when its key is not known, then what is there stays listed.
        chat_ids: every address of one person; nothing may be worked on in them meanwhile.
        before: who writes after it is a new contact; None erases everything until now. Conversations at the provider
            go whatever their age: one that is still needed is built again from what is left.
        budget_s: time for the provider; what is not done by then is left for the next time.
    """
    # Here first: what the provider does not give up yet holds up nothing else.
    async with journal.transaction():
        threads = await journal.threads.erase(chat_ids)
        messages = await journal.retention.erase_chats(chat_ids, now() if before is None else before.timestamp())
    listed = await journal.threads.remote_of(chat_ids)
    deleted, problems = await _forget(journal, assistant, listed, budget_s)
    # `gone` empties their rows too, and the log holds them until it is folded in.
    await journal.database.fold_log()
    report = PurgeReport(
        messages=messages,
        threads=threads,
        remote_conversations=deleted,
        failed=len(listed) - deleted,
        detail="; ".join(sorted(problems)) or None,
    )
    logger.info("chats erased", extra={"chats": len(chat_ids), **report.model_dump(exclude={"detail"})})
    return report


async def retire(journal: Journal, assistant: Assistant, *, budget_s: float) -> None:
    """Delete the conversations of an assistant whose key is being replaced, for as long as the key is known."""
    try:
        if assistant.key_fingerprint:
            listed = await journal.threads.remote(None, assistant.key_fingerprint)
            deleted, _ = await _forget(journal, assistant, listed, budget_s)
            logger.info("former key's conversations deleted", extra={"deleted": deleted, "listed": len(listed)})
    finally:
        await assistant.close()


async def _forget(
    journal: Journal, assistant: Assistant | None, listed: list[RemoteConversation], budget_s: float
) -> tuple[int, set[str]]:
    problems: set[str] = set()
    if not listed:
        return 0, problems
    if assistant is None or not assistant.key_fingerprint:
        return 0, {"the provider's key is not known, its conversations stay listed"}
    ends = time.monotonic() + budget_s
    waiting = list(reversed(listed))
    deleted = 0

    async def work() -> None:
        nonlocal deleted
        while waiting and (left_s := ends - time.monotonic()) > 0:
            remote = waiting.pop()
            try:
                async with asyncio.timeout(min(ONE_CONVERSATION_S, left_s)):
                    await assistant.forget(remote)
            except TimeoutError:
                problems.add("the provider did not answer in time")
            except TenantProblem as error:
                problems.add(error.problem)
                waiting.clear()
            except AssistantFailure:
                problems.add("the provider failed")
            else:
                await journal.threads.gone(remote.conversation_id)
                deleted += 1
                if remote.key_fingerprint != assistant.key_fingerprint:
                    problems.add("some conversations were made with a former key; only the new one could be asked")

    await asyncio.gather(*(work() for _ in range(min(AT_ONCE, len(listed)))))
    if waiting:
        problems.add("some conversations are left for the next run")
    return deleted, problems
