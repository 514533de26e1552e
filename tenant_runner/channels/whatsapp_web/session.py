"""The WhatsApp Web channel: a browser kept alive, a page kept honest, one session for the rest of the runner."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from playwright.async_api import Error as PlaywrightError

from tenant_runner.channels.base import (
    Ack,
    ChannelListener,
    ChannelMessage,
    ChannelNotReady,
    MediaGone,
    SendRefused,
    SendUnknown,
)
from tenant_runner.channels.snapshot import Snapshot
from tenant_runner.channels.whatsapp_web.browser import Browser, ProfileInUse
from tenant_runner.channels.whatsapp_web.page import PageBroken, PageTimeout, WhatsAppPage, parse_message
from tenant_runner.channels.whatsapp_web.watch import PAGE_S, LinkWatch, Verdict
from tenant_runner.contract import ChannelConfig, LinkCode, SessionChanged, SessionReason, SessionState

logger = logging.getLogger(__name__)

SPAWN_S = 60.0
ROUND_TRIP_S = 30.0
WATCH_S = 1.0
FAILED_ROUND_TRIPS = 3
FAILED_WHILE_LOADING = 10
LONGEST_BACKOFF_S = 60.0
ATTEMPTS_UNTIL_FAILED = 4


class _Recycle(Exception):
    """This browser is of no more use."""

    def __init__(self, reason: SessionReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class WhatsAppWebSession:
    """See `Channel`."""

    def __init__(
        self,
        config: ChannelConfig,
        listener: ChannelListener,
        *,
        profile: Path,
        chromium: Path | None,
        linked_phone: str | None,
        session_version: int,
    ) -> None:
        self._config = config
        self._listener = listener
        self._profile = profile
        self._chromium = chromium
        self._snapshot = Snapshot(session_version)
        self._watch = LinkWatch(config, self._snapshot, linked_phone)
        self._told_version = 0
        self._page: WhatsAppPage | None = None
        self._working = asyncio.Event()
        self._nudge = asyncio.Event()
        self._ran_well = False
        self._catch_up_due = False
        self._inbox: asyncio.Queue[ChannelMessage | tuple[str, Ack]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    # ------------------------------------------------------------------------------------------------ lifecycle

    @property
    def session(self) -> SessionChanged:
        """The session now."""
        return self._snapshot.session

    async def start(self) -> None:
        """Connect in the background."""
        self._tasks = [
            asyncio.create_task(self._keep_running(), name="whatsapp-web"),
            asyncio.create_task(self._hand_over(), name="whatsapp-web-inbox"),
        ]

    async def stop(self) -> None:
        """Close the browser; the profile keeps the account linked."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._snapshot.change(SessionState.STOPPED, SessionReason.STOPPED, phone=self._watch.linked_phone)
        await self._tell()

    async def reconfigure(self, config: ChannelConfig) -> bool:
        """Numbers apply at once; another address or browser needs a restart."""
        if (config.url, config.browser_arguments) != (self._config.url, self._config.browser_arguments):
            return False
        self._config = self._watch.config = config
        self._nudge.set()
        return True

    async def _keep_running(self) -> None:
        attempt = 0
        while True:
            started = time.monotonic()
            try:
                await self._run_once()
            except _Recycle as error:
                reason, detail = error.reason, error.detail
            except Exception as error:
                # Whatever it was, the customer's session comes back by itself.
                logger.exception("session broke")
                reason, detail = SessionReason.BROWSER_FAILED, type(error).__name__
            if time.monotonic() - started > 10 * LONGEST_BACKOFF_S or self._ran_well:
                attempt = 0
            attempt += 1
            delay_s = min(LONGEST_BACKOFF_S, 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)  # noqa: S311 (jitter)
            logger.warning(
                "browser recycled",
                extra={"reason": reason.value, "detail": detail, "attempt": attempt, "delay": delay_s},
            )
            state = SessionState.STARTING if attempt < ATTEMPTS_UNTIL_FAILED else SessionState.FAILED
            detail = f"{detail}; attempt {attempt} ended, trying again"
            self._snapshot.change(state, reason, detail=detail, phone=self._watch.linked_phone)
            await self._tell()
            await asyncio.sleep(delay_s)

    async def _run_once(self) -> None:
        self._ran_well = False
        self._snapshot.change(
            SessionState.STARTING, SessionReason.PREPARING, phase="browser", phone=self._watch.linked_phone
        )
        await self._tell()
        async with self._open_browser() as browser:
            self._snapshot.change(
                SessionState.STARTING, SessionReason.PREPARING, phase="page", phone=self._watch.linked_phone
            )
            await self._tell()
            self._watch.new_page(time.monotonic())
            try:
                page = await WhatsAppPage.open(browser, self._config.url, on_event=self._page_event, timeout_s=PAGE_S)
            except PageBroken as error:
                raise _Recycle(SessionReason.PAGE_UNREACHABLE, str(error)) from error
            except PlaywrightError as error:
                raise _Recycle(SessionReason.BROWSER_FAILED, "the browser ended while it loaded the page") from error
            self._page = page
            try:
                await self._look_after(page, browser)
            finally:
                self._page = None
                self._working.clear()

    @asynccontextmanager
    async def _open_browser(self) -> AsyncIterator[Browser]:
        opening = Browser.open(self._profile, chromium=self._chromium, arguments=self._config.browser_arguments)
        try:
            browser = await asyncio.wait_for(opening, SPAWN_S)
        except (ProfileInUse, TimeoutError, PlaywrightError, OSError) as error:
            words = str(error).splitlines()[0][:200] if str(error) else "the browser did not start in time"
            raise _Recycle(SessionReason.BROWSER_FAILED, words) from error
        try:
            yield browser
        finally:
            await asyncio.shield(browser.close())

    # ------------------------------------------------------------------------------------------------ watching

    async def _look_after(self, page: WhatsAppPage, browser: Browser) -> None:
        failures = 0
        while True:
            if browser.lost.is_set():
                raise _Recycle(SessionReason.RECONNECTING, "the browser ended")
            try:
                status = await page.status()
            except PageBroken as error:
                failures += 1
                self._page_failed(str(error), failures)
            else:
                failures = 0
                self._snapshot.round_trip()
                verdict = self._watch.read(status, time.monotonic())
                if verdict is Verdict.RECYCLE:
                    raise _Recycle(*self._watch.failure)
                if verdict is Verdict.LOG_OUT:
                    await self._leave(page)
            await self._settle(page)
            await self._wait_for_news(browser)

    def _page_failed(self, detail: str, failures: int) -> None:
        working = self.session.state is SessionState.WORKING
        if failures >= (FAILED_ROUND_TRIPS if working else FAILED_WHILE_LOADING):
            raise _Recycle(SessionReason.RECONNECTING, f"the page stopped answering ({detail})")
        if working:
            self._snapshot.change(
                SessionState.WORKING,
                SessionReason.DEGRADED,
                detail="the page did not answer the last check",
                phone=self.session.phone,
                push_name=self.session.push_name,
            )

    async def _leave(self, page: WhatsAppPage) -> None:
        self._working.clear()
        self._watch.logout_wanted()
        logger.warning("wrong number logged out")
        with suppress(PageBroken):
            await page.logout()

    async def _settle(self, page: WhatsAppPage) -> None:
        """Make the rest of the session follow the snapshot."""
        if self.session.reason is SessionReason.CONNECTED:
            if not self._working.is_set():
                self._ran_well = self._catch_up_due = True
                self._working.set()
            await self._tell()
            if self._catch_up_due:
                await self._catch_up(page)
        else:
            self._working.clear()
            await self._tell()

    async def _catch_up(self, page: WhatsAppPage) -> None:
        phone = self.session.phone
        if phone is None:
            return
        since = await self._listener.catch_up_from(phone)
        try:
            missed = await page.missed(since)
        except PageBroken as error:
            logger.warning("catching up failed", extra={"cause": str(error)})
            return
        self._catch_up_due = False
        for message in missed:
            self._inbox.put_nowait(message)

    async def _wait_for_news(self, browser: Browser) -> None:
        quiet = self.session.reason is SessionReason.CONNECTED and not self._catch_up_due
        waiting = {asyncio.ensure_future(self._nudge.wait()), asyncio.ensure_future(browser.lost.wait())}
        try:
            await asyncio.wait(waiting, timeout=ROUND_TRIP_S if quiet else WATCH_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in waiting:
                future.cancel()
        self._nudge.clear()

    async def _tell(self) -> None:
        if self.session.version != self._told_version:
            self._told_version = self.session.version
            await self._listener.session_changed(self.session)

    # ------------------------------------------------------------------------------------------------ events

    def _page_event(self, name: str, payload: Any) -> None:
        """Called by the page, in order; nothing is done here but sorting."""
        if name == "message":
            self._inbox.put_nowait(parse_message(payload))
        elif name == "ack":
            self._inbox.put_nowait((payload["id"], payload["ack"]))
        elif name == "logout":
            logger.warning("logged out", extra={"cause": payload})
            self._nudge.set()
        else:
            self._nudge.set()

    async def _hand_over(self) -> None:
        while True:
            item = await self._inbox.get()
            try:
                if isinstance(item, ChannelMessage):
                    await self._listener.message_received(item)
                else:
                    await self._listener.message_acknowledged(*item)
            except Exception:
                # It was not stored, so it was not marked read either: ask the page for it again.
                logger.exception("channel event was not taken in")
                self._catch_up_due = True

    # ------------------------------------------------------------------------------------------------ requests

    async def wait_until_working(self) -> None:
        """Return once the session is WORKING and proven."""
        await self._working.wait()

    def _working_page(self) -> WhatsAppPage:
        if self._page is None or not self._working.is_set():
            raise ChannelNotReady("the session is not connected")
        return self._page

    async def new_message_id(self, chat_id: str) -> str:
        """An id that WhatsApp accepts."""
        try:
            return await self._working_page().new_message_id(chat_id)
        except PageBroken as error:
            raise ChannelNotReady(str(error)) from error

    async def send(self, chat_id: str, text: str, message_id: str) -> None:
        """Send; raises as `Channel.send` says."""
        page = self._working_page()
        try:
            result = await page.send(chat_id, text, message_id)
        except PageTimeout as error:
            raise SendUnknown(str(error)) from error
        except PageBroken as error:
            # The call may have broken before or after the message left.
            raise SendUnknown(str(error)) from error
        if result in ("ERROR_NETWORK", "ERROR_EXPIRED", "None"):
            raise SendUnknown(result)
        if result != "OK":
            raise SendRefused(result)

    async def find(self, chat_id: str, message_id: str) -> Ack | None:
        """How far a message got."""
        try:
            return await self._working_page().find(chat_id, message_id)
        except PageBroken as error:
            raise ChannelNotReady(str(error)) from error

    async def show_typing(self, chat_id: str, duration_s: float) -> None:
        """Show "typing…"."""
        with suppress(PageBroken, ChannelNotReady):
            await self._working_page().show_typing(chat_id, duration_s)

    async def mark_read(self, chat_id: str) -> None:
        """Send read receipts."""
        with suppress(PageBroken, ChannelNotReady):
            await self._working_page().mark_read(chat_id)

    async def refresh_code(self) -> None:
        """Ask WhatsApp for new codes; nothing to do when the account is linked."""
        if self.session.state is SessionState.WORKING:
            return
        if self._page is None:
            raise ChannelNotReady("the page is not open")
        self._watch.new_codes_wanted()
        try:
            await self._page.refresh_code()
        except PageBroken as error:
            raise ChannelNotReady(str(error)) from error
        finally:
            self._nudge.set()

    async def link_code(self, phone: str) -> LinkCode:
        """A code to type on the phone."""
        raise ChannelNotReady("linking by code is not possible here yet")

    async def download(self, chat_id: str, message_id: str, max_bytes: int) -> bytes:
        """The file of a message."""
        raise MediaGone("files are not read yet")

    async def recycle(self) -> None:
        """Close the browser and open it again."""

    async def logout(self) -> None:
        """Unlink this device; its codes are shown again afterwards."""
        if self._page is None:
            raise ChannelNotReady("the page is not open")
        self._watch.logout_wanted()
        try:
            await self._page.logout()
        except PageBroken as error:
            self._watch.logout_wanted(wanted=False)
            raise ChannelNotReady(str(error)) from error
        finally:
            self._nudge.set()
