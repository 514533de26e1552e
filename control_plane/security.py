"""Passwords, tokens and the encryption of secrets at rest."""

import asyncio
import hashlib
import os
import secrets
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

_hasher = PasswordHasher()
# Verified when there is no such account, so that the answer takes as long.
_NOBODY = _hasher.hash(secrets.token_urlsafe(16))


class SecretUnreadable(Exception):
    """A stored secret was encrypted with a key that is not in the keys file."""


async def hash_password(password: str) -> str:
    """Argon2id hash, made in a thread: it takes tens of milliseconds by design."""
    return await asyncio.to_thread(_hasher.hash, password)


async def verify_password(hashed: str | None, password: str) -> bool:
    """Whether the password fits; None (no such account) takes the same time and is False."""

    def verify() -> bool:
        try:
            _hasher.verify(hashed or _NOBODY, password)
        except (VerificationError, InvalidHashError):
            return False
        return hashed is not None

    return await asyncio.to_thread(verify)


def new_token() -> str:
    """A credential of 256 random bits, safe in headers and URLs."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """SHA-256 in hex: enough for random tokens, and it can be looked up."""
    return hashlib.sha256(token.encode()).hexdigest()


def hint(secret: str) -> str:
    """What may be shown of a secret: `sk-…4f2a`."""
    return f"{secret[:3]}…{secret[-4:]}" if len(secret) >= 12 else "…"


class Cipher:
    """Encrypts with the first key of the file, decrypts with any."""

    def __init__(self, keys: list[bytes]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    @classmethod
    def load(cls, file: Path) -> "Cipher":
        """Read the keys, one per line; the first start makes the file (0600) with a new key.

        Losing the file loses every secret in the database.
        """
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            # Written whole under another name and linked: of two processes that start at once, one wins.
            temporary = file.with_name(f".{file.name}.{os.getpid()}")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(Fernet.generate_key() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
            try:
                os.link(temporary, file)
            except FileExistsError:
                pass
            finally:
                temporary.unlink()
        return cls(file.read_bytes().split())

    def encrypt(self, secret: str) -> str:
        """Text to ciphertext, both `str`."""
        return self._fernet.encrypt(secret.encode()).decode()

    def decrypt(self, encrypted: str) -> str:
        """Ciphertext to text.

        Raises:
            SecretUnreadable: none of the keys fits.
        """
        try:
            return self._fernet.decrypt(encrypted.encode()).decode()
        except InvalidToken as error:
            raise SecretUnreadable("encrypted with a key that is not in the keys file") from error
