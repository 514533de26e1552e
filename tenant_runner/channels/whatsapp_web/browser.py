"""One Chromium on one persistent profile: started clean, ended without leaving a process behind."""

import asyncio
import logging
import os
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tenant_runner.channels.whatsapp_web.chromium import Chromium, Launched, launch
from tenant_runner.channels.whatsapp_web.command_line import build_arguments
from tenant_runner.channels.whatsapp_web.devtools import BrowserError
from tenant_runner.channels.whatsapp_web.tab import Tab

logger = logging.getLogger(__name__)

# Directory among a client's files.
PROFILE = "profile"
CLOSE_S = 4.0
LEFTOVER_GRACE_S = 3.0


class ProfileInUse(Exception):
    """Another living process holds the browser profile."""


@dataclass(frozen=True)
class Begun:
    """A browser that was started and that nobody uses yet.

    Attributes:
        arguments: of its environment, that it was started with.
    """

    arguments: tuple[str, ...]
    launched: Launched

    def fits(self, arguments: tuple[str, ...]) -> bool:
        """Whether it runs and was started with these."""
        return self.arguments == arguments and self.launched.process.poll() is None


class Browser:
    """A running Chromium with its one page.

    Attributes:
        lost: set when the page or the browser ended, whatever the reason.
    """

    def __init__(self, chromium: Chromium, profile: Path, lost: asyncio.Event) -> None:
        self._chromium = chromium
        self._profile = profile
        self.lost = lost

    @classmethod
    async def open(
        cls,
        profile: Path,
        *,
        chromium: Path | None,
        arguments: tuple[str, ...],
        service_workers: bool = True,
        begun: Begun | None = None,
    ) -> "Browser":
        """Start Chromium on the profile, after ending what a killed runner may have left of it.

        Args:
            chromium: path of the program, None for the first that is installed.
            arguments: of the command line, beside ours.
            service_workers: False has everything loaded past those that the profile keeps, and no new ones.
            begun: one that was started on this profile: used if it runs with the same arguments, ended if not.

        Raises:
            ProfileInUse: a living process on this machine or another holds the profile.
            BrowserError: the browser did not start.
        """
        if begun is not None and not begun.fits(arguments):
            await asyncio.to_thread(begun.launched.abandon)
            begun = None
        launched = begun.launched if begun else launch(chromium, await asyncio.to_thread(_prepare, profile, arguments))
        lost = asyncio.Event()
        try:
            browser = cls(await Chromium.take_over(launched, lost.set), profile, lost)
        except BaseException:
            launched.abandon()
            raise
        try:
            await browser._open_tab(service_workers=service_workers)
        except BrowserError as error:
            cause = await browser._chromium.last_words() if lost.is_set() else str(error)
            await browser._end()
            raise BrowserError(f"the browser did not start: {cause}") from error
        except BaseException:
            await browser._end()
            raise
        return browser

    async def _open_tab(self, *, service_workers: bool) -> None:
        session = self._chromium.connection.session()
        agent = (await session.call("Browser.getVersion"))["userAgent"]
        await session.call("Browser.setDownloadBehavior", behavior="deny")
        target = (await session.call("Target.createTarget", url="about:blank"))["targetId"]
        name = (await session.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        page = self._chromium.connection.session(name)
        self._tab = await Tab.open(page, on_loss=self.lost.set, agent=agent)
        session.on("Target.detachedFromTarget", self._detached)
        self._name = name
        if not service_workers:
            await self._tab.refuse_service_workers()

    def _detached(self, event: dict[str, str]) -> None:
        if event["sessionId"] == self._name:
            self._tab.lose("the page was closed")

    async def page(self, *, scripts: tuple[str, ...], events: dict[str, Callable[..., object]]) -> Tab:
        """The browser's page, with functions that it may call and scripts that run before each of its documents."""
        for name, function in events.items():
            await self._tab.add_function(name, function)
        # Added in this order; none waits for the answer to the one before.
        await asyncio.gather(*map(self._tab.add_script, scripts))
        return self._tab

    async def answer_with(self, url: str, html: str) -> None:
        """See `Tab.answer_with`."""
        await self._tab.answer_with(url, html)

    async def close(self) -> None:
        """Close politely, so that the profile is written; kill what does not close in time."""
        with suppress(BrowserError, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._chromium.connection.session().call("Browser.close")
                await self._chromium.wait()
        await self._end()
        self.lost.set()

    async def _end(self) -> None:
        await self._chromium.kill()
        await asyncio.to_thread(end_leftovers, self._profile, 0.0)


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


def begin(profile: Path, *, chromium: Path | None, arguments: tuple[str, ...]) -> Begun:
    """Start a browser for whoever opens one on this profile next; blocks for a moment.

    Raises:
        ProfileInUse: as `Browser.open`.
        BrowserError: there is no Chromium.
    """
    return Begun(arguments, launch(chromium, _prepare(profile, arguments)))


def _prepare(profile: Path, arguments: tuple[str, ...]) -> list[str]:
    """Make the profile ready, and the command line."""
    profile.mkdir(mode=0o700, parents=True, exist_ok=True)
    end_leftovers(profile)
    remove_stale_lock(profile)
    return build_arguments(arguments, profile=profile, sandbox=can_sandbox())


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
