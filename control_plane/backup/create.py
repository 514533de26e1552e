"""Making a backup while the platform runs, or while it is stopped."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from control_plane.backup import archive, database_copy
from control_plane.backup.archive import ArchiveWriter, BackupError, Manifest
from control_plane.settings import REPOSITORY, Settings

Say = Callable[[str], None]

CLIENT_DEADLINE_S = 300.0
MEGABYTE = 1e6


def create(
    settings: Settings, target: Path, keys_target: Path, *, settings_file: Path, version: str, say: Say
) -> Manifest:
    """Write the archive and, apart from it, the keys.

    Clients first, each journal and profile at one moment; then the database. So the database knows at least what each
    journal has told.

    Args:
        settings_file: the operator's own settings; there may be none.

    Raises:
        BackupError: nothing was written under the final names.
    """
    keys = settings.keys_file
    if keys_target.exists():
        raise BackupError(f"{keys_target} is there already: name another file, or move that one away")
    with contextlib.ExitStack() as stack:
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory = stack.enter_context(tempfile.TemporaryDirectory(dir=target.parent, prefix=".flame-backup-"))
        except OSError as error:
            raise BackupError(f"{target.parent} cannot be written: {error.strerror or error}") from error
        with archive.writing(target) as writer:
            if settings_file.exists():
                writer.add("settings.env", settings_file)
            _add_clients(writer, settings, Path(directory), say)
            documents = _add_database(writer, settings, Path(directory), say)
            manifest = writer.finish(version=version, documents=documents)
    if keys.exists():
        _copy_private(keys, keys_target)
    return manifest


def _add_clients(writer: ArchiveWriter, settings: Settings, directory: Path, say: Say) -> None:
    homes = sorted(path for path in settings.clients_directory.glob("*") if path.is_dir())
    for number, home in enumerate(homes, start=1):
        copy = directory / home.name
        _copy_client(settings, home.name, copy)
        size = writer.add_tree(f"clients/{home.name}", copy)
        shutil.rmtree(copy)
        say(f"· client {home.name} ({number} of {len(homes)}): {size / MEGABYTE:.1f} MB")


def _copy_client(settings: Settings, client_id: str, target: Path) -> None:
    """Have the runner's own program copy its files: it knows how to do that beside a browser that writes them."""
    command = [sys.executable, "-m", "tenant_runner", "backup", "--client", client_id, "--to", str(target)]
    environment = os.environ | {"FLAME_DATA_DIRECTORY": str(settings.data_directory)}
    try:
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=CLIENT_DEADLINE_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackupError(f"the files of client {client_id} could not be copied: {type(error).__name__}") from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BackupError(f"the files of client {client_id} could not be copied: {reason[:300]}")


def _add_database(writer: ArchiveWriter, settings: Settings, directory: Path, say: Say) -> dict[str, int]:
    documents: dict[str, int] = {}
    with database_copy.opened(settings) as store:
        for name in database_copy.collections(store):
            with _spool(directory / "collection.bson") as path:
                with path.open("wb") as file:
                    documents[name] = database_copy.dump(store, name, file)
                size = writer.add(f"database/{name}.bson", path)
            say(f"· {name}: {documents[name]} documents, {size / MEGABYTE:.1f} MB")
    return documents


@contextlib.contextmanager
def _spool(path: Path) -> Iterator[Path]:
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _copy_private(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(source.read_bytes())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise BackupError(
            f"the archive is whole, but the keys could not be copied to {target} ({error.strerror}): "
            f"copy {source} yourself"
        ) from error
