"""One Chromium on one persistent profile: started clean, ended without leaving a process behind."""

import asyncio
import logging
import os
import re
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
from playwright.async_api import BrowserContext, Error, Page, Playwright, Route, async_playwright

from tenant_runner.channels.whatsapp_web.command_line import DRIVER, build_arguments

logger = logging.getLogger(__name__)

CLOSE_S = 4.0
LEFTOVER_GRACE_S = 3.0


class ProfileInUse(Exception):
    """Another living process holds the browser profile."""


class Browser:
    """A running Chromium with its one page."""

    def __init__(self, playwright: Playwright, context: BrowserContext, profile: Path) -> None:
        self._playwright = playwright
        self._context = context
        self._profile = profile
        self.lost = asyncio.Event()
        context.on("close", lambda _: self.lost.set())

    @classmethod
    async def open(
        cls, profile: Path, *, chromium: Path | None, arguments: tuple[str, ...], service_workers: bool = True
    ) -> "Browser":
        """Start Chromium on the profile, after ending what a killed runner may have left of it.

        Raises:
            ProfileInUse: a living process on this machine or another holds the profile.
            playwright.async_api.Error: the browser did not start.
        """
        await asyncio.to_thread(_prepare, profile)
        # Playwright knows no other way to be told.
        os.environ.setdefault("PLAYWRIGHT_NODEJS_PATH", str(DRIVER))
        playwright = await async_playwright().start()
        try:
            context = await playwright.chromium.launch_persistent_context(
                profile,
                executable_path=chromium,
                headless=True,
                chromium_sandbox=await asyncio.to_thread(can_sandbox),
                args=build_arguments(arguments),
                bypass_csp=True,
                service_workers="allow" if service_workers else "block",
                viewport={"width": 1280, "height": 800},
                handle_sigint=False,
                handle_sigterm=False,
                handle_sighup=False,
            )
        except BaseException:
            with suppress(Error):
                await playwright.stop()
            await asyncio.to_thread(end_leftovers, profile)
            raise
        return cls(playwright, context, profile)

    async def page(self, *, scripts: tuple[str, ...], events: dict[str, Callable[..., object]]) -> Page:
        """The browser's page, with functions that it may call and scripts that run before each of its documents."""
        for name, function in events.items():
            await self._context.expose_function(name, function)
        for script in scripts:
            await self._context.add_init_script(script=script)
        page = self._context.pages[0] if self._context.pages else await self._context.new_page()
        await self._name_properly(page)
        page.on("crash", lambda _: self.lost.set())
        page.on("close", lambda _: self.lost.set())
        return page

    async def answer_with(self, url: str, html: str) -> None:
        """Answer the page's own address with this document; its look for a newer one finds nothing."""
        address = re.compile(re.escape(url.rstrip("/")) + r"/?(\?.*)?$")
        updates = re.compile(re.escape(url.rstrip("/")) + r"/check-update\b.*")

        async def answer(route: Route) -> None:
            if route.request.resource_type == "document":
                await route.fulfill(status=200, content_type="text/html; charset=utf-8", body=html)
            else:
                await route.continue_()

        await self._context.route(address, answer)
        await self._context.route(updates, lambda route: route.abort())

    async def _name_properly(self, page: Page) -> None:
        # WhatsApp Web turns browsers away whose name it does not know, and "HeadlessChrome" is one of them.
        agent = str(await page.evaluate("navigator.userAgent"))
        if "HeadlessChrome" in agent:
            devtools = await self._context.new_cdp_session(page)
            await devtools.send(
                "Emulation.setUserAgentOverride", {"userAgent": agent.replace("HeadlessChrome", "Chrome")}
            )

    async def close(self) -> None:
        """Close politely, so that the profile is written; kill what does not close in time."""
        with suppress(Error, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._context.close()
        with suppress(Error, TimeoutError):
            async with asyncio.timeout(CLOSE_S / 2):
                await self._playwright.stop()
        await asyncio.to_thread(end_leftovers, self._profile, 0.0)
        self.lost.set()


def can_sandbox() -> bool:
    """Whether Chromium's own sandbox works here: not as root, and only where user namespaces are allowed."""
    if os.geteuid() == 0:
        return False
    try:
        # What it begins with itself: an account, processes and a network of its own.
        command = ["unshare", "--user", "--map-root-user", "--pid", "--net", "--fork", "true"]
        done = subprocess.run(command, capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        logger.warning("the browser runs without its own sandbox", extra={"cause": type(error).__name__})
        return False
    if done.returncode != 0:
        cause = done.stderr.decode(errors="replace").strip()
        logger.warning("the browser runs without its own sandbox", extra={"cause": cause})
    return done.returncode == 0


def _prepare(profile: Path) -> None:
    profile.mkdir(mode=0o700, parents=True, exist_ok=True)
    end_leftovers(profile)
    remove_stale_lock(profile)


def browsers_of(profile: Path) -> list[psutil.Process]:
    """Every process that was started on this profile."""
    wanted = f"--user-data-dir={profile}"
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if wanted in process.cmdline():
                found.append(process)
    return found


def end_leftovers(profile: Path, grace_s: float = LEFTOVER_GRACE_S) -> None:
    """End every browser process that runs on this profile, and their children; blocks for a few seconds at most."""
    browsers = browsers_of(profile)
    if not browsers:
        return
    family = list(browsers)
    for browser in browsers:
        with suppress(psutil.Error):
            family.extend(browser.children(recursive=True))
            if grace_s:
                browser.terminate()
    _, alive = psutil.wait_procs(family, timeout=grace_s)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=2)
    logger.warning("leftover browser ended", extra={"processes": len(family), "killed": len(alive)})


def remove_stale_lock(profile: Path) -> None:
    """Remove Chromium's lock on the profile, but only when its owner is proven dead.

    Raises:
        ProfileInUse: the owner lives, or is on another machine where nothing can be proven.
    """
    lock = profile / "SingletonLock"
    try:
        host, _, pid = str(lock.readlink()).rpartition("-")
    except OSError:
        return
    if host != socket.gethostname():
        raise ProfileInUse(f"the browser profile is locked by process {pid} of the machine {host}")
    if pid.isdigit() and psutil.pid_exists(int(pid)):
        try:
            if f"--user-data-dir={profile}" in psutil.Process(int(pid)).cmdline():
                raise ProfileInUse(f"the browser profile is used by process {pid}")
        except psutil.AccessDenied as error:
            # Not to be seen is not to be dead.
            raise ProfileInUse(f"the browser profile may be used by process {pid}") from error
        except psutil.NoSuchProcess:
            pass
        # The number was given to some other process since, or that one is gone too.
    for name in ("SingletonLock", "SingletonSocket", "SingletonCookie"):
        with suppress(FileNotFoundError):
            (profile / name).unlink()
    logger.info("stale browser lock removed")
