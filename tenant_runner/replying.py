"""From a reply in the journal to messages that left: split, paced, looked at once more, each at most once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from tenant_runner.answering import Answering
from tenant_runner.channels.base import Channel, ChannelNotReady
from tenant_runner.journal import Journal
from tenant_runner.journal.database import now
from tenant_runner.journal.outbound import Outbound
from tenant_runner.journal.turns import Turn
from tenant_runner.outgoing import Fate, Outgoing
from tenant_runner.pacing import Pacing
from tenant_runner.splitting import split

logger = logging.getLogger(__name__)

LONG_WAIT_S = 300.0
REVOKED, TOO_LATE, DAILY_LIMIT, PACED = "revoked", "channel_outage", "daily_limit", "paced"
# The runner ended after it had dropped a reply and before it could say why.
NOT_SENT = "not_sent"


class Replying:
    """Sends what a turn is answered with, and closes the turn."""

    def __init__(
        self,
        journal: Journal,
        answering: Answering,
        outgoing: Outgoing,
        pacing: Pacing,
        working_channel: Callable[[], Awaitable[Channel]],
    ) -> None:
        self._journal = journal
        self._answering = answering
        self._outgoing = outgoing
        self._pacing = pacing
        self._working_channel = working_channel
        self._refused: dict[int, str] = {}

    async def send(self, turn: Turn) -> None:
        """Bring a turn that has a reply to its end."""
        parts = await self._promise(turn)
        if not parts and turn.notice is None and await self._refusal(turn) == TOO_LATE:
            apology = await self._answering.apologise(turn, TOO_LATE)
            if apology is None:
                return
            turn, parts = apology, await self._promise(apology)
        fate: Fate = "sent"
        for outbound in parts:
            fate = await self._outgoing.deliver(
                outbound,
                in_reply_to=await self._journal.turns.message_ids(turn.turn_id),
                last_look=partial(self._last_look, turn, outbound),
            )
            if fate != "sent":
                break
        await self._close(turn, parts, fate if parts else "dropped")

    async def _promise(self, turn: Turn) -> list[Outbound]:
        """Persist every part of the reply under an id of the channel's; none when it is too late to send it."""
        parts = await self._journal.outbound.of_turn(turn.turn_id)
        if parts:
            return parts
        texts = split(turn.reply or "")
        message_ids: list[str] = []
        while len(message_ids) < len(texts):
            channel = await self._working_channel()
            if await self._refusal(turn) is not None:
                return []
            try:
                message_ids.append(await channel.new_message_id(turn.chat_id))
            except ChannelNotReady:
                await asyncio.sleep(1)
        async with self._journal.transaction(lazy=True):
            return [
                await self._journal.outbound.prepare(
                    message_id=message_id,
                    chat_id=turn.chat_id,
                    author="assistant",
                    text=text,
                    turn_id=turn.turn_id,
                    part=part,
                )
                for part, (message_id, text) in enumerate(zip(message_ids, texts, strict=True))
            ]

    async def _last_look(self, turn: Turn, part: Outbound, channel: Channel) -> bool:
        """Right before a message leaves: its time has come, and is it still wanted? Then show that somebody writes."""
        refusal = await self._prepare_to_leave(turn, part, channel)
        if refusal is not None:
            self._refused[turn.turn_id] = refusal
            await self._pacing.give_back(part.message_id)
        return refusal is None

    async def _prepare_to_leave(self, turn: Turn, part: Outbound, channel: Channel) -> str | None:
        if (refusal := await self._refusal(turn)) is not None:
            return refusal
        at = await self._pacing.slot(part.message_id)
        if at is None:
            return DAILY_LIMIT
        if at - now() > LONG_WAIT_S:
            await self._journal.chats.wait_for_human(turn.chat_id, PACED)
        if (left_s := at - now()) > 0:
            await asyncio.sleep(left_s)
            if (refusal := await self._refusal(turn)) is not None:
                return refusal
        await channel.mark_read(turn.chat_id)
        typing_s = min(self._answering.config.pacing.typing_s, 0.4 + len(part.text) / 150)
        if typing_s <= 0:
            return None
        await channel.show_typing(turn.chat_id, typing_s)
        await asyncio.sleep(typing_s)
        return await self._refusal(turn)

    async def _refusal(self, turn: Turn) -> str | None:
        """Why a reply is not wanted any more."""
        silence = await self._journal.chats.silence(turn.chat_id)
        if silence is not None and not (silence == "opted_out" and turn.notice == "opt_out"):
            return silence
        if not await self._journal.turns.message_ids(turn.turn_id):
            return REVOKED
        # A reply that waits for its time is not late.
        slots = [part.slot_at or 0.0 for part in await self._journal.outbound.of_turn(turn.turn_id)]
        if now() - max(turn.replied_at or now(), *slots, 0.0) > self._answering.config.too_old_s:
            return TOO_LATE
        return None

    async def _close(self, turn: Turn, parts: list[Outbound], fate: Fate) -> None:
        refusal = self._refused.pop(turn.turn_id, None)
        if fate == "dropped" and refusal is None:
            refusal = await self._refusal(turn) or NOT_SENT
        async with self._journal.transaction(lazy=True):
            for part in parts:
                await self._journal.outbound.drop(part.message_id)
            if fate == "sent":
                if turn.notice is None:
                    await self._journal.chats.answered(turn.chat_id)
            elif fate in ("failed", "unknown"):
                await self._journal.chats.wait_for_human(turn.chat_id, f"send_{fate}")
                await self._journal.changes.conclude(turn.turn_id, f"send_{fate}")
            elif refusal is not None:
                if refusal in (TOO_LATE, DAILY_LIMIT, NOT_SENT):
                    await self._journal.chats.wait_for_human(turn.chat_id, refusal)
                await self._journal.changes.conclude(turn.turn_id, refusal)
            await self._journal.turns.close(turn, fate)
        logger.info(
            "turn closed",
            extra={
                "turn_id": turn.turn_id,
                "fate": fate,
                "refusal": refusal,
                "notice": turn.notice,
                "parts": len(parts),
            },
        )
