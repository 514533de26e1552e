"""Texts that a person or a program has sent through the API: promised, then sent at most once, never paced."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tenant_runner.answering import Answering
from tenant_runner.channels.base import Channel
from tenant_runner.journal import Journal
from tenant_runner.journal.database import now
from tenant_runner.journal.outbound import Outbound
from tenant_runner.outgoing import Outgoing

logger = logging.getLogger(__name__)

AGENT_WROTE = "agent_wrote"


class Requests:
    """What was asked for beside the turns."""

    def __init__(
        self,
        journal: Journal,
        answering: Answering,
        outgoing: Outgoing,
        working_channel: Callable[[], Awaitable[Channel]],
    ) -> None:
        self._journal = journal
        self._answering = answering
        self._outgoing = outgoing
        self._working_channel = working_channel
        self._chats: dict[asyncio.Task[None], str] = {}

    @property
    def busy(self) -> bool:
        """Whether something is on its way."""
        return bool(self._chats)

    async def resume(self) -> None:
        """Go on with what an earlier run left unfinished."""
        for outbound in await self._journal.outbound.unfinished_requests():
            self._send_later(outbound)

    async def stop(self) -> None:
        """Stop working; everything unfinished is in the journal."""
        tasks = list(self._chats)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def drop(self, chat_ids: tuple[str, ...]) -> None:
        """Nothing is sent any more in these chats; returns when nobody works on it."""
        tasks = [task for task, chat_id in self._chats.items() if chat_id in chat_ids]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def send(self, chat_id: str, text: str, *, request_key: str) -> Outbound:
        """Promise to send a text; the same key gives the same promise. The assistant leaves the chat to the sender.

        Raises:
            ChannelNotReady: nothing was promised.
        """
        known = await self._journal.outbound.of_request(request_key)
        if known is not None:
            return known
        channel = await self._working_channel()
        message_id = await channel.new_message_id(chat_id)
        async with self._journal.transaction():
            outbound = await self._journal.outbound.prepare(
                message_id=message_id, chat_id=chat_id, author="agent", text=text, request_key=request_key
            )
            if outbound.message_id == message_id:
                await self._journal.chats.take_over(
                    chat_id, reason=AGENT_WROTE, said_at=now(), for_s=self._answering.config.takeover_s
                )
        if outbound.message_id == message_id:
            self._send_later(outbound)
        return outbound

    def _send_later(self, outbound: Outbound) -> None:
        async def send() -> None:
            try:
                fate = await self._outgoing.deliver(outbound)
                logger.info("request sent", extra={"message_id": outbound.message_id, "fate": fate})
            except Exception:
                logger.exception("request broke", extra={"message_id": outbound.message_id})

        task = asyncio.create_task(send(), name=f"send {outbound.message_id}")
        self._chats[task] = outbound.chat_id
        task.add_done_callback(self._chats.pop)
