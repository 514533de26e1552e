"""Channels by the `kind` of their configuration; a new one is a module and a line here."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tenant_runner.channels.base import Channel, ChannelListener
from tenant_runner.channels.whatsapp_web.browser import PROFILE, Begun
from tenant_runner.channels.whatsapp_web.session import WhatsAppWebSession
from tenant_runner.contract import ChannelConfig


@dataclass(frozen=True)
class ChannelEnvironment:
    """What a channel gets beside its configuration.

    Attributes:
        directory: the client's directory; a channel keeps its files in a part of its own.
        chromium: path of the browser, None for the first that is installed.
        linked_phone: digits of the number that was linked when the runner last ran, if any.
        session_version: of the last session that this run of the process told; the channel's are greater.
        begun: a browser that was started on the client's profile before the configuration was there, if any.
    """

    directory: Path
    chromium: Path | None
    linked_phone: str | None
    session_version: int
    begun: Begun | None


def _whatsapp_web(config: ChannelConfig, listener: ChannelListener, environment: ChannelEnvironment) -> Channel:
    return WhatsAppWebSession(
        config,
        listener,
        profile=environment.directory / PROFILE,
        chromium=environment.chromium,
        linked_phone=environment.linked_phone,
        session_version=environment.session_version,
        begun=environment.begun,
    )


CHANNELS: dict[str, Callable[[ChannelConfig, ChannelListener, ChannelEnvironment], Channel]] = {
    "whatsapp_web": _whatsapp_web,
}
