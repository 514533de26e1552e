"""Sending a promised message at most once, through crashes and outages."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Literal

from tenant_runner.channels.base import Channel, ChannelNotReady, SendRefused, SendUnknown
from tenant_runner.journal import Journal
from tenant_runner.journal.outbound import Outbound

logger = logging.getLogger(__name__)

LOOK_AGAIN_S = 2.0
ABSENT_LOOKS = 2
PENDING_PATIENCE_S = 180.0

Fate = Literal["sent", "failed", "unknown", "dropped"]


class Outgoing:
    """A message whose fate is unknown is looked up by its id; it is sent again only when it is certainly not there."""

    def __init__(self, journal: Journal, working_channel: Callable[[], Awaitable[Channel]]) -> None:
        self._journal = journal
        self._working_channel = working_channel

    async def deliver(
        self,
        outbound: Outbound,
        *,
        in_reply_to: tuple[str, ...] = (),
        last_look: Callable[[Channel], Awaitable[bool]] | None = None,
    ) -> Fate:
        """Bring a message to an end; waits for as long as the channel is away.

        Args:
            outbound: the promise, in any state.
            in_reply_to: ids of the messages that it answers.
            last_look: asked right before it leaves for the first time; False drops it.
        """
        untouched = False
        looked_s = 0.0
        while True:
            channel = await self._working_channel()
            current = await self._journal.outbound.get(outbound.message_id)
            if current is None:
                return "dropped"
            if current.state == "prepared":
                if last_look is not None and not await last_look(channel):
                    await self._journal.outbound.drop(outbound.message_id)
                    return "dropped"
                await self._journal.outbound.sending(outbound, in_reply_to)
            elif current.state != "sending":
                return _fate(current.state)
            elif not untouched:
                # Only time with a channel counts: in an outage nobody can tell where a message is.
                looked_s += LOOK_AGAIN_S
                if not await self._is_absent(channel, current, patient=looked_s < PENDING_PATIENCE_S):
                    continue
            untouched = not await self._send(channel, outbound)

    async def _send(self, channel: Channel, outbound: Outbound) -> bool:
        """Send once; False when the channel certainly did not hear of it."""
        try:
            await channel.send(outbound.chat_id, outbound.text, outbound.message_id)
        except ChannelNotReady:
            await asyncio.sleep(LOOK_AGAIN_S)
            return False
        except SendUnknown as error:
            logger.warning("send has no known end", extra={"message_id": outbound.message_id, "cause": str(error)})
            await asyncio.sleep(LOOK_AGAIN_S)
        except SendRefused as error:
            logger.warning("send refused", extra={"message_id": outbound.message_id, "cause": str(error)})
            await self._journal.outbound.finish(outbound.message_id, "failed")
        else:
            await self._journal.outbound.acknowledge(outbound.message_id, "server")
        return True

    async def _is_absent(self, channel: Channel, outbound: Outbound, *, patient: bool) -> bool:
        """Whether the channel certainly does not have the message; notes how far it got otherwise."""
        for look in range(ABSENT_LOOKS):
            if look:
                await asyncio.sleep(LOOK_AGAIN_S)
            try:
                ack = await channel.find(outbound.chat_id, outbound.message_id)
            except ChannelNotReady as error:
                logger.warning("message not looked up", extra={"message_id": outbound.message_id, "cause": str(error)})
                ack = "pending"
            if ack is None:
                continue
            if ack == "failed":
                await self._journal.outbound.finish(outbound.message_id, "failed")
            elif ack != "pending":
                await self._journal.outbound.acknowledge(outbound.message_id, ack)
            elif patient:
                await self._journal.outbound.acknowledge(outbound.message_id, "pending")
                await asyncio.sleep(LOOK_AGAIN_S)
            else:
                # Better a message too few than one too many: a person is told to look.
                await self._journal.outbound.finish(outbound.message_id, "unknown")
            return False
        logger.info("message is not there", extra={"message_id": outbound.message_id})
        return True


def _fate(state: str) -> Fate:
    fates: dict[str, Fate] = {"sent": "sent", "failed": "failed", "unknown": "unknown"}
    return fates.get(state, "dropped")
