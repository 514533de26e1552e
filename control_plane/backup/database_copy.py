"""The database's documents as BSON files, over the wire: the same for the embedded database and for MongoDB."""

import contextlib
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import PyMongoError

from control_plane import embedded_database
from control_plane.backup.archive import BackupError
from control_plane.leases import SCHEDULER
from control_plane.settings import Settings, resolve_mongodb_uri

Store = Database[dict[str, Any]]

AT_ONCE = 500
ANSWER_MS = 3_000
# Of the moment alone: who is active, and codes that link a phone.
LEFT_OUT = frozenset({"leases", "client_qr_codes", "client_link_codes"})
# What a restore moved out of the way.
ASIDE = "before_restore_"
# First what says that something is to be deleted: what is copied later may be gone already, never the other way round.
_FIRST = ("erasures", "clients")
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Store]:
    """The installation's database; the embedded one is started for the while when it does not run.

    Raises:
        BackupError: it does not answer.
    """
    with contextlib.ExitStack() as stack:
        uri = None if settings.mongodb_uri is None else resolve_mongodb_uri(settings)
        if uri is None:
            directory = settings.database_directory
            file = embedded_database.uri_file(directory)
            uri = file.read_text().strip() if file.exists() else None
            if uri is None or not _answers(uri):
                uri = stack.enter_context(_embedded(directory))
        client = stack.enter_context(
            MongoClient[dict[str, Any]](uri, tz_aware=True, serverSelectionTimeoutMS=ANSWER_MS)
        )
        try:
            client.admin.command("ping")
            yield client[settings.database_name]
        except PyMongoError as error:
            raise BackupError(f"the database does not answer as it should ({type(error).__name__})") from error


def is_running(settings: Settings) -> bool:
    """Whether the platform works with its database now."""
    if settings.mongodb_uri is None:
        file = embedded_database.uri_file(settings.database_directory)
        return file.exists() and _answers(file.read_text().strip())
    with opened(settings) as store:
        lease = store["leases"].find_one({"_id": SCHEDULER})
        return lease is not None and lease["until"] > datetime.now(UTC)


def _answers(uri: str) -> bool:
    with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=1_000) as client:
        try:
            client.admin.command("ping")
        except PyMongoError:
            return False
        return True


@contextlib.contextmanager
def _embedded(directory: Path) -> Iterator[str]:
    try:
        uri = embedded_database.prepare(directory)
        command = embedded_database.server_command(directory, urlsplit(uri).port or 0)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            embedded_database.wait_until_it_answers(uri)
            yield uri
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    except embedded_database.EmbeddedDatabaseError as error:
        raise BackupError(f"the embedded database does not start: {error}") from error


def collections(store: Store) -> list[str]:
    """Those that belong into a backup, in the order in which they are copied."""
    names = {name for name in store.list_collection_names() if not name.startswith(("system.", ASIDE))} - LEFT_OUT
    return [*(name for name in _FIRST if name in names), *sorted(names - set(_FIRST))]


def dump(store: Store, name: str, file: IO[bytes]) -> int:
    """Write a collection's documents one after the other; returns how many."""
    count = 0
    collection: Collection[RawBSONDocument] = store.get_collection(name, codec_options=_RAW)  # type: ignore[assignment]
    for document in collection.find(batch_size=AT_ONCE):
        file.write(document.raw)
        count += 1
    return count


def load(store: Store, name: str, file: IO[bytes]) -> int:
    """Insert what `dump` wrote; returns how many documents."""
    collection = store.get_collection(name, codec_options=_RAW)
    count, batch = 0, []
    for document in bson.decode_file_iter(file, _RAW):
        batch.append(document)
        if len(batch) == AT_ONCE:
            collection.insert_many(batch)
            count, batch = count + len(batch), []
    if batch:
        collection.insert_many(batch)
    return count + len(batch)


def settle(store: Store) -> None:
    """Make restored documents fit restored journals.

    A journal may be a moment older than the database: it must not be told that its coming events are known already.
    Events are applied once however often they come, so all that it still has may come again.
    """
    store["client_sessions"].update_many({}, {"$set": {"accepted_through": 0}})


def move_aside(store: Store, stamp: str) -> list[str]:
    """Rename every collection within its database, so that a user of that database alone may; returns the new names."""
    moved = [(name, f"{ASIDE}{stamp}_{name}") for name in collections(store)]
    for name, aside in moved:
        store[name].rename(aside)
    return [aside for _, aside in moved]
