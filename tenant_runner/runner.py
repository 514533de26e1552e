"""One client's runner, put together: journal, channel, assistant, conversation, courier."""

import asyncio
import logging
import secrets
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tenant_runner.answering import Answering, Patience
from tenant_runner.assistants import ASSISTANTS
from tenant_runner.assistants.base import Assistant
from tenant_runner.channels.base import Ack, Channel, ChannelChange, ChannelMessage, ChannelNotReady
from tenant_runner.channels.registry import CHANNELS, ChannelEnvironment
from tenant_runner.channels.snapshot import Snapshot
from tenant_runner.channels.whatsapp_web.browser import Begun
from tenant_runner.contract import (
    ConversationRequest,
    LinkCode,
    ProcessMessageRequest,
    PurgeReport,
    PurgeRequest,
    RunnerConfig,
    RunnerCredentials,
    RunnerStatus,
    SendRequest,
    SessionChanged,
    SessionReason,
    SessionState,
)
from tenant_runner.control_plane_client import ControlPlaneAway, ControlPlaneClient, Courier
from tenant_runner.conversation import ChatBusy, Conversation
from tenant_runner.journal import Journal
from tenant_runner.journal.outbound import Outbound
from tenant_runner.memory import MemoryWatch
from tenant_runner.purge import erase, purge, retire
from tenant_runner.service import NotConfigured
from tenant_runner.settings import RunnerSettings

logger = logging.getLogger(__name__)

CHECK_CHANNEL_S = 1.0
PURGE_BUDGET_S = 25.0
RETIRE_BUDGET_S = 60.0

_LINKED_PHONE = "linked_phone"


class Runner:
    """Implements what the channel tells (`ChannelListener`) and what the API offers (`Service`).

    Attributes:
        opened: set when the channel has opened for the first time.
    """

    def __init__(
        self,
        settings: RunnerSettings,
        credentials: RunnerCredentials,
        journal: Journal,
        patience: Patience | None = None,
        begun: Begun | None = None,
    ) -> None:
        self._settings = settings
        self._begun = begun
        self._credentials = credentials
        self._journal = journal
        self._patience = patience or Patience()
        self._client = ControlPlaneClient(credentials)
        self._started_at = datetime.now(UTC)
        self._instance = secrets.token_hex(8)
        self._preparing = Snapshot()
        self._preparing.change(SessionState.STARTING, SessionReason.PREPARING)
        self._config: RunnerConfig | None = None
        self._channel: Channel | None = None
        self._answering: Answering | None = None
        self._conversation: Conversation | None = None
        self.opened = asyncio.Event()
        self._answers = asyncio.Event()
        self._purging = asyncio.Lock()
        self._background: set[asyncio.Task[None]] = set()
        self._memory = MemoryWatch(
            limit_mb=lambda: self._config.memory_limit_mb if self._config else None,
            idle=self._idle,
            recycle=self._recycle,
        )
        self._courier = Courier(
            self._client,
            journal.outbox,
            instance=self._instance,
            started_at=self._started_at,
            journal_id=journal.id,
            session=lambda: self.session,
            revision=lambda: self._config.revision if self._config else 0,
            on_newer_config=self._pull_config,
            memory=lambda: self._memory.bytes,
            calm=self._calm,
        )

    # ------------------------------------------------------------------------------------------------ lifecycle

    @property
    def session(self) -> SessionChanged:
        """The session now; preparing until there is a configuration."""
        return self._channel.session if self._channel is not None else self._preparing.session

    async def run(self) -> None:
        """Work until cancelled; with the control plane away at the start it waits for it."""
        config = await self._client.wait_for_config()
        logger.info("configuration received", extra={"revision": config.revision})
        self._config = config
        # The browser takes longest: what an assistant loads is loaded beside it.
        await self._start_channel(config)
        make = ASSISTANTS[config.assistant.kind]
        assistant = await asyncio.to_thread(make, config.assistant, self._journal.threads)
        self._answering = Answering(self._journal, config, assistant, self._patience)
        self._conversation = Conversation(self._journal, self._answering, self.working_channel, self._patience)
        self._answers.set()
        self._in_background(self._memory.run(), name="memory")
        await self._conversation.resume()
        await self._courier.run()

    async def stop(self) -> None:
        """Stop everything and say so; what is unfinished is in the journal."""
        if self._conversation is not None:
            await self._conversation.stop()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self._channel is not None:
            await self._channel.stop()
            await self._courier.say_goodbye()
        if self._answering is not None:
            await self._answering.assistant.close()
        await self._client.close()

    async def _start_channel(self, config: RunnerConfig) -> None:
        directory: Path = self._settings.client_directory(self._credentials.client_id)
        environment = ChannelEnvironment(
            directory=directory,
            chromium=self._settings.chromium,
            linked_phone=await self._journal.database.fact(_LINKED_PHONE),
            session_version=self.session.version,
            begun=self._begun,
        )
        # It can be used once.
        self._begun = None
        self._channel = CHANNELS[config.channel.kind](config.channel, self, environment)
        await self._channel.start()

    async def working_channel(self) -> Channel:
        """The channel, once it is connected; a channel that was replaced meanwhile does not hold anybody up."""
        while True:
            channel = self._channel
            if channel is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_CHANNEL_S):
                        await channel.wait_until_working()
                    return channel
            else:
                await asyncio.sleep(CHECK_CHANNEL_S)

    # ------------------------------------------------------------------------------------------------ configuration

    async def _pull_config(self) -> None:
        try:
            config = await self._client.fetch_config()
        except ControlPlaneAway as error:
            logger.warning("newer configuration not received", extra={"cause": str(error)})
            return
        await self.apply(config)

    async def apply(self, config: RunnerConfig) -> None:
        """Take over a configuration: a new assistant at once, another channel by a restart of the channel."""
        former, answering = self._config, self._answering
        if former is None or answering is None or config.revision <= former.revision:
            return
        replaced: Assistant | None = None
        if config.assistant != former.assistant:
            replaced = answering.assistant
            await answering.apply(config, ASSISTANTS[config.assistant.kind](config.assistant, self._journal.threads))
        else:
            await answering.apply(config, None)
        self._config = config
        logger.info("configuration applied", extra={"revision": config.revision, "new_assistant": bool(replaced)})
        if replaced is not None:
            self._retire_later(replaced, answering.assistant)
        if self._channel is not None and config.channel != former.channel:
            same_kind = config.channel.kind == former.channel.kind
            if not (same_kind and await self._channel.reconfigure(config.channel)):
                await self._channel.stop()
                await self._start_channel(config)

    def _retire_later(self, replaced: Assistant, successor: Assistant) -> None:
        async def work() -> None:
            try:
                if replaced.key_fingerprint == successor.key_fingerprint:
                    await replaced.close()
                else:
                    await retire(self._journal, replaced, budget_s=RETIRE_BUDGET_S)
            except Exception:
                logger.exception("former assistant not retired")

        self._in_background(work(), name="retire assistant")

    def _in_background(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _idle(self) -> bool:
        """Nobody waits for an answer now, or is about to scan a code."""
        return self.session.state is SessionState.WORKING and await self._journal.turns.count_open() == 0

    async def _recycle(self) -> None:
        if self._channel is not None:
            await self._channel.recycle()

    # ------------------------------------------------------------------------------------------------ from the channel

    async def message_received(self, message: ChannelMessage) -> None:
        """See `ChannelListener`."""
        await (await self._configured_conversation()).receive(message)

    async def message_changed(self, change: ChannelChange) -> None:
        """See `ChannelListener`."""
        await (await self._configured_conversation()).change(change)

    async def message_acknowledged(self, message_id: str, ack: Ack) -> None:
        """See `ChannelListener`."""
        await (await self._configured_conversation()).acknowledge(message_id, ack)

    def channel_opened(self) -> None:
        """The channel opened."""
        self.opened.set()

    async def session_changed(self, session: SessionChanged) -> None:
        """See `ChannelListener`; remembers which number is linked, across restarts."""
        if session.state is SessionState.WORKING:
            await self._journal.database.remember(_LINKED_PHONE, session.phone)
        elif session.state is SessionState.SCAN_QR_CODE:
            await self._journal.database.remember(_LINKED_PHONE, None)
        self._courier.nudge()

    async def catch_up_from(self, phone: str) -> datetime:
        """See `ChannelListener`."""
        return await self._journal.watched.catch_up_from(phone)

    async def caught_up(self, phone: str, through: datetime) -> None:
        """See `ChannelListener`."""
        await self._journal.watched.caught_up(phone, through)

    # ------------------------------------------------------------------------------------------------ from the API

    async def status(self) -> RunnerStatus:
        """See `Service`."""
        return RunnerStatus(
            client_id=self._credentials.client_id,
            instance=self._instance,
            started_at=self._started_at,
            config_revision=self._config.revision if self._config else 0,
            session=self.session,
            undelivered_events=await self._journal.outbox.count(),
            open_turns=await self._journal.turns.count_open(),
        )

    async def send(self, request: SendRequest, key: str) -> Outbound:
        """See `Service`."""
        return await (await self._configured_conversation()).send(request.chat_id, request.text, request_key=key)

    async def process_message(self, request: ProcessMessageRequest) -> str:
        """See `Service`."""
        return await (await self._configured_conversation()).ask(request.contact, request.text)

    async def purge(self, request: PurgeRequest) -> PurgeReport:
        """See `Service`; one at a time."""
        conversation = await self._configured_conversation()
        async with self._purging:
            if request.chat_ids:
                return await self._erase(conversation, conversation.assistant, request)
            return await purge(self._journal, conversation.assistant, request.before, budget_s=PURGE_BUDGET_S)

    async def _erase(self, conversation: Conversation, assistant: Assistant, request: PurgeRequest) -> PurgeReport:
        try:
            async with conversation.standing_still(request.chat_ids):
                return await erase(self._journal, assistant, request.chat_ids, request.before, budget_s=PURGE_BUDGET_S)
        except ChatBusy:
            return PurgeReport(failed=1, detail="the assistant is answering in that chat; it is erased right after")

    async def refresh_code(self) -> None:
        """See `Service`."""
        await self._configured_channel().refresh_code()

    async def link_code(self, phone: str) -> LinkCode:
        """See `Service`."""
        return await self._configured_channel().link_code(phone)

    async def set_automatic(self, request: ConversationRequest) -> None:
        """See `Service`."""
        await (await self._configured_conversation()).set_automatic(request.chat_id, automatic=request.automatic)

    async def logout(self) -> None:
        """See `Service`."""
        await self._configured_channel().logout()

    async def _calm(self) -> None:
        if self._conversation is not None:
            await self._conversation.calm()

    async def _configured_conversation(self) -> Conversation:
        """With the configuration there, what an assistant loads is there in a moment."""
        if self._config is None:
            raise NotConfigured
        await self._answers.wait()
        assert self._conversation is not None  # noqa: S101 (that is what the event says)
        return self._conversation

    def _configured_channel(self) -> Channel:
        if self._channel is None:
            raise ChannelNotReady("there is no channel yet")
        return self._channel
