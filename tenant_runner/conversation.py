"""THE one path: message → reply. Whatever channel a message came by, it goes through here."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from uuid import uuid4
from weakref import WeakValueDictionary

from tenant_runner.answering import HISTORY_LINES, Answering, Patience
from tenant_runner.assistants.base import Question
from tenant_runner.channels.base import Ack, Channel, ChannelChange, ChannelMessage, ChannelNotReady
from tenant_runner.journal import Journal, Line, NewMessage
from tenant_runner.journal.database import now, to_datetime
from tenant_runner.journal.messages import Author
from tenant_runner.journal.outbound import Outbound
from tenant_runner.journal.turns import Turn
from tenant_runner.outgoing import Outgoing
from tenant_runner.words import fold

logger = logging.getLogger(__name__)

RESUME_COMMAND = "activar bot"
SUSPEND_COMMAND = "suspender bot"
LONGEST_TYPING_S = 3.0
AFTER_A_BUG_S = 5.0


class Conversation:
    """Every chat of one client; one turn at a time in each."""

    def __init__(
        self,
        journal: Journal,
        answering: Answering,
        working_channel: Callable[[], Awaitable[Channel]],
        patience: Patience,
    ) -> None:
        self._journal = journal
        self._answering = answering
        self._working_channel = working_channel
        self._patience = patience
        self._outgoing = Outgoing(journal, working_channel)
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._woken: set[str] = set()
        self._sends: set[asyncio.Task[None]] = set()
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    # ------------------------------------------------------------------------------------------------ lifecycle

    async def resume(self) -> None:
        """Go on with what an earlier run left unfinished."""
        for chat_id in await self._journal.turns.unfinished_chats():
            self._wake(chat_id)
        for outbound in await self._journal.outbound.unfinished_requests():
            self._send_later(outbound)

    async def stop(self) -> None:
        """Stop working; everything unfinished is in the journal."""
        tasks = [*self._workers.values(), *self._sends]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------------------------------------------ messages in

    async def receive(self, message: ChannelMessage) -> None:
        """Store a message before anything else happens with it; the same one again changes nothing."""
        if message.broadcast or message.system:
            return
        if message.sent_at.timestamp() < await self._journal.retention.purged_before():
            return
        if message.from_me:
            await self._receive_own(message)
            return
        outcome = await self._reason_not_to_answer(message)
        recorded = await self._journal.messages.record(
            _new_message(message, "contact"), outcome=outcome, pending=outcome is None
        )
        if recorded is None:
            return
        logger.info(
            "message received", extra={"message_id": message.message_id, "kind": message.kind, "outcome": outcome}
        )
        if outcome is None:
            self._wake(message.chat_id)

    async def _reason_not_to_answer(self, message: ChannelMessage) -> str | None:
        if message.kind != "chat":
            return "unsupported_kind"
        if not message.text.strip():
            return "empty"
        if now() - message.sent_at.timestamp() > self._patience.too_old_s:
            return "too_old"
        if await self._journal.chats.suspended(message.chat_id):
            return "suspended"
        return None

    async def _receive_own(self, message: ChannelMessage) -> None:
        """Our own sends come back too; any other one was typed by the owner on their phone."""
        async with self._journal.transaction():
            if await self._journal.messages.has(message.message_id):
                return
            command = fold(message.text) if message.kind == "chat" else ""
            is_command = command in (RESUME_COMMAND, SUSPEND_COMMAND)
            await self._journal.messages.record(
                _new_message(message, "owner"), outcome="command" if is_command else None
            )
            if is_command:
                await self._journal.chats.suspend(
                    None if message.self_chat else message.chat_id,
                    suspended=command == SUSPEND_COMMAND,
                    reason="owner",
                    said_at=message.sent_at.timestamp(),
                )
                logger.info("owner's command followed", extra={"command": command, "all_chats": message.self_chat})

    async def change(self, change: ChannelChange) -> None:
        """Something happened to a message that is known."""

    async def set_automatic(self, chat_id: str, *, automatic: bool) -> None:
        """A person in the portal decided who answers in a chat."""
        await self._journal.chats.suspend(chat_id, suspended=not automatic, reason="portal", said_at=now())

    async def acknowledge(self, message_id: str, ack: Ack) -> None:
        """A message of ours got further; of others' messages nothing is known."""
        await self._journal.outbound.acknowledge(message_id, ack)

    # ------------------------------------------------------------------------------------------------ turns

    def _wake(self, chat_id: str) -> None:
        self._woken.add(chat_id)
        if chat_id not in self._workers:
            self._workers[chat_id] = asyncio.create_task(self._work(chat_id), name=f"chat {chat_id}")

    async def _work(self, chat_id: str) -> None:
        try:
            while chat_id in self._woken:
                self._woken.discard(chat_id)
                try:
                    while (turn := await self._next_turn(chat_id)) is not None:
                        await self._finish(turn)
                except Exception:
                    # A bug in one chat must not stop the others, nor this one for ever.
                    logger.exception("turn broke", extra={"chat_id": chat_id})
                    self._woken.add(chat_id)
                    await asyncio.sleep(AFTER_A_BUG_S)
        finally:
            del self._workers[chat_id]

    async def _next_turn(self, chat_id: str) -> Turn | None:
        turn = await self._journal.turns.open_of(chat_id)
        if turn is not None:
            return turn
        await self._wait_for_silence(chat_id)
        return await self._journal.turns.begin(chat_id)

    async def _wait_for_silence(self, chat_id: str) -> None:
        """People write one thought in several messages: wait until they pause, but not for ever."""
        while (window := await self._journal.messages.pending_window(chat_id)) is not None:
            config = self._answering.config
            first, last = window
            left_s = min(min(last + config.debounce_s, first + config.debounce_cap_s) - now(), config.debounce_cap_s)
            if left_s <= 0:
                return
            await asyncio.sleep(left_s)

    async def _finish(self, turn: Turn) -> None:
        if turn.reply is None:
            answered = await self._answering.answer(turn)
            if answered is None:
                return
            turn = answered
        outbound = await self._promise(turn)
        fate = "dropped"
        if outbound is not None:
            fate = await self._outgoing.deliver(
                outbound,
                in_reply_to=await self._journal.turns.message_ids(turn.turn_id),
                last_look=lambda channel: self._last_look(turn, channel),
            )
        async with self._journal.transaction():
            if fate == "sent" and not turn.fallback:
                await self._journal.chats.answered(turn.chat_id)
            elif fate in ("failed", "unknown"):
                await self._journal.chats.wait_for_human(turn.chat_id, f"send_{fate}")
            await self._journal.turns.close(turn, fate)
        logger.info("turn closed", extra={"turn_id": turn.turn_id, "fate": fate, "fallback": bool(turn.fallback)})

    async def _promise(self, turn: Turn) -> Outbound | None:
        """Persist the reply under an id of the channel's; None when it is too late to send it."""
        outbound = await self._journal.outbound.of_turn(turn.turn_id)
        while outbound is None:
            channel = await self._working_channel()
            if await self._is_too_late(turn):
                return None
            try:
                message_id = await channel.new_message_id(turn.chat_id)
            except ChannelNotReady:
                await asyncio.sleep(1)
                continue
            outbound = await self._journal.outbound.prepare(
                message_id=message_id,
                chat_id=turn.chat_id,
                author="assistant",
                text=turn.reply or "",
                turn_id=turn.turn_id,
            )
        return outbound

    async def _is_too_late(self, turn: Turn) -> bool:
        if now() - (turn.replied_at or now()) <= self._patience.too_old_s:
            return False
        await self._journal.chats.wait_for_human(turn.chat_id, "channel_outage")
        return True

    async def _last_look(self, turn: Turn, channel: Channel) -> bool:
        """Right before a reply leaves: is it still wanted? Then show that somebody reads and writes."""
        if await self._journal.chats.suspended(turn.chat_id) or await self._is_too_late(turn):
            return False
        await channel.mark_read(turn.chat_id)
        typing_s = min(LONGEST_TYPING_S, 0.4 + len(turn.reply or "") / 150)
        await channel.show_typing(turn.chat_id, typing_s)
        await asyncio.sleep(typing_s)
        return not await self._journal.chats.suspended(turn.chat_id)

    # ------------------------------------------------------------------------------------------------ requests

    async def send(self, chat_id: str, text: str, *, request_key: str) -> Outbound:
        """Promise to send a person's or a program's text; the same key gives the same promise.

        Raises:
            ChannelNotReady: nothing was promised.
        """
        known = await self._journal.outbound.of_request(request_key)
        if known is not None:
            return known
        channel = await self._working_channel()
        message_id = await channel.new_message_id(chat_id)
        outbound = await self._journal.outbound.prepare(
            message_id=message_id, chat_id=chat_id, author="agent", text=text, request_key=request_key
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
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)

    async def ask(self, contact: str, text: str) -> str:
        """What the assistant answers to somebody who is not on the channel; raises as `Answering.ask` says."""
        chat_id = f"api:{contact}"
        lock = self._asking.setdefault(chat_id, asyncio.Lock())
        async with lock:
            history = await self._journal.messages.history(chat_id, but_turn=None, limit=HISTORY_LINES)
            sequence = await self._journal.messages.record(_api_message(chat_id, "contact", text), told=False)
            assert sequence is not None  # noqa: S101 (its id is new)
            question = Question(chat_id, tuple(history), (Line(sequence, "user", text),))
            reply = await self._answering.ask(question)
            await self._journal.messages.record(_api_message(chat_id, "assistant", reply), told=False)
        return reply


def _new_message(message: ChannelMessage, author: Author) -> NewMessage:
    return NewMessage(
        message_id=message.message_id,
        chat_id=message.chat_id,
        author=author,
        kind=message.kind,
        text=message.text,
        sent_at=message.sent_at,
        contact_name=message.contact_name,
        contact_phone=message.contact_phone,
    )


def _api_message(chat_id: str, author: Author, text: str) -> NewMessage:
    return NewMessage(
        message_id=f"api_{uuid4().hex}",
        chat_id=chat_id,
        author=author,
        kind="chat",
        text=text,
        sent_at=to_datetime(now()),
    )
