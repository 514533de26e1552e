"""THE one path: message → reply. Whatever channel a message came by, it goes through here.

A message is stored (`incoming`), its file is fetched (`media`), its turn begins when the customer pauses and is
answered (`answering`), the reply is promised, paced and sent (`replying`). One turn at a time in each chat.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from uuid import uuid4
from weakref import WeakValueDictionary

from tenant_runner.answering import HISTORY_LINES, Answering, Patience
from tenant_runner.assistants.base import Assistant, Question
from tenant_runner.channels.base import Ack, Channel, ChannelChange, ChannelMessage
from tenant_runner.deadlines import Deadlines
from tenant_runner.incoming import Incoming
from tenant_runner.journal import Journal, Line, NewMessage
from tenant_runner.journal.chats import LOOP
from tenant_runner.journal.database import now, to_datetime
from tenant_runner.journal.messages import Author
from tenant_runner.journal.outbound import Outbound
from tenant_runner.journal.turns import Turn
from tenant_runner.loop import LoopBreaker
from tenant_runner.media import MediaJobs
from tenant_runner.outgoing import Outgoing
from tenant_runner.pacing import Pacing
from tenant_runner.replying import DAILY_LIMIT, Replying
from tenant_runner.requests import Requests

logger = logging.getLogger(__name__)

AFTER_A_BUG_S = 5.0
STILL_WAIT_S = 20.0
STILL_LOOK_S = 0.05


class ChatBusy(Exception):
    """The assistant is being asked in a chat, and what that makes at its provider is not known yet: try again later."""


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
        outgoing = Outgoing(journal, working_channel)
        self._incoming = Incoming(journal, lambda: answering.config, lambda: answering.assistant)
        self._media = MediaJobs(journal, answering, working_channel, patience)
        self._loop = LoopBreaker(journal)
        self._pacing = Pacing(journal, lambda: answering.config)
        self._replying = Replying(journal, answering, outgoing, self._pacing, working_channel)
        self._requests = Requests(journal, answering, outgoing, working_channel)
        self._deadlines = Deadlines(journal, patience)
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._woken: set[str] = set()
        self._held: set[str] = set()
        self._finishing = 0
        self._calm = asyncio.Event()
        self._calm.set()
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    # ------------------------------------------------------------------------------------------------ lifecycle

    async def resume(self) -> None:
        """Go on with what an earlier run left unfinished."""
        self._deadlines.nudge()
        await self._media.resume()
        for chat_id in await self._journal.turns.unfinished_chats():
            self._wake(chat_id)
        await self._requests.resume()

    async def stop(self) -> None:
        """Stop working; everything unfinished is in the journal."""
        workers = list(self._workers.values())
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        await self._requests.stop()
        await self._media.stop()
        await self._deadlines.stop()

    @property
    def assistant(self) -> Assistant:
        """The newest one."""
        return self._answering.assistant

    @property
    def idle(self) -> bool:
        """Whether nothing is being worked on."""
        return not self._workers and not self._requests.busy

    async def calm(self) -> None:
        """Return when no turn is being answered or its answer sent; a turn that still waits for its end is none."""
        await self._calm.wait()

    # ------------------------------------------------------------------------------------------------ from the channel

    async def receive(self, message: ChannelMessage) -> None:
        """Store a message before anything else happens with it; the same one again changes nothing."""
        arrival = await self._incoming.store(message)
        if message.from_me or message.undecrypted:
            self._deadlines.nudge()
        if arrival is None:
            return
        if arrival.job is not None:
            self._media.start(arrival.job)
        if arrival.waits_for_turn:
            self._wake(arrival.chat_id)

    async def change(self, change: ChannelChange) -> None:
        """Something happened to a message that is known."""
        if await self._incoming.change(change) and change.change == "revoked":
            self._media.drop(change.message_id)

    async def acknowledge(self, message_id: str, ack: Ack) -> None:
        """A message of ours got further; of others' messages nothing is known."""
        await self._journal.outbound.acknowledge(message_id, ack)

    async def set_automatic(self, chat_id: str, *, automatic: bool) -> None:
        """A person in the portal decided who answers in a chat."""
        await self._journal.chats.suspend(chat_id, suspended=not automatic, reason="portal", said_at=now())

    @asynccontextmanager
    async def standing_still(self, chat_ids: tuple[str, ...]) -> AsyncIterator[None]:
        """Nothing is worked on in these chats inside: turns, files and sends are ended where they are.

        Raises:
            ChatBusy: the assistant went on being asked for too long.
        """
        async with AsyncExitStack() as stack:
            self._held.update(chat_ids)
            stack.callback(self._release, chat_ids)
            ends = time.monotonic() + STILL_WAIT_S
            while any(self._answering.asking[chat_id] for chat_id in chat_ids):
                if time.monotonic() > ends:
                    raise ChatBusy
                await asyncio.sleep(STILL_LOOK_S)
            workers = [worker for chat_id in chat_ids if (worker := self._workers.pop(chat_id, None)) is not None]
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            await self._requests.drop(chat_ids)
            for chat_id in chat_ids:
                # Whoever is not on the channel asks for an answer and waits for it.
                await stack.enter_async_context(self._asking.setdefault(chat_id, asyncio.Lock()))
                await self._media.drop_all([job.message_id for job in await self._journal.media.of_chat(chat_id)])
            yield

    def _release(self, chat_ids: tuple[str, ...]) -> None:
        self._held.difference_update(chat_ids)
        for chat_id in chat_ids:
            self._wake(chat_id)

    # ------------------------------------------------------------------------------------------------ turns

    def _wake(self, chat_id: str) -> None:
        self._woken.add(chat_id)
        if chat_id not in self._workers and chat_id not in self._held:
            self._workers[chat_id] = asyncio.create_task(self._work(chat_id), name=f"chat {chat_id}")

    async def _work(self, chat_id: str) -> None:
        try:
            while chat_id in self._woken:
                self._woken.discard(chat_id)
                try:
                    while (turn := await self._next_turn(chat_id)) is not None:
                        with self._uncalm():
                            await self._finish(turn)
                except Exception:
                    # A bug in one chat must not stop the others, nor this one for ever.
                    logger.exception("turn broke", extra={"chat_id": chat_id})
                    self._woken.add(chat_id)
                    await asyncio.sleep(AFTER_A_BUG_S)
        finally:
            if self._workers.get(chat_id) is asyncio.current_task():
                del self._workers[chat_id]

    async def _next_turn(self, chat_id: str) -> Turn | None:
        turn = await self._journal.turns.open_of(chat_id)
        if turn is not None:
            return turn
        await self._wait_for_silence(chat_id)
        async with self._journal.transaction(lazy=True):
            turn = await self._journal.turns.begin(chat_id)
            if turn is not None and await self._loop.is_loop(turn, self._answering.config.loop_limit):
                await self._leave_to_human(turn, LOOP)
                return await self._journal.turns.begin(chat_id)
        return turn

    async def _wait_for_silence(self, chat_id: str) -> None:
        """People write one thought in several messages: wait until they pause, but not for ever."""
        while (window := await self._journal.messages.pending_window(chat_id)) is not None:
            config = self._answering.config
            first, last = window
            left_s = min(min(last + config.debounce_s, first + config.debounce_cap_s) - now(), config.debounce_cap_s)
            if left_s <= 0:
                return
            await asyncio.sleep(left_s)

    @contextmanager
    def _uncalm(self) -> Iterator[None]:
        self._finishing += 1
        self._calm.clear()
        try:
            yield
        finally:
            self._finishing -= 1
            if not self._finishing:
                self._calm.set()

    async def _finish(self, turn: Turn) -> None:
        if turn.reply is None:
            if await self._pacing.is_exhausted():
                await self._leave_to_human(turn, DAILY_LIMIT)
                return
            answered = await self._answering.answer(turn, self._media)
            for message_id in await self._journal.turns.message_ids(turn.turn_id):
                self._media.drop(message_id)
            if answered is None:
                return
            turn = answered
        await self._replying.send(turn)

    async def _leave_to_human(self, turn: Turn, reason: str) -> None:
        async with self._journal.transaction():
            await self._journal.chats.wait_for_human(turn.chat_id, reason)
            await self._journal.changes.conclude(turn.turn_id, reason)
            await self._journal.turns.close(turn, reason)
        logger.warning("turn left to a person", extra={"turn_id": turn.turn_id, "reason": reason})

    # ------------------------------------------------------------------------------------------------ requests

    async def send(self, chat_id: str, text: str, *, request_key: str) -> Outbound:
        """Promise to send a person's or a program's text; see `Requests.send`."""
        outbound = await self._requests.send(chat_id, text, request_key=request_key)
        self._deadlines.nudge()
        return outbound

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


def _api_message(chat_id: str, author: Author, text: str) -> NewMessage:
    return NewMessage(
        message_id=f"api_{uuid4().hex}",
        chat_id=chat_id,
        author=author,
        kind="chat",
        text=text,
        sent_at=to_datetime(now()),
    )
