"""WhatsApp Web in a real browser, driven by unmodified wa-js; and the phone that it is linked to."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from playwright.async_api import Error, Page, Playwright

from sandbox.servers import Endpoints
from tests.conftest import wait_for

WA_JS = Path(__file__).resolve().parents[2] / "node_modules/@wppconnect/wa-js/dist/wppconnect-wa.js"
QUIET = "window.WPPConfig = {disableGoogleAnalytics: true, linkPreviewApiServers: []};"
LISTEN = """
const collect = () => {
  if (!window.WPP?.isReady) return setTimeout(collect, 50);
  window.seen = {messages: [], acks: [], modes: [], changes: []};
  WPP.on('chat.new_message', ({id, body, type}) =>
    seen.messages.push({id: String(id), chat: String(id.remote), body, type, me: id.fromMe}));
  WPP.on('chat.msg_edited', ({id, msg}) => seen.changes.push(['edited', id, msg.body]));
  WPP.on('chat.msg_revoke', ({refId}) => seen.changes.push(['revoked', String(refId), null]));
  WPP.on('chat.new_reaction', ({msgId, reactionText}) =>
    seen.changes.push(['reaction', String(msgId), reactionText]));
  WPP.on('conn.stream_mode_changed', (mode) => seen.modes.push(mode));
  WPP.on('chat.msg_ack_change', ({ack, ids}) => ids.forEach((id) => seen.acks.push([String(id), ack])));
};
collect();
"""
SEND = """async ([chat, text, id]) => {
  const options = {createChat: true, linkPreview: false, markIsRead: false, waitForAck: true};
  const sent = await WPP.chat.sendTextMessage(chat, text, id ? {...options, messageId: id} : options);
  return {id: String(sent.id), result: (await sent.sendMsgResult).messageSendResult};
}"""


class WebPage:
    """An open page of WhatsApp Web."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def ask(self, script: str, argument: Any = None) -> Any:
        return await self.page.evaluate(script, argument)

    async def until(self, script: str) -> Any:
        """Wait for an expression of the page to be true, across reloads of the page."""

        async def look() -> Any:
            try:
                return await self.ask(f"window.WPP?.isReady && window.seen ? {script} : null")
            except Error as error:
                if "context was destroyed" in error.message:
                    return None
                raise

        return await wait_for(look, what=script)

    async def qr(self) -> str:
        return str(await self.until("WPP.conn.getAuthCode().then((code) => code?.fullCode)"))

    async def ready(self) -> None:
        # Only then are all of wa-js's hooks in place, and its `chat.hasUnread`: without that nothing is unread.
        await self.until("WPP.isFullReady && WPP.conn.isAuthenticated() && WPP.whatsapp.Stream.mode === 'MAIN'")

    async def send(self, chat: str, text: str, message_id: str | None = None) -> dict[str, str]:
        result: dict[str, str] = await self.ask(SEND, [chat, text, message_id])
        return result

    async def received(self, body: str) -> dict[str, Any]:
        """The one message with this text."""
        found: list[dict[str, Any]] = await self.until(
            f"(() => {{ const l = seen.messages.filter((m) => m.body === {body!r}); return l.length ? l : null; }})()"
        )
        assert len(found) == 1
        return found[0]


async def open_tab(page: Page) -> WebPage:
    """Open WhatsApp Web in a tab of a browser."""
    page.set_default_timeout(60_000)
    await page.add_init_script(QUIET)
    await page.add_init_script(path=WA_JS)
    await page.add_init_script(LISTEN)
    await page.goto("https://web.whatsapp.com/")
    return WebPage(page)


@asynccontextmanager
async def open_page(playwright: Playwright, sandbox: Endpoints, profile: Path) -> AsyncIterator[WebPage]:
    """Open WhatsApp Web with a browser profile."""
    context = await playwright.chromium.launch_persistent_context(
        profile,
        executable_path=os.environ.get("FLAME_CHROMIUM") or shutil.which("chromium"),
        args=list(sandbox.browser_arguments),
        chromium_sandbox=os.geteuid() != 0,
        bypass_csp=True,
    )
    try:
        yield await open_tab(context.pages[0])
    finally:
        await context.close()


class Phone:
    """The HTTP API of one phone."""

    def __init__(self, sandbox: Endpoints, number: str) -> None:
        self.number = number
        self.http = httpx2.AsyncClient(base_url=f"{sandbox.url}/phone/api", timeout=30)

    async def close(self) -> None:
        await self.http.aclose()

    async def tell(self, action: str, **body: Any) -> dict[str, Any]:
        answer = await self.http.post(f"/{self.number}/{action}", json=body)
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        return result

    async def pair(self, **how: str) -> httpx2.Response:
        return await self.http.post("/pair", json={"phone": self.number, "name": "Marta", **how})

    async def events(self, kind: str, **facts: Any) -> list[dict[str, Any]]:
        answer = await self.http.get(f"/{self.number}/events", params={"kind": kind})
        return [event for event in answer.json() if facts.items() <= event.items()]

    async def saw(self, kind: str, **facts: Any) -> dict[str, Any]:
        """Wait for the phone to see something; exactly once."""
        found: list[dict[str, Any]] = await wait_for(lambda: self.events(kind, **facts), what=f"{kind} {facts}")
        assert len(found) == 1
        return found[0]
