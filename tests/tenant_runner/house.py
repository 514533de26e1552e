"""One runner's inside, everything real but the channel and the assistant, and ways to look at it."""

import asyncio
from typing import Any

from tenant_runner.answering import Answering, Patience
from tenant_runner.assistants.base import Question
from tenant_runner.contract import (
    AssistantStatusChanged,
    ConversationStatusChanged,
    EventPayload,
    MessageChanged,
    MessageRecorded,
    Pacing,
    RunnerConfig,
)
from tenant_runner.conversation import Conversation
from tenant_runner.journal import Journal
from tenant_runner.journal.threads import RemoteConversation
from tests.conftest import wait_for
from tests.tenant_runner.fake_channel import FakeChannel

CHAT = "5491100000001@c.us"
OTHER_CHAT = "5491100000002@c.us"
TYPING_S = 0.05


class ScriptedAssistant:
    """Answers with what it was asked; fails or waits first when told to."""

    key_fingerprint = ""
    sees = True
    hears = True

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.histories: list[list[str]] = []
        self.failures: list[Exception] = []
        self.questions: list[Question] = []
        self.heard: list[tuple[bytes, str | None, str]] = []
        self.deafness: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def answer(self, question: Question) -> str:
        self.questions.append(question)
        self.asked.append([line.text for line in question.new])
        self.histories.append([line.text for line in question.history])
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        return "re: " + " + ".join(line.text for line in question.new)

    async def transcribe(self, recording: bytes, mimetype: str | None, language: str) -> str:
        self.heard.append((recording, mimetype, language))
        if self.deafness:
            raise self.deafness.pop(0)
        return recording.decode()

    async def forget(self, remote: RemoteConversation) -> None: ...

    async def close(self) -> None: ...


class House:
    """One runner's inside: everything real but the channel and the assistant."""

    def __init__(self, journal: Journal, config: RunnerConfig) -> None:
        self.journal = journal
        self.channel = FakeChannel()
        self.assistant = ScriptedAssistant()
        # Tries again at once and long enough for a slow machine: who waits for the end of patience shortens it.
        self.patience = Patience(first_retry_s=0.02, longest_retry_s=0.1, give_up_s=20, slow_retry_s=0.2, media_s=20)
        self.config = config.model_copy(update={"pacing": Pacing(gap_s=0, typing_s=TYPING_S)})
        self.start()

    def start(self) -> None:
        self.answering = Answering(self.journal, self.config, self.assistant, self.patience)
        self.conversation = Conversation(self.journal, self.answering, self.channel.get, self.patience)
        self.receive = self.conversation.receive

    async def restart(self) -> None:
        await self.conversation.stop()
        self.start()
        await self.conversation.resume()

    async def settled(self) -> None:
        async def nothing_open() -> Any:
            return self.conversation.idle and await self.journal.turns.count_open() == 0

        await wait_for(nothing_open)

    async def events(self) -> list[EventPayload]:
        return [event.payload for event in await self.journal.outbox.next(1000)]

    async def statuses(self) -> list[tuple[str | None, str, str | None]]:
        return [
            (e.chat_id, e.status, e.reason) for e in await self.events() if isinstance(e, ConversationStatusChanged)
        ]

    async def problems(self) -> list[str | None]:
        return [e.problem for e in await self.events() if isinstance(e, AssistantStatusChanged)]

    async def outcomes(self) -> list[tuple[str, str | None]]:
        """Kind and last told outcome of each of the customers' messages, in order."""
        told: dict[str, tuple[str, str | None]] = {}
        for event in await self.events():
            if isinstance(event, MessageRecorded) and event.author == "contact":
                told[event.message_id] = (event.kind, event.outcome)
            elif isinstance(event, MessageChanged) and event.event != "message.reaction" and event.message_id in told:
                kind, outcome = told[event.message_id]
                outcome = outcome if event.outcome is None else event.outcome or None
                told[event.message_id] = (event.kind or kind, outcome)
        return list(told.values())

    async def changes(self) -> list[MessageChanged]:
        return [event for event in await self.events() if isinstance(event, MessageChanged)]

    def configure(self, **changes: Any) -> None:
        self.config = self.config.model_copy(update=changes)
        self.answering._config = self.config
