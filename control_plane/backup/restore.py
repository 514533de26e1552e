"""Putting a backup in the place of an empty installation, or of one that is moved aside."""

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import bson

from control_plane.backup import archive, database_copy
from control_plane.backup.archive import BackupError, Manifest
from control_plane.clients.stored_secrets import RUNNER_TOKEN
from control_plane.keys import KeysFileUnusable
from control_plane.security import CannotDecrypt, open_cipher, place
from control_plane.settings import Settings

Say = Callable[[str], None]


def restore(
    settings: Settings, source: Path, keys: Path | None, *, replace: bool, settings_file: Path, say: Say
) -> Manifest:
    """Restore everything of a backup; the next start of the platform goes on from it.

    Args:
        keys: the file with the keys that were written apart; None goes without: stored secrets are lost then, unless
            the keys come from the environment.
        replace: what is there is moved aside first, never deleted.
        settings_file: where the operator's own settings belong; one that is there stays.

    Raises:
        BackupError: the archive or the keys do not fit, the platform runs, or something is there already. Unless the
            message says otherwise nothing was changed.
    """
    say("· reading the whole archive")
    manifest = archive.verify(source)
    if keys is not None and not keys.is_file():
        raise BackupError(
            f"there is no keys file {keys}: without it the stored API keys and runner tokens cannot be read. "
            "Name it (--keys FILE); if it is lost, --without-keys restores all the rest"
        )
    if database_copy.is_running(settings):
        raise BackupError("the platform runs: stop it first (Ctrl-C where scripts/start runs)")
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    there = _find_data(settings, keys)
    if there and not replace:
        raise BackupError(f"there is data already ({', '.join(there)}): --replace moves it aside, then restores")
    settings.data_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged = settings.data_directory / f".restoring-{stamp}"
    try:
        archive.extract(source, staged)
        if keys is not None:
            _check_keys(settings, keys, staged)
        if there:
            _move_aside(settings, keys, stamp, say)
        _load(settings, staged, manifest, say)
        _place_files(settings, staged, keys, settings_file, say)
    except OSError as error:
        raise BackupError(f"it could not be written: {error.strerror or error}; run it again with --replace") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return manifest


def _ours(settings: Settings, keys: Path | None) -> list[Path]:
    # Without keys of the backup those that are there are as good as any.
    others = (settings.keys_file,) if keys is not None else ()
    paths = (settings.clients_directory, settings.database_directory, *others)
    return [path for path in paths if (any(path.iterdir()) if path.is_dir() else path.exists())]


def _find_data(settings: Settings, keys: Path | None) -> list[str]:
    """What a restore would meet, in words."""
    found = [str(path) for path in _ours(settings, keys)]
    if settings.mongodb_uri is not None:
        with database_copy.opened(settings) as store:
            names = database_copy.collections(store)
            if any(store[name].find_one() is not None for name in names):
                found.append(f"the database {settings.database_name}")
    return found


def _check_keys(settings: Settings, keys: Path, staged: Path) -> None:
    """See that the keys open what the backup holds, before anything is changed.

    Raises:
        BackupError: they do not.
    """
    clients = staged / "database" / "clients.bson"
    try:
        cipher = open_cipher(settings.model_copy(update={"encryption_keys_file": keys}))
        if clients.exists():
            with clients.open("rb") as file:
                for client in bson.decode_file_iter(file):
                    cipher.decrypt(client["runner_token_encrypted"], place("clients", client["_id"], RUNNER_TOKEN))
    except (CannotDecrypt, KeysFileUnusable) as error:
        raise BackupError(
            f"{keys} does not open this backup ({error}). Nothing was changed. Find the keys file of that day, or "
            "restore the rest with --without-keys"
        ) from error


def _move_aside(settings: Settings, keys: Path | None, stamp: str, say: Say) -> None:
    aside = settings.data_directory / f"before-restore-{stamp}"
    aside.mkdir(mode=0o700)
    for path in _ours(settings, keys):
        shutil.move(path, aside / path.name)
    for program in settings.programs_directory.glob("tenant-*.conf"):
        program.unlink()
    say(f"· what was there is in {aside}")
    if settings.mongodb_uri is not None:
        with database_copy.opened(settings) as store:
            moved = database_copy.move_aside(store, stamp.replace("-", "_"))
        say(f"· the database's former collections are there under other names: {', '.join(moved)}")


def _load(settings: Settings, staged: Path, manifest: Manifest, say: Say) -> None:
    with database_copy.opened(settings) as store:
        for path in sorted((staged / "database").glob("*.bson")):
            with path.open("rb") as file:
                count = database_copy.load(store, path.stem, file)
            if count != manifest.documents.get(path.stem):
                raise BackupError(f"{path.stem} has {count} documents, not as many as the backup lists")
            say(f"· {path.stem}: {count} documents")
        database_copy.settle(store)
        known = {str(client["_id"]) for client in store["clients"].find({}, {"_id": 1})}
    for home in (staged / "clients").glob("*"):
        # Its record was deleted while the backup was made.
        if home.name not in known:
            shutil.rmtree(home)


def _place_files(settings: Settings, staged: Path, keys: Path | None, settings_file: Path, say: Say) -> None:
    clients = settings.clients_directory
    clients.mkdir(mode=0o700, parents=True, exist_ok=True)
    for home in sorted((staged / "clients").glob("*")):
        shutil.move(home, clients / home.name)
        say(f"· client {home.name}")
    if keys is not None:
        target = settings.keys_file
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(keys.read_bytes())
            os.fsync(file.fileno())
        say(f"· keys: {target}")
    if (staged / "settings.env").exists() and not settings_file.exists():
        shutil.move(staged / "settings.env", settings_file)
        say(f"· settings: {settings_file}")
