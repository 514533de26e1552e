"""The named functions of `bridge.js`, each with a deadline."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tenant_runner.channels.base import Ack, ChannelChange, ChannelMessage, MediaGone
from tenant_runner.channels.whatsapp_web.browser import Browser
from tenant_runner.channels.whatsapp_web.devtools import BrowserError, BrowserTimeout
from tenant_runner.channels.whatsapp_web.tab import Tab
from tenant_runner.contract import MediaFacts
from tenant_runner.settings import REPOSITORY

WA_JS = REPOSITORY / "node_modules" / "@wppconnect" / "wa-js" / "dist" / "wppconnect-wa.js"
BRIDGE = Path(__file__).with_name("bridge.js")
# wa-js reports to Google Analytics and sends outgoing links to other people's servers unless told not to.
WPP_CONFIG = "window.WPPConfig = {disableGoogleAnalytics: true, linkPreviewApiServers: [], poweredBy: ''};"

STATUS_S = 10.0
CALL_S = 20.0
SEND_S = 30.0
MISSED_S = 120.0
DOWNLOAD_S = 80.0
PROBE_S = 15.0
MISSED_MESSAGES = 30


@dataclass(frozen=True)
class Missed:
    """What was read of some chats.

    Attributes:
        items: messages, oldest first, then what is seen to have happened to them.
        unread: of how many chats not everything could be read.
    """

    items: list[ChannelMessage | ChannelChange]
    unread: int


class PageBroken(Exception):
    """The page did not answer a call, or answered with an error."""


class PageTimeout(PageBroken):
    """No answer in time; what was asked may still happen."""


class PageStatus(BaseModel):
    """What the page says of itself at one moment.

    Attributes:
        ready: wa-js is at work; nothing else is known before but the code.
        loader: wa-js found WhatsApp Web's modules.
        mode: WhatsApp's stream mode (QR, SYNCING, MAIN, OFFLINE, CONFLICT …).
        code: what the QR code says that the page draws now; `code_ttl` is its life in seconds where the page tells.
        logged_out: the page was told that this device is unlinked, or unlinked it itself.
        needs_update: WhatsApp asks for a newer version of the page.
        version: of WhatsApp Web, where it is known; `supported` is the range that wa-js says it can drive.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    ready: bool
    loader: bool = True
    authenticated: bool = False
    mode: str | None = None
    socket: str | None = None
    idle: bool = False
    code: str | None = None
    code_ttl: float | None = Field(default=None, alias="codeTtl")
    phone: str | None = None
    name: str | None = None
    progress: int | None = None
    logged_out: bool = Field(default=False, alias="loggedOut")
    needs_update: bool = Field(default=False, alias="needsUpdate")
    version: str | None = None
    supported: str | None = None

    @property
    def working(self) -> bool:
        """Linked, synchronised and on line."""
        return self.ready and self.authenticated and self.mode == "MAIN"


@cache
def _scripts() -> tuple[str, ...]:
    return (WPP_CONFIG, WA_JS.read_text(encoding="utf-8"), BRIDGE.read_text(encoding="utf-8"))


def parse_message(raw: dict[str, Any]) -> ChannelMessage:
    """A message as `bridge.js` describes it."""
    return ChannelMessage(
        message_id=raw["id"],
        chat_id=raw["chat"],
        kind=raw["type"],
        text=raw["text"],
        sent_at=datetime.fromtimestamp(raw["t"], UTC),
        from_me=raw["fromMe"],
        self_chat=raw["self"],
        broadcast=raw["broadcast"],
        system=raw["system"],
        contact_name=raw["name"],
        contact_phone=raw["phone"],
        undecrypted=raw["undecrypted"],
        quoted_id=raw["quoted"],
        media=MediaFacts.model_validate(raw["media"]) if raw["media"] else None,
    )


def parse_change(raw: dict[str, Any]) -> ChannelChange:
    """What happened to a message, as `bridge.js` describes it."""
    return ChannelChange(
        change=raw["change"],
        message_id=raw["id"],
        chat_id=raw["chat"],
        text=raw["text"],
        at=datetime.fromtimestamp(raw["at"], UTC),
        from_me=raw["fromMe"],
    )


class WhatsAppPage:
    """WhatsApp Web, loaded. Every call raises `PageBroken` when the page fails it."""

    def __init__(self, page: Tab) -> None:
        self._page = page

    @classmethod
    async def open(
        cls, browser: Browser, url: str, *, on_event: Callable[[str, Any], None], timeout_s: float
    ) -> "WhatsAppPage":
        """Load the page with wa-js in it; `on_event` is called in the order of events.

        Raises:
            PageBroken: it could not be loaded.
        """
        page = await browser.page(scripts=_scripts(), events={"flameEvent": on_event})
        try:
            await page.goto(url, timeout_s=timeout_s)
        except BrowserError as error:
            raise PageBroken(_words(error)) from error
        return cls(page)

    async def _call(self, name: str, arguments: dict[str, Any] | None = None, *, timeout_s: float = CALL_S) -> Any:
        function = "(name, given) => { if (!window.flame) throw new Error('no bridge'); return flame[name](given); }"
        try:
            return await self._page.call(function, name, arguments, timeout_s=timeout_s)
        except BrowserTimeout as error:
            raise PageTimeout(f"{name}: {error}") from error
        except BrowserError as error:
            raise PageBroken(f"{name}: {_words(error)}") from error

    async def status(self) -> PageStatus:
        """The page's state now; proves that it answers."""
        return PageStatus.model_validate(await self._call("status", timeout_s=STATUS_S))

    async def refresh_code(self) -> None:
        """Ask for new codes."""
        await self._call("refreshCode", timeout_s=25)

    async def reload(self) -> None:
        """Load the page again, for an account that is not linked."""
        try:
            await self._page.reload(timeout_s=CALL_S)
        except BrowserError as error:
            raise PageBroken(_words(error)) from error

    async def link_code(self, phone: str) -> str:
        """A code to type on the phone of that number."""
        return str(await self._call("linkCode", {"phone": phone}, timeout_s=40))

    async def probe(self) -> None:
        """Have WhatsApp's server answer something; `PageTimeout` when it does not."""
        await self._call("probe", timeout_s=PROBE_S)

    async def download(self, message_id: str, max_bytes: int) -> bytes:
        """The file of a message.

        Raises:
            MediaGone: it cannot be had, or is larger than `max_bytes`.
        """
        answer = await self._call("download", {"id": message_id, "max": max_bytes}, timeout_s=DOWNLOAD_S)
        if answer.get("gone"):
            raise MediaGone(str(answer["gone"]))
        return base64.b64decode(answer["data"])

    async def logout(self) -> None:
        """Unlink; the page loads itself again while it does."""
        await self._call("logout")

    async def new_message_id(self, chat_id: str) -> str:
        """An id that WhatsApp accepts for a message to this chat."""
        return str(await self._call("newMessageId", {"chat": chat_id}))

    async def send(self, chat_id: str, text: str, message_id: str, *, read: bool) -> str:
        """Send, with a read receipt for the chat before it if wanted, and wait for the server.

        Returns:
            `OK`, or WhatsApp's word for why not.
        """
        what = {"chat": chat_id, "text": text, "id": message_id, "read": read}
        sent = await self._call("send", what, timeout_s=SEND_S)
        return str(sent["result"])

    async def find(self, chat_id: str, message_id: str) -> Ack | None:
        """How far a message got; None when the page does not know it."""
        ack: Ack | None = await self._call("find", {"chat": chat_id, "id": message_id})
        return ack

    async def show_typing(self, chat_id: str, duration_s: float, *, read: bool) -> None:
        """Show "typing…" for a while, after a read receipt for the chat if wanted."""
        await self._call("showTyping", {"chat": chat_id, "ms": int(duration_s * 1000), "read": read})

    async def chats_since(self, since: datetime) -> list[str]:
        """Chats with one person in which something happened since then or is unread; who waits longest comes first."""
        chats: list[str] = await self._call("chatsSince", {"since": int(since.timestamp())})
        return chats

    async def missed(self, since: datetime, chats: list[str]) -> Missed:
        """What those chats have since then, in both directions."""
        asked = {"since": int(since.timestamp()), "chats": chats, "count": MISSED_MESSAGES}
        missed = await self._call("missed", asked, timeout_s=MISSED_S)
        items: list[ChannelMessage | ChannelChange] = [parse_message(message) for message in missed["messages"]]
        return Missed(items + [parse_change(change) for change in missed["changes"]], len(missed["failed"]))


def _words(error: BrowserError) -> str:
    # The first line has the cause; an error of the page's goes on with where it was thrown.
    return (str(error).splitlines() or ["unknown"])[0][:200]
