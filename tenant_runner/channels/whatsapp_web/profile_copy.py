"""The last good copy of a browser profile, which is the account's login: taken while nothing writes to it."""

import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from pydantic import BaseModel, ValidationError

from tenant_runner.channels.whatsapp_web.browser import browsers_of

logger = logging.getLogger(__name__)

STOP_WAIT_S = 2.0

# What the browser makes again by itself, and what belongs to a running one.
_LEFT_OUT = shutil.ignore_patterns(
    "Singleton*",
    "*Cache",
    "Cache*",
    "Service Worker",
    "Crashpad",
    "BrowserMetrics*",
    "component_crx_cache",
    "extensions_crx_cache",
    "Safe Browsing",
)
_PLACES = ("one", "two")


class _Good(BaseModel):
    """Which copy is good, and of what. `used` when it was gone back to and did not prove itself since."""

    place: str
    phone: str
    taken_at: datetime
    used: bool = False


class CopyFailed(Exception):
    """No copy was taken; the one before is still there."""


class ProfileCopy:
    """Beside the profile, in a directory of its own. Every method blocks: call them in a thread."""

    def __init__(self, profile: Path) -> None:
        self._profile = profile
        self._home = profile.with_name("profile-copy")
        self._damaged = profile.with_name("profile-damaged")
        self._note = self._home / "good.json"

    def age(self, phone: str) -> timedelta | None:
        """How old the copy of this number's login is; None without one that is trusted."""
        good = self._good()
        return datetime.now(UTC) - good.taken_at if good and good.phone == phone and not good.used else None

    def usable(self, phone: str | None) -> bool:
        """Whether there is a copy of this number's login that was not tried in vain yet."""
        return phone is not None and self.age(phone) is not None

    def take(self, phone: str) -> None:
        """Copy the profile of a session that works; its browser may run and stands still for that moment.

        Raises:
            CopyFailed: it could not be copied.
        """
        former = self._good()
        place = next(name for name in _PLACES if former is None or name != former.place)
        target = self._home / place
        try:
            shutil.rmtree(target, ignore_errors=True)
            self._home.mkdir(mode=0o700, exist_ok=True)
            began = time.monotonic()
            _copy(self._profile, target)
            stood_still_s = time.monotonic() - began
            size = _write_through(target)
            self._remember(_Good(place=place, phone=phone, taken_at=datetime.now(UTC)))
            if former is not None:
                shutil.rmtree(self._home / former.place, ignore_errors=True)
            shutil.rmtree(self._damaged, ignore_errors=True)
        except (OSError, shutil.Error, psutil.Error) as error:
            raise CopyFailed(type(error).__name__) from error
        logger.info("profile copied", extra={"bytes": size, "stood_still_s": round(stood_still_s, 3)})

    def restore(self) -> None:
        """Put the copy in the profile's place; the damaged one is kept aside until a session works again.

        Raises:
            CopyFailed: nothing was changed.
        """
        good = self._good()
        if good is None:
            raise CopyFailed("there is no copy")
        new = self._profile.with_name("profile-new")
        try:
            shutil.rmtree(new, ignore_errors=True)
            shutil.copytree(self._home / good.place, new, symlinks=True)
            if self._profile.exists():
                shutil.rmtree(self._damaged, ignore_errors=True)
                self._profile.rename(self._damaged)
            new.rename(self._profile)
            # Once: a copy that does not bring the session back would be gone back to for ever.
            self._remember(good.model_copy(update={"used": True}))
        except (OSError, shutil.Error) as error:
            raise CopyFailed(type(error).__name__) from error
        logger.warning("profile restored", extra={"taken_at": good.taken_at.isoformat()})

    def drop(self) -> None:
        """The login is over: its copy is of no more use to anybody but a thief."""
        with suppress(FileNotFoundError):
            self._note.unlink()
        shutil.rmtree(self._home, ignore_errors=True)
        shutil.rmtree(self._damaged, ignore_errors=True)

    def _good(self) -> _Good | None:
        try:
            good = _Good.model_validate_json(self._note.read_text(encoding="utf-8"))
        except (OSError, ValidationError):
            return None
        return good if good.place in _PLACES and (self._home / good.place).is_dir() else None

    def _remember(self, good: _Good) -> None:
        new = self._note.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            file.write(json.dumps(good.model_dump(mode="json")))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._note)


def copy_profile(profile: Path, target: Path) -> None:
    """Copy a profile as it is at one moment; its browser may run and stands still for that moment.

    Raises:
        CopyFailed: it could not be copied.
    """
    try:
        _copy(profile, target)
    except (OSError, shutil.Error, psutil.Error) as error:
        raise CopyFailed(type(error).__name__) from error


def _copy(profile: Path, target: Path) -> None:
    with _standing_still(profile):
        shutil.copytree(profile, target, symlinks=True, ignore=_LEFT_OUT)


@contextmanager
def _standing_still(profile: Path) -> Iterator[None]:
    """Hold the profile's browser still, so that what is on disk belongs to one moment.

    That moment is what a power cut would have left, which Chromium's databases are made to recover from.
    """
    family = []
    for browser in browsers_of(profile):
        family.append(browser)
        with suppress(psutil.Error):
            family.extend(browser.children(recursive=True))
    held: list[psutil.Process] = []
    try:
        for process in dict.fromkeys(family):
            with suppress(psutil.NoSuchProcess):
                process.suspend()
                held.append(process)
        _wait_until_stopped(held)
        yield
    finally:
        for process in held:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def _wait_until_stopped(processes: list[psutil.Process]) -> None:
    ends = time.monotonic() + STOP_WAIT_S
    while any(_still_writes(process) for process in processes):
        if time.monotonic() > ends:
            raise CopyFailed("the browser did not stand still")
        time.sleep(0.005)


def _still_writes(process: psutil.Process) -> bool:
    try:
        return bool(process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD))
    except psutil.NoSuchProcess:
        return False


def _write_through(directory: Path) -> int:
    """See to it that a copy is on the disk before it replaces the one before; returns its bytes."""
    size = 0
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                os.fsync(file.fileno())
            size += path.stat().st_size
    return size
