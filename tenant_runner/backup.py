"""A copy of what a client's directory keeps, taken beside a runner that works."""

import logging
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from tenant_runner.channels.whatsapp_web.browser import PROFILE
from tenant_runner.channels.whatsapp_web.profile_copy import CopyFailed, copy_profile
from tenant_runner.serve import JOURNAL_FILE

logger = logging.getLogger(__name__)

LAST_GOOD_COPY = "profile-copy"


def copy_files(directory: Path, target: Path) -> None:
    """Copy the journal and the browser profile, each as it was at one moment, into a new directory.

    The journal first: what a login knows beyond it, the page shows again.

    Raises:
        OSError, sqlite3.Error: it could not be copied.
        CopyFailed: the profile could not be copied, and there is no good copy of an earlier moment.
    """
    target.mkdir(mode=0o700, parents=True)
    journal, profile = directory / JOURNAL_FILE, directory / PROFILE
    if journal.exists():
        (target / JOURNAL_FILE).touch(mode=0o600)
        with closing(sqlite3.connect(journal)) as source, closing(sqlite3.connect(target / JOURNAL_FILE)) as copy:
            source.backup(copy)
            # One file: a write-ahead log of its own would have to travel with it.
            copy.execute("PRAGMA journal_mode=DELETE")
    if not profile.exists():
        return
    try:
        copy_profile(profile, target / PROFILE)
    except CopyFailed as error:
        if not (directory / LAST_GOOD_COPY).exists():
            raise
        logger.warning("profile not copied, its last good copy is taken", extra={"cause": str(error)})
        shutil.rmtree(target / PROFILE, ignore_errors=True)
        shutil.copytree(directory / LAST_GOOD_COPY, target / LAST_GOOD_COPY)
