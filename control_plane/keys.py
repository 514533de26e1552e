"""The installation's keys: where they are, how they are made, and how a new one is put on top of the old ones."""

import base64
import binascii
import contextlib
import fcntl
import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from control_plane.files import make_private_directory, write_private
from control_plane.settings import Settings

logger = logging.getLogger(__name__)

KEY_BYTES = 32
SETTING = "FLAME_ENCRYPTION_KEYS"


class KeysFileUnusable(Exception):
    """The keys cannot be used; the message says why."""


@dataclass(frozen=True)
class Key:
    """One key of the installation: 32 random bytes, written as Base64.

    Attributes:
        id: eight hexadecimal digits that follow from the key and tell nothing of it.
        wrapping: encrypts data keys.
        fernet: reads what older versions stored.
    """

    id: str
    text: str = field(repr=False)
    wrapping: AESGCM = field(repr=False, compare=False)
    fernet: Fernet = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> "Key":
        """The key of a line; standard Base64 (`openssl rand -base64 32`) or that of URLs.

        Raises:
            ValueError: it is no key of 32 bytes.
        """
        text = text.strip().replace("+", "-").replace("/", "_")
        try:
            raw = base64.b64decode(text, altchars=b"-_", validate=True)
        except binascii.Error as error:
            raise ValueError("not Base64") from error
        if len(raw) != KEY_BYTES:
            raise ValueError(f"{len(raw)} bytes, not {KEY_BYTES}")
        return cls(
            id=hashlib.sha256(b"flame key id:" + raw).hexdigest()[:8],
            text=text,
            wrapping=AESGCM(HKDF(SHA256(), KEY_BYTES, salt=None, info=b"flame data keys").derive(raw)),
            fernet=Fernet(text),
        )


def new_key() -> Key:
    """A random one."""
    return Key.parse(base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode())


class Keys:
    """The keys in their order: the first encrypts. Those of a file are read anew when the file changed.

    So a key that `rotate-keys` puts on top is used by the running processes at once.
    """

    def __init__(self, settings: Settings) -> None:
        self.file = None if settings.encryption_keys else settings.keys_file
        self._settings = settings
        self._seen: tuple[int, ...] | None = None
        self._keys: tuple[Key, ...] = ()
        self._said = ""

    @property
    def source(self) -> str:
        """Where the keys are, for people."""
        return str(self.file) if self.file else SETTING

    def list(self) -> tuple[Key, ...]:
        """All, the one that encrypts first; never empty.

        Raises:
            KeysFileUnusable: others may read the file, it is gone, or what it holds are no keys.
        """
        if self.file is None:
            if not self._keys:
                assert self._settings.encryption_keys is not None  # noqa: S101 - there is no file because it is set
                text = self._settings.encryption_keys.get_secret_value()
                self._keys = _parse(text.replace(",", "\n"), SETTING)
            return self._keys
        try:
            self._read(self.file)
        except KeysFileUnusable as error:
            if not self._keys:
                raise
            # What was read before still works: a process that runs is not stopped by a file that went away.
            if str(error) != self._said:
                self._said = str(error)
                logger.error("keys file became unusable", extra={"error": self._said})
        return self._keys

    def _read(self, file: Path) -> None:
        try:
            status = file.stat()
            seen = (status.st_mtime_ns, status.st_ino, status.st_size, status.st_mode)
            if seen == self._seen:
                return
            if status.st_mode & 0o077:
                raise KeysFileUnusable(f"others may read {file}, which decrypts every secret: chmod 600 {file}")
            self._keys, self._seen = _parse(file.read_text(), str(file)), seen
        except OSError as error:
            raise KeysFileUnusable(f"{file} cannot be read ({error.strerror}): restore it") from error

    def ensure(self) -> None:
        """Make the file with a first key, mode 0600, where there is none."""
        if self.file is not None and not self.file.exists():
            _make_file(self.file)

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """For as long as the block lasts nobody else changes the file.

        Raises:
            KeysFileUnusable: somebody else does now, or the keys are not in a file.
        """
        if self.file is None:
            raise KeysFileUnusable(f"the keys are in {SETTING}: change them there, then restart web and scheduler")
        directory = os.open(self.file.parent, os.O_RDONLY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise KeysFileUnusable("another rotate-keys works now: wait until it has ended") from error
        finally:
            os.close(directory)

    def add(self) -> Key:
        """Put a new key on top of the file; it is on the disk when this returns. Only within `changing`."""
        key = new_key()
        self._write((key, *self.list()))
        return key

    def drop(self, key_id: str) -> None:
        """Take a key out of the file. Only within `changing`."""
        self._write(tuple(key for key in self.list() if key.id != key_id))

    def _write(self, keys: tuple[Key, ...]) -> None:
        assert self.file is not None  # noqa: S101 - `changing` sees to it
        write_private(self.file, "".join(f"{key.text}\n" for key in keys))
        _sync(self.file.parent)


def _parse(text: str, source: str) -> tuple[Key, ...]:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    if not lines:
        raise KeysFileUnusable(f"{source} holds no key")
    try:
        return tuple(Key.parse(line) for line in lines)
    except ValueError as error:
        raise KeysFileUnusable(f"{source} holds a line that is no key ({error}): restore it") from error


def _make_file(file: Path) -> None:
    make_private_directory(file.parent)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    write_private(temporary, f"{new_key().text}\n")
    try:
        # Two processes may start at once: the link is made by one of them, whole, and the other reads that one.
        os.link(temporary, file)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    _sync(file.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
