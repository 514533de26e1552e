"""The WhatsApp Web channel: a browser kept alive, a page kept honest, one session for the rest of the runner."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tenant_runner.channels.base import ChannelListener, ChannelNotReady
from tenant_runner.channels.snapshot import Snapshot
from tenant_runner.channels.whatsapp_web.attempts import Attempts
from tenant_runner.channels.whatsapp_web.browser import Begun, Browser, ProfileInUse
from tenant_runner.channels.whatsapp_web.catch_up import CatchUp
from tenant_runner.channels.whatsapp_web.devtools import BrowserError
from tenant_runner.channels.whatsapp_web.inbox import Inbox
from tenant_runner.channels.whatsapp_web.page import PageBroken, WhatsAppPage
from tenant_runner.channels.whatsapp_web.profile_care import SPAWN_S, ProfileCare
from tenant_runner.channels.whatsapp_web.profile_copy import CopyFailed
from tenant_runner.channels.whatsapp_web.pulse import Pulse
from tenant_runner.channels.whatsapp_web.requests import PageRequests
from tenant_runner.channels.whatsapp_web.sweeps import Sweeps
from tenant_runner.channels.whatsapp_web.versions import PageUnsupported, pinned_page
from tenant_runner.channels.whatsapp_web.watch import PAGE_S, LinkWatch, Verdict
from tenant_runner.contract import ChannelConfig, LinkCode, SessionChanged, SessionReason, SessionState

logger = logging.getLogger(__name__)

STOP_S = 8.0
ROUND_TRIP_S = 30.0
WATCH_S = 1.0
FAILED_ROUND_TRIPS = 3
FAILED_WHILE_LOADING = 10

# What is waited for on the page itself: beginning anew afterwards is no failure of ours.
_PATIENT = (SessionReason.CONFLICT, SessionReason.RESTRICTED)


class _Recycle(Exception):
    """This browser is of no more use."""

    def __init__(self, reason: SessionReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class _Planned(Exception):
    """The browser is to begin anew though nothing failed."""


class _Damaged(Exception):
    """The profile lost what it is kept for, and there is a copy."""


class WhatsAppWebSession(PageRequests):
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
        begun: Begun | None = None,
    ) -> None:
        super().__init__()
        self._config = config
        self._listener = listener
        self._profile = profile
        self._chromium = chromium
        self._begun = begun
        self._snapshot = Snapshot(session_version)
        self._watch = LinkWatch(config, self._snapshot, linked_phone)
        self._sweeps = Sweeps()
        self._inbox = Inbox(listener, self._sweeps.want)
        self._catch_up = CatchUp(listener, self._inbox, self._sweeps)
        self._attempts = Attempts()
        self._told_version = 0
        self._connected_since: float | None = None
        self._recycle_wanted = False
        self._care = ProfileCare(profile, chromium)
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
            asyncio.create_task(self._inbox.hand_over(), name="whatsapp-web-inbox"),
        ]

    async def stop(self) -> None:
        """Close the browser; the profile keeps the account linked."""
        running = set(self._tasks)
        while running:
            for task in running:
                task.cancel()
            # Once is enough, unless something on the way took the cancellation for its own.
            _, running = await asyncio.wait(running, timeout=STOP_S)
        self._tasks = []
        self._snapshot.change(SessionState.STOPPED, SessionReason.STOPPED, phone=self._watch.linked_phone)
        await self._tell()

    async def reconfigure(self, config: ChannelConfig) -> bool:
        """Numbers apply at once; another page or browser needs a restart."""
        if _surroundings(config) != _surroundings(self._config):
            return False
        self._config = self._watch.config = config
        self._nudge.set()
        return True

    async def recycle(self) -> None:
        """Close the browser and open it again."""
        self._recycle_wanted = True
        self._nudge.set()

    async def _keep_running(self) -> None:
        while True:
            self._connected_since = None
            try:
                await self._run_once()
            except _Planned:
                logger.info("browser recycled as planned")
            except _Damaged as error:
                await self._go_back_to_copy(str(error))
            except _Recycle as error:
                await self._wait_after(error.reason, error.detail)
            except Exception as error:
                # Whatever it was, the customer's session comes back by itself.
                logger.exception("session broke")
                await self._wait_after(SessionReason.BROWSER_FAILED, type(error).__name__)

    async def _wait_after(self, reason: SessionReason, detail: str) -> None:
        if reason in _PATIENT:
            self._watch.hold_what_is_shown()
            return
        connected_s = time.monotonic() - self._connected_since if self._connected_since is not None else 0.0
        pause = self._attempts.failed(reason, connected_s)
        logger.warning(
            "browser recycled",
            extra={"reason": reason.value, "detail": detail, "attempt": pause.attempt, "delay": pause.delay_s},
        )
        self._watch.hold(pause.state, reason, detail=detail, attempt=pause.attempt)
        self._snapshot.change(
            pause.state,
            reason,
            detail=detail,
            attempt=pause.attempt,
            next_attempt_at=pause.next_attempt_at,
            phone=self._watch.linked_phone,
        )
        await self._tell()
        await asyncio.sleep(pause.delay_s)

    async def _go_back_to_copy(self, cause: str) -> None:
        logger.warning("profile damaged", extra={"cause": cause})
        try:
            await self._care.restore()
        except CopyFailed as error:
            self._watch.copy_hopeless = True
            await self._wait_after(SessionReason.BROWSER_FAILED, f"{cause}; its copy could not be used ({error})")

    async def _run_once(self) -> None:
        self._watch.preparing("browser")
        await self._tell()
        pinned = self._pinned_page()
        async with self._open_browser() as browser:
            if pinned is not None:
                await browser.answer_with(self._config.url, pinned)
            self._watch.preparing("page")
            await self._tell()
            self._recycle_wanted = False
            self._watch.new_page(time.monotonic())
            try:
                page = await WhatsAppPage.open(browser, self._config.url, on_event=self._page_event, timeout_s=PAGE_S)
            except PageBroken as error:
                raise _Recycle(SessionReason.PAGE_UNREACHABLE, str(error)) from error
            except BrowserError as error:
                raise _Recycle(SessionReason.BROWSER_FAILED, "the browser ended while it loaded the page") from error
            self._listener.channel_opened()
            self._page = page
            self._pulse = Pulse(time.monotonic())
            try:
                await self._look_after(page, browser)
            finally:
                self._page = None
                self._working.clear()
                # The next page may be another number's.
                self._reply_ids.clear()

    def _pinned_page(self) -> str | None:
        if self._config.page_version is None:
            return None
        try:
            return pinned_page(self._config.page_version)
        except PageUnsupported as error:
            raise _Recycle(SessionReason.PAGE_UNSUPPORTED, str(error)) from error

    @asynccontextmanager
    async def _open_browser(self) -> AsyncIterator[Browser]:
        begun, self._begun = self._begun, None
        opening = Browser.open(
            self._profile,
            chromium=self._chromium,
            arguments=self._config.browser_arguments,
            # A service worker would answer with the version that it keeps.
            service_workers=self._config.page_version is None,
            begun=begun,
        )
        try:
            async with asyncio.timeout(SPAWN_S):
                browser = await opening
        except (ProfileInUse, TimeoutError, BrowserError, OSError) as error:
            words = str(error).splitlines()[0][:200] if str(error) else "the browser did not start in time"
            phone, arguments = self._watch.linked_phone, self._config.browser_arguments
            if isinstance(error, BrowserError) and await self._care.is_damaged(phone, arguments):
                raise _Damaged("the browser does not start on its profile") from error
            raise _Recycle(SessionReason.BROWSER_FAILED, words) from error
        self._care.spawned()
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
            if self._recycle_wanted:
                raise _Planned
            try:
                status = await page.status()
            except PageBroken as error:
                failures += 1
                self._page_failed(str(error), failures)
            else:
                failures = 0
                verdict = self._watch.read(status, time.monotonic())
                if not status.working:
                    self._snapshot.round_trip()
                if verdict is Verdict.RECYCLE:
                    await self._tell()
                    raise _Recycle(*self._watch.failure)
                if verdict is Verdict.RESTORE:
                    if self._care.has_copy(self._watch.linked_phone):
                        raise _Damaged("the browser lost its login")
                    self._watch.copy_hopeless = True
                    continue
                if verdict is Verdict.LOG_OUT:
                    await self._leave(page)
            await self._settle(page)
            if not failures and self.session.state is SessionState.WORKING:
                await self._take_pulse(page)
                await self._keep_copy()
            await self._wait_for_news(browser)

    async def _keep_copy(self) -> None:
        phone = self.session.phone
        connected_s = time.monotonic() - self._connected_since if self._connected_since is not None else 0.0
        if phone is not None and await self._care.keep_copy(phone, connected_s):
            self._watch.copy_hopeless = False

    def _page_failed(self, detail: str, failures: int) -> None:
        working = self.session.state is SessionState.WORKING
        if failures >= (FAILED_ROUND_TRIPS if working else FAILED_WHILE_LOADING):
            raise _Recycle(SessionReason.RECONNECTING, f"the page stopped answering ({detail})")
        if working:
            self._degrade("the page did not answer the last check")

    def _degrade(self, detail: str) -> None:
        self._snapshot.change(
            SessionState.WORKING,
            SessionReason.DEGRADED,
            detail=detail,
            phone=self.session.phone,
            push_name=self.session.push_name,
        )

    async def _take_pulse(self, page: WhatsAppPage) -> None:
        if not self._pulse.due(time.monotonic()):
            return
        if await self._pulse.ask(page, time.monotonic()):
            self._snapshot.round_trip()
        if self._pulse.lost:
            detail = "WhatsApp's server did not answer though the page says that it is connected"
            raise _Recycle(SessionReason.RECONNECTING, detail)
        doubt = "WhatsApp's server did not answer the last question" if self._pulse.unanswered else None
        if doubt != self._watch.doubt:
            self._watch.doubt = doubt
            self._nudge.set()

    async def _leave(self, page: WhatsAppPage) -> None:
        self._working.clear()
        self._watch.logout_wanted()
        logger.warning("wrong number logged out")
        with suppress(PageBroken):
            await page.logout()

    async def _settle(self, page: WhatsAppPage) -> None:
        """Make the rest of the session follow the snapshot."""
        if self.session.reason is SessionReason.CONNECTED:
            if self._connected_since is None:
                self._connected_since = time.monotonic()
            if not self._working.is_set():
                self._sweeps.connected(time.monotonic())
                self._working.set()
            await self._tell()
            phone = self.session.phone
            if phone is not None and self._sweeps.due(time.monotonic(), sealed=self._inbox.has_sealed):
                await self._catch_up.run(page, phone)
        else:
            self._working.clear()
            if self.session.state is SessionState.SCAN_QR_CODE and self.session.version != self._told_version:
                # Whoever ended the login, its copy must never come back.
                await self._care.drop_copy()
            await self._tell()

    async def _wait_for_news(self, browser: Browser) -> None:
        calm = self.session.reason in (SessionReason.CONNECTED, SessionReason.RESTRICTED)
        quiet = calm and not self._sweeps.is_near(sealed=self._inbox.has_sealed)
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

    def _page_event(self, name: str, payload: Any) -> None:
        """Called by the page, in order; nothing is done here but sorting."""
        if name == "message":
            self._keep_reply_id(payload)
        if self._inbox.take(name, payload):
            if name == "ack" or not payload.get("fromMe"):
                self._pulse.traffic(time.monotonic())
                self._snapshot.round_trip()
            return
        if name == "logout":
            self._watch.logout_told()
            if payload is not None:
                logger.warning("logged out", extra={"cause": payload})
        self._nudge.set()

    # ------------------------------------------------------------------------------------------------ linking

    async def refresh_code(self) -> None:
        """Ask WhatsApp for new codes; nothing to do when the account is linked."""
        if self.session.state is SessionState.WORKING:
            return
        page = self._open_page()
        fresh_page = self._watch.needs_reload
        self._watch.new_codes_wanted()
        try:
            await (page.reload() if fresh_page else page.refresh_code())
        except PageBroken as error:
            raise ChannelNotReady(str(error)) from error
        finally:
            self._nudge.set()

    async def link_code(self, phone: str) -> LinkCode:
        """A code to type on the phone; shown in the session until it expires."""
        page = self._open_page()
        if self.session.state not in (SessionState.SCAN_QR_CODE, SessionState.PASSKEY_REQUIRED):
            raise ChannelNotReady("no code is asked for now")
        try:
            code = await page.link_code(phone)
        except PageBroken as error:
            raise ChannelNotReady(str(error)) from error
        shown = self._watch.link_code_made(code, time.monotonic())
        await self._tell()
        self._nudge.set()
        return LinkCode(code=shown.code, expires_at=shown.expires_at)

    async def logout(self) -> None:
        """Unlink this device; its codes are shown again afterwards."""
        page = self._open_page()
        self._watch.logout_wanted()
        try:
            await page.logout()
        except PageBroken as error:
            self._watch.logout_wanted(wanted=False)
            raise ChannelNotReady(str(error)) from error
        finally:
            self._nudge.set()

    def _open_page(self) -> WhatsAppPage:
        if self._page is None:
            raise ChannelNotReady("the page is not open")
        return self._page


def _surroundings(config: ChannelConfig) -> tuple[object, ...]:
    return (config.url, config.browser_arguments, config.page_version)
