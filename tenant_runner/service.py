"""What a runner's HTTP API offers; apart from the API itself, which takes as long to load as everything else."""

from typing import Protocol

from tenant_runner.contract import (
    ConversationRequest,
    LinkCode,
    ProcessMessageRequest,
    PurgeReport,
    PurgeRequest,
    RunnerStatus,
    SendRequest,
)
from tenant_runner.journal.outbound import Outbound


class NotConfigured(Exception):
    """The configuration did not arrive yet."""


class Service(Protocol):
    """What the API offers, done by the runner. Everything but `status` may raise `NotConfigured`."""

    async def status(self) -> RunnerStatus:
        """How it is now."""
        ...

    async def send(self, request: SendRequest, key: str) -> Outbound:
        """Promise to send a text; may raise `ChannelNotReady`."""
        ...

    async def process_message(self, request: ProcessMessageRequest) -> str:
        """The assistant's answer; may raise `AssistantFailure`."""
        ...

    async def purge(self, request: PurgeRequest) -> PurgeReport:
        """Delete what is past its time."""
        ...

    async def refresh_code(self) -> None:
        """Show new codes; may raise `ChannelNotReady`."""

    async def link_code(self, phone: str) -> LinkCode:
        """A code to type on the phone; may raise `ChannelNotReady`."""
        ...

    async def set_automatic(self, request: ConversationRequest) -> None:
        """Have the assistant answer in a chat, or be quiet there."""

    async def logout(self) -> None:
        """Unlink; may raise `ChannelNotReady`."""
