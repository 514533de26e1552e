"""Passwords, tokens, and the encryption of what the database must not hold in plain text."""

import asyncio
import hashlib
import os
import secrets
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from control_plane.settings import Settings

_hasher = PasswordHasher()
# Verified when the account does not exist, so that an answer's time does not say which names do.
_NOBODY = _hasher.hash(secrets.token_urlsafe(16))


class CannotDecrypt(Exception):
    """A stored secret was encrypted with a key that is not in the keys file any more."""


class KeysFileUnusable(Exception):
    """The keys file cannot be used; the message says why."""


# ------------------------------------------------------------------------------------------------ passwords


async def hash_password(password: str) -> str:
    """Argon2id hash of a password; computed beside the event loop."""
    return await asyncio.to_thread(_hasher.hash, password)


async def verify_password(password_hash: str | None, password: str) -> bool:
    """Whether the password fits the hash; takes the same time without a hash, and is then False."""
    return await asyncio.to_thread(_verify, password_hash, password)


def _verify(password_hash: str | None, password: str) -> bool:
    try:
        return _hasher.verify(password_hash or _NOBODY, password) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


# ------------------------------------------------------------------------------------------------ tokens


def new_token() -> str:
    """A credential of 256 random bits, safe in URLs and headers."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """SHA-256 in hex: what is stored of a token that was random to begin with."""
    return hashlib.sha256(token.encode()).hexdigest()


def hint(secret: str) -> str:
    """What may be shown of a secret: `sk-…4f2a`."""
    return f"{secret[:3]}…{secret[-4:]}" if len(secret) >= 12 else "…"


# ------------------------------------------------------------------------------------------------ encryption


class Cipher:
    """Encrypts with the first key, decrypts with any: to change the key, put a new one on top of the file."""

    def __init__(self, keys: list[str]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def encrypt(self, secret: str) -> str:
        """The secret as text that may be stored."""
        return self._fernet.encrypt(secret.encode()).decode()

    def decrypt(self, encrypted: str) -> str:
        """The secret again.

        Raises:
            CannotDecrypt: none of the keys fits.
        """
        try:
            return self._fernet.decrypt(encrypted.encode()).decode()
        except InvalidToken as error:
            raise CannotDecrypt("no key of the keys file decrypts a stored secret; restore the file") from error


def open_cipher(settings: Settings) -> Cipher:
    """The cipher of this installation; its key is made at first start (mode 0600).

    Raises:
        KeysFileUnusable: others may read the file, or what it holds are no keys.
    """
    file = settings.encryption_keys_file or settings.data_directory / "keys"
    if not file.exists():
        _make_keys_file(file)
    if file.stat().st_mode & 0o077:
        raise KeysFileUnusable(f"others may read {file}, which decrypts every secret: chmod 600 {file}")
    keys = [line.strip() for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]
    if not keys:
        raise KeysFileUnusable(f"{file} holds no key")
    try:
        return Cipher(keys)
    except ValueError as error:
        raise KeysFileUnusable(f"{file} holds a line that is no Fernet key") from error


def _make_keys_file(file: Path) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(Fernet.generate_key().decode() + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    try:
        # Two processes may start at once: the link is made by one of them, whole, and the other reads that one.
        os.link(temporary, file)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
