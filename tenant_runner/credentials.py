"""Who this runner is, and proof that it runs only once."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from tenant_runner.contract import RunnerCredentials

CREDENTIALS_FILE = "runner.json"
LOCK_FILE = "runner.lock"


class CannotStart(Exception):
    """Said to whoever started the runner; no retry by itself will help."""


class AlreadyRunning(CannotStart):
    """Another process works for this client."""


def read_credentials(directory: Path, client_id: str) -> RunnerCredentials:
    """Read the client's `runner.json`.

    Raises:
        CannotStart: it is not there, not readable or of another client.
    """
    path = directory / CREDENTIALS_FILE
    try:
        credentials = RunnerCredentials.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CannotStart(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        # The errors' own text would have the token in it.
        raise CannotStart(f"{path} has {error.error_count()} errors") from None
    if credentials.client_id != client_id:
        raise CannotStart(f"{path} is of another client")
    return credentials


@contextmanager
def only_process(directory: Path, wait_s: float) -> Iterator[None]:
    """Hold the client's directory; the system lets go of it however this process ends.

    Raises:
        AlreadyRunning: another process held it for longer than `wait_s`.
    """
    descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
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
