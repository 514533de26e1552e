"""The archive of a backup: a compressed tar whose last member lists every other one with its size and SHA-256.

Names inside are of few known shapes; whatever else is in a file that says to be a backup is refused.
"""

import contextlib
import hashlib
import io
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, ValidationError

FORMAT = 1
MANIFEST = "manifest.json"
CHUNK = 1024 * 1024
LONGEST_MANIFEST = 256 * 1024 * 1024
COMPRESSION = 3
_NAMES = re.compile(
    r"settings\.env|database/[A-Za-z0-9_.-]{1,120}\.bson"
    r"|clients/[a-z0-9]{1,32}/(?:journal\.sqlite3|profile/[^\x00-\x1f]+|profile-copy/[^\x00-\x1f]+)"
)


class BackupError(Exception):
    """A backup or a restore cannot be done; the message names the cause and the next step."""


class Member(BaseModel):
    """One file of the archive."""

    model_config = ConfigDict(frozen=True)

    size: int
    sha256: str


class Manifest(BaseModel):
    """What a backup has.

    Attributes:
        format: of the archive; a newer one is refused.
        version: of the platform that made it.
        documents: how many each collection has.
    """

    model_config = ConfigDict(frozen=True)

    format: int
    version: str
    made_at: datetime
    documents: dict[str, int]
    files: dict[str, Member]


class _Hashing(io.RawIOBase):
    """Reads a file and hashes what is read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.sha256 = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self.sha256.update(data)
        self.size += len(data)
        return data

    @property
    def member(self) -> Member:
        """What was read so far."""
        return Member(size=self.size, sha256=self.sha256.hexdigest())


class ArchiveWriter:
    """Adds files one after the other; `finish` adds the list of them."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._files: dict[str, Member] = {}

    def add(self, name: str, path: Path) -> int:
        """Add a regular file that does not change meanwhile; returns its bytes."""
        if not is_safe(name):
            raise BackupError(f"a file has a name that cannot be kept: {name!r}")
        info = tarfile.TarInfo(name)
        info.mode = 0o600
        with path.open("rb") as source:
            info.size = os.fstat(source.fileno()).st_size
            info.mtime = int(path.stat().st_mtime)
            hashing = _Hashing(source)
            self._tar.addfile(info, hashing)
        self._files[name] = hashing.member
        return info.size

    def add_tree(self, name: str, directory: Path) -> int:
        """Add the regular files of a directory; returns their bytes. Links and sockets are nobody's data."""
        paths = sorted(path for path in directory.rglob("*") if path.is_file() and not path.is_symlink())
        return sum(self.add(f"{name}/{path.relative_to(directory).as_posix()}", path) for path in paths)

    def finish(self, *, version: str, documents: dict[str, int]) -> Manifest:
        """Add the manifest."""
        manifest = Manifest(
            format=FORMAT, version=version, made_at=datetime.now(UTC), documents=documents, files=self._files
        )
        content = manifest.model_dump_json(indent=1).encode()
        info = tarfile.TarInfo(MANIFEST)
        info.size, info.mode, info.mtime = len(content), 0o600, int(manifest.made_at.timestamp())
        self._tar.addfile(info, io.BytesIO(content))
        return manifest


@contextlib.contextmanager
def writing(target: Path) -> Iterator[ArchiveWriter]:
    """Write an archive (0600) that has its name only once it is whole and on the disk.

    Raises:
        BackupError: the target is there already, or cannot be written.
    """
    if target.exists():
        raise BackupError(f"{target} is there already: name another file, or move that one away")
    partial = target.with_name(f".{target.name}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                os.fchmod(stream.fileno(), 0o600)
                with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=COMPRESSION) as tar:
                    yield ArchiveWriter(tar)
                stream.flush()
                os.fsync(stream.fileno())
            os.link(partial, target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise BackupError(f"{target} cannot be written: {error.strerror or error}") from error


def verify(archive: Path, visit: Callable[[tarfile.TarInfo, IO[bytes]], None] | None = None) -> Manifest:
    """Read the whole archive and compare every file with the manifest.

    Args:
        visit: is given each member but the manifest as it passes, with its content; it need not read it.

    Raises:
        BackupError: it is no backup, is damaged or was tampered with, or a newer version made it.
    """
    found: dict[str, Member] = {}
    manifest: bytes | None = None
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for info in tar:
                content = tar.extractfile(info) if info.isreg() else None
                if content is None or manifest is not None:
                    raise BackupError(f"{archive} holds what no backup holds: {info.name!r}; nothing was changed")
                if info.name == MANIFEST:
                    if info.size > LONGEST_MANIFEST:
                        raise BackupError(f"{archive} is no backup of this platform: its manifest is too large")
                    manifest = content.read()
                    continue
                if not is_safe(info.name) or info.name in found:
                    raise BackupError(f"{archive} holds what no backup holds: {info.name!r}; nothing was changed")
                hashing = _Hashing(content)
                if visit is not None:
                    visit(info, hashing)  # type: ignore[arg-type]
                while hashing.read(CHUNK):
                    pass
                found[info.name] = hashing.member
    except FileNotFoundError as error:
        raise BackupError(f"there is no file {archive}") from error
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise BackupError(f"{archive} is damaged ({error}): take another copy of the backup") from error
    return _check(archive, manifest, found)


def _check(archive: Path, content: bytes | None, found: dict[str, Member]) -> Manifest:
    if content is None:
        raise BackupError(f"{archive} is no backup of this platform, or its end is missing: take another copy")
    newer = re.match(rb'\s*\{\s*"format":\s*(\d{1,6})', content)
    if newer and int(newer[1]) > FORMAT:
        raise BackupError(f"{archive} was made by a newer version: update the platform first, then restore")
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        raise BackupError(f"{archive} is no backup of this platform: its manifest cannot be read") from error
    wrong = sorted(name for name in manifest.files.keys() | found.keys() if manifest.files.get(name) != found.get(name))
    if wrong:
        raise BackupError(f"{archive} is damaged: {len(wrong)} files differ from its list, the first is {wrong[0]!r}")
    return manifest


def extract(archive: Path, directory: Path) -> Manifest:
    """Unpack an archive below a new directory (0700; files 0600, owned by us), checking it once more on the way.

    Raises:
        BackupError: as `verify` says; what was unpacked must not be used.
    """
    directory.mkdir(mode=0o700)
    root = directory.resolve()

    def store(info: tarfile.TarInfo, content: IO[bytes]) -> None:
        # Names were checked; this is the second lock on the door.
        path = (root / info.name).resolve()
        if not path.is_relative_to(root):
            raise BackupError(f"{archive} holds what no backup holds: {info.name!r}; nothing was changed")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(content, file, CHUNK)

    return verify(archive, store)


def is_safe(name: str) -> bool:
    """Whether a member's name is one of those that a backup has, and leads nowhere else."""
    parts: list[Any] = name.split("/")
    return _NAMES.fullmatch(name) is not None and not any(part in ("", ".", "..") for part in parts)
