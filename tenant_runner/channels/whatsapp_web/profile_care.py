"""When to copy the browser profile, when to doubt it, and going back to the copy."""

import asyncio
import logging
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tenant_runner.channels.whatsapp_web.browser import Browser, ProfileInUse
from tenant_runner.channels.whatsapp_web.devtools import BrowserError
from tenant_runner.channels.whatsapp_web.profile_copy import CopyFailed, ProfileCopy

logger = logging.getLogger(__name__)

SPAWN_S = 60.0
COPY_AFTER_S = 60.0
COPY_EVERY_S = 24 * 3600.0
COPY_AGAIN_S = 3600.0
SPAWNS_UNTIL_DOUBT = 2
SPAWNS_UNTIL_DOUBT_AGAIN = 8


class ProfileCare:
    """Looks after one profile and its last good copy."""

    def __init__(self, profile: Path, chromium: Path | None) -> None:
        self._profile = profile
        self._chromium = chromium
        self._copy = ProfileCopy(profile)
        self._copy_after = 0.0
        self._failed_spawns = 0

    def spawned(self) -> None:
        """The browser started on the profile."""
        self._failed_spawns = 0

    def has_copy(self, phone: str | None) -> bool:
        """Whether there is a copy of this number's login that was not tried in vain yet."""
        return self._copy.usable(phone)

    async def is_damaged(self, phone: str | None, arguments: tuple[str, ...]) -> bool:
        """Whether the browser, which did not start, fails because of its profile and there is a copy.

        Proven by its starting well on an empty profile, with the same arguments.
        """
        self._failed_spawns += 1
        doubted = self._failed_spawns % SPAWNS_UNTIL_DOUBT_AGAIN == SPAWNS_UNTIL_DOUBT
        if not (doubted and self.has_copy(phone)):
            return False
        with TemporaryDirectory(dir=self._profile.parent, prefix="profile-try-") as empty:
            opening = Browser.open(Path(empty), chromium=self._chromium, arguments=arguments)
            try:
                async with asyncio.timeout(SPAWN_S):
                    browser = await opening
            except (ProfileInUse, TimeoutError, BrowserError, OSError):
                return False
            await browser.close()
        return True

    async def restore(self) -> None:
        """Go back to the copy.

        Raises:
            CopyFailed: nothing was changed.
        """
        await asyncio.to_thread(self._copy.restore)

    async def drop_copy(self) -> None:
        """The login is over: its copy must never come back."""
        await asyncio.to_thread(self._copy.drop)

    async def keep_copy(self, phone: str, connected_s: float) -> bool:
        """Copy a session that has been connected for a while, now and then; whether it was done now."""
        now = time.monotonic()
        if connected_s < COPY_AFTER_S or now < self._copy_after:
            return False
        age = self._copy.age(phone)
        if age is not None and age.total_seconds() < COPY_EVERY_S:
            self._copy_after = now + COPY_EVERY_S - age.total_seconds()
            return False
        self._copy_after = now + COPY_AGAIN_S
        try:
            await asyncio.to_thread(self._copy.take, phone)
        except CopyFailed as error:
            logger.warning("profile not copied", extra={"cause": str(error)})
            return False
        return True
