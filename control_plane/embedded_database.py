"""The embedded database: `secantusd-py`, a MongoDB-wire server on WiredTiger, to try and to test the platform with.

It is a process of its own, spoken to over the wire like the MongoDB of production: nothing else in the platform knows
which of the two it talks to. `prepare` makes the user and the address once, `run` becomes the server.
"""

import contextlib
import logging
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from control_plane.files import write_private
from control_plane.ports import find_free, is_free

logger = logging.getLogger(__name__)

PREFERRED_PORT = 27_117
# Below the ports that the system takes for outgoing connections: the last one is still free at the next start.
_USUAL_PORTS = range(PREFERRED_PORT, PREFERRED_PORT + 1_000)
START_DEADLINE_S = 60.0
USER = "flame"


class EmbeddedDatabaseError(Exception):
    """The embedded database could not be prepared or started; the message says what to do."""


def uri_file(directory: Path) -> Path:
    """Where the connection string is kept (0600): it holds the password."""
    return directory / "uri"


def prepare(directory: Path, *, port: int | None = None) -> str:
    """Make the data directory, the user and the address if they are not there yet.

    Safe to repeat. A port that another program took in the meantime is replaced by a free one.

    Args:
        directory: home of the database's files, made with mode 0700.
        port: TCP port on loopback; None keeps the last one, or takes the first free one of the usual ones.

    Returns:
        The connection string, also written to `uri_file(directory)`.

    Raises:
        EmbeddedDatabaseError: the server did not come up for making its user.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    file = uri_file(directory)
    known = urlsplit(file.read_text().strip()) if file.exists() else None
    last = known.port if known else None
    chosen = next(p for p in (port, last, *_USUAL_PORTS) if p and is_free(p))
    if known and known.password:
        uri = _uri(known.password, chosen)
    else:
        password = secrets.token_urlsafe(24)
        # The server has no localhost exception: its first user is made while it asks for none, on a port that
        # nobody was told of, and before the platform starts.
        with _serving(directory, find_free()) as open_uri:
            _create_user(open_uri, password)
        uri = _uri(password, chosen)
        logger.info("embedded database was prepared", extra={"directory": str(directory)})
    write_private(file, uri + "\n")
    return uri


def run(directory: Path) -> None:
    """Become the database server (does not return): loopback only, with authentication, each commit on disk.

    Raises:
        EmbeddedDatabaseError: the server's program is missing, or its port is taken.
    """
    uri = uri_file(directory).read_text().strip() if uri_file(directory).exists() else prepare(directory)
    port = urlsplit(uri).port or PREFERRED_PORT
    if not is_free(port):
        raise EmbeddedDatabaseError(f"port {port} is taken by another program; stop it, or stop and start the platform")
    command = server_command(directory, port)
    os.execv(command[0], command)  # noqa: S606


def server_command(directory: Path, port: int, *, authentication: bool = True) -> list[str]:
    """Command line of the server."""
    program = Path(sys.executable).parent / "secantusd-py"
    if not program.exists():
        raise EmbeddedDatabaseError(f"{program.name} is not installed; run ./scripts/setup, or set MONGODB_URI")
    settings = directory / "server.toml"
    if not settings.exists():
        settings.touch(mode=0o600)
    command = [str(program), "--config", str(settings), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--storage-path", str(directory / "data"), "--cache-size", "256M", "--log-level", "WARNING"]
    # Alone: it would write a log for replicas, and nobody reads one. That is a fifth of what a write costs.
    return [*command, "--standalone", "--sync-on-commit", *(["--auth"] if authentication else [])]


def wait_until_it_answers(uri: str, *, deadline_s: float = START_DEADLINE_S) -> None:
    """Return when a ping is answered.

    Raises:
        EmbeddedDatabaseError: no answer within `deadline_s` seconds.
    """
    ends = time.monotonic() + deadline_s
    with MongoClient[dict[str, object]](uri, serverSelectionTimeoutMS=1_000) as client:
        while True:
            try:
                client.admin.command("ping")
            except PyMongoError as error:
                if time.monotonic() > ends:
                    raise EmbeddedDatabaseError(f"the database did not answer within {deadline_s:.0f} s") from error
                time.sleep(0.1)
            else:
                return


@contextlib.contextmanager
def _serving(directory: Path, port: int) -> Iterator[str]:
    command = server_command(directory, port, authentication=False)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
    try:
        wait_until_it_answers(uri)
        yield uri
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _create_user(uri: str, password: str) -> None:
    with MongoClient[dict[str, object]](uri, serverSelectionTimeoutMS=5_000) as client:
        users = client.admin.command("usersInfo", USER).get("users", [])
        # A first start that was interrupted may have left the user with a password that nobody kept.
        command = "updateUser" if users else "createUser"
        client.admin.command(command, USER, pwd=password, roles=[{"role": "root", "db": "admin"}])


def _uri(password: str, port: int) -> str:
    return f"mongodb://{USER}:{password}@127.0.0.1:{port}/?authSource=admin&directConnection=true"
