"""A WhatsApp Web channel alone, and what it tells: no runner, no conversation around it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tenant_runner.channels.base import Ack, ChannelChange, ChannelMessage
from tenant_runner.channels.whatsapp_web.session import WhatsAppWebSession
from tenant_runner.contract import SessionChanged, SessionState, WhatsAppWebChannel
from tests.conftest import wait_for
from tests.tenant_runner.installation import CHROMIUM, Phone, Sandbox


class Listener:
    """Keeps everything that a channel tells."""

    def __init__(self) -> None:
        self.messages: list[ChannelMessage] = []
        self.changes: list[ChannelChange] = []
        self.acks: list[tuple[str, Ack]] = []
        self.sessions: list[SessionChanged] = []
        self.caught_up_through: datetime | None = None

    async def message_received(self, message: ChannelMessage) -> None:
        self.messages.append(message)

    async def message_changed(self, change: ChannelChange) -> None:
        self.changes.append(change)

    async def message_acknowledged(self, message_id: str, ack: Ack) -> None:
        self.acks.append((message_id, ack))

    def channel_opened(self) -> None: ...

    async def session_changed(self, session: SessionChanged) -> None:
        self.sessions.append(session)

    async def catch_up_from(self, phone: str) -> datetime:
        return datetime.now(UTC) - timedelta(minutes=10)

    async def caught_up(self, phone: str, through: datetime) -> None:
        self.caught_up_through = through

    def of(self, message_id: str) -> list[ChannelMessage]:
        """What was told of a message; a channel may tell the same more than once."""
        return list(dict.fromkeys(message for message in self.messages if message.message_id.endswith(message_id)))


class LinkedSession:
    """A channel on a profile; started again on the same profile it is the same device."""

    def __init__(self, sandbox: Sandbox, directory: Path, **channel: Any) -> None:
        self.directory = directory
        self.profile = directory / "profile"
        self.listener = Listener()
        self.chromium = CHROMIUM if CHROMIUM.exists() else None
        self.config = WhatsAppWebChannel(
            url="https://web.whatsapp.com/", browser_arguments=sandbox.browser_arguments, **channel
        )
        self.channel: WhatsAppWebSession | None = None

    def allow_loopback(self) -> None:
        """Let a page that came from nowhere load from this machine; WhatsApp's own servers are elsewhere."""
        arguments = (*self.config.browser_arguments, "--disable-features=LocalNetworkAccessChecks")
        self.config = self.config.model_copy(update={"browser_arguments": arguments})

    @property
    def running(self) -> WhatsAppWebSession:
        assert self.channel is not None
        return self.channel

    @property
    def shown(self) -> tuple[str, str]:
        session = self.running.session
        return (session.state.value, session.reason.value)

    async def start(self, linked_phone: str | None = None) -> None:
        self.channel = WhatsAppWebSession(
            self.config,
            self.listener,
            profile=self.profile,
            chromium=self.chromium,
            linked_phone=linked_phone,
            session_version=0,
        )
        await self.channel.start()

    async def stop(self) -> None:
        if self.channel is not None:
            await self.channel.stop()

    async def wait_for(self, state: str, reason: str | None = None, deadline_s: float = 90) -> SessionChanged:
        def reached() -> bool:
            return self.shown[0] == state and reason in (None, self.shown[1])

        try:
            await wait_for(reached, deadline_s=deadline_s, interval_s=0.05)
        except AssertionError:
            raise AssertionError(f"{state} {reason} not reached, but {self.running.session!r}") from None
        return self.running.session

    async def link(self, phone: Phone) -> None:
        # A code that was replaced between the look and the scan is looked for again.
        await wait_for(lambda: (qr := self.running.session.qr) and phone.scan(qr), deadline_s=90)
        await self.wait_for(SessionState.WORKING, "connected")
