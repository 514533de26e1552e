"""Proof that a client's runner runs only once."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_FILE = "runner.lock"


class CannotStart(Exception):
    """Said to whoever started the runner; no retry by itself will help."""


class AlreadyRunning(CannotStart):
    """Another process works for this client."""


@contextmanager
def only_process(directory: Path, wait_s: float) -> Iterator[None]:
    """Hold the client's directory; the system lets go of it however this process ends.

    Raises:
        AlreadyRunning: another process held it for longer than `wait_s`.
        CannotStart: there is no such directory.
    """
    try:
        descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CannotStart(f"{directory} cannot be used: {error.strerror}") from error
    try:
        ends = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > ends:
                    raise AlreadyRunning(f"another process runs for this client ({directory})") from None
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)
