"""Passwords, tokens, and the encryption of what the database must not hold in plain text."""

import asyncio
import base64
import contextlib
import hashlib
import os
import secrets
from http import HTTPStatus

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.exceptions import InvalidTag
from cryptography.fernet import InvalidToken
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from control_plane.errors import Problem
from control_plane.keys import Key, Keys
from control_plane.settings import Settings

_hasher = PasswordHasher()
# Verified when the account does not exist, so that an answer's time does not say which names do.
_NOBODY = _hasher.hash(secrets.token_urlsafe(16))


class CannotDecrypt(Problem):
    """A stored secret cannot be read: its encryption key is lost. Write it again, or bring the key back."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    type = "/problems/secret-unreadable"
    title = "A stored secret cannot be read"


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
    """Envelope encryption: every secret has a data key of its own, which the installation's first key wraps.

    A stored text is `v2.KEY-ID.WRAPPED-DATA-KEY.ENCRYPTED`, AES-256-GCM both times. It is bound to its context, the
    place where it is stored (`place`): copied to another record it does not decrypt. Fernet texts of older versions,
    bound to no place, are read until `rotate-keys` has replaced them.
    """

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    def encrypt(self, secret: str, context: str) -> str:
        """The secret as text that may be stored at that place."""
        data_key = AESGCM.generate_key(256)
        return _join(self._wrap(data_key), _seal(AESGCM(data_key), secret.encode(), context))

    def decrypt(self, encrypted: str, context: str) -> str:
        """The secret again.

        Raises:
            CannotDecrypt: none of the keys fits, or it was not encrypted for this place (503).
        """
        key = self.find_key(encrypted)
        if key is None:
            raise CannotDecrypt
        try:
            if self.is_old_form(encrypted):
                return key.fernet.decrypt(encrypted.encode()).decode()
            data_key, sealed = _unwrap(key, encrypted)
            return _open(AESGCM(data_key), sealed, context).decode()
        except (InvalidTag, InvalidToken, ValueError) as error:
            raise CannotDecrypt from error

    def can_decrypt(self, encrypted: str, context: str) -> bool:
        """Whether the secret is readable."""
        try:
            self.decrypt(encrypted, context)
        except CannotDecrypt:
            return False
        return True

    def renew(self, encrypted: str, context: str) -> str:
        """The same secret under the key that encrypts now; the same text where it is that already.

        Raises:
            CannotDecrypt: see `decrypt`.
        """
        secret = self.decrypt(encrypted, context)
        key = self.find_key(encrypted)
        if key is None or self.is_old_form(encrypted):
            return self.encrypt(secret, context)
        if key.id == self.keys.list()[0].id:
            return encrypted
        data_key, sealed = _unwrap(key, encrypted)
        return _join(self._wrap(data_key), sealed)

    @staticmethod
    def is_old_form(encrypted: str) -> bool:
        """Whether an older version stored it, bound to no place."""
        return not encrypted.startswith(_FORM)

    def find_key(self, encrypted: str) -> Key | None:
        """The key that a stored text needs; None when it is not among ours."""
        if not self.is_old_form(encrypted):
            named = encrypted.split(".")[1]
            return next((key for key in self.keys.list() if key.id == named), None)
        for key in self.keys.list():
            with contextlib.suppress(InvalidToken):
                key.fernet.decrypt(encrypted.encode())
                return key
        return None

    def _wrap(self, data_key: bytes) -> str:
        key = self.keys.list()[0]
        return f"{_FORM}{key.id}.{_text(_seal(key.wrapping, data_key, key.id))}"


def place(collection: str, document_id: str, field: str) -> str:
    """Where a secret is stored, as its context."""
    return f"{collection}/{document_id}/{field}"


def open_cipher(settings: Settings) -> Cipher:
    """The cipher of this installation; its first key is made at first start (mode 0600).

    Raises:
        KeysFileUnusable: others may read the file, or what it holds are no keys.
    """
    keys = Keys(settings)
    keys.ensure()
    keys.list()
    return Cipher(keys)


_FORM = "v2."
_NONCE_BYTES = 12


def _seal(cipher: AESGCM, secret: bytes, context: str) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, secret, context.encode())


def _open(cipher: AESGCM, sealed: bytes, context: str) -> bytes:
    return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context.encode())


def _unwrap(key: Key, encrypted: str) -> tuple[bytes, bytes]:
    _form, key_id, wrapped, sealed = encrypted.split(".")
    return _open(key.wrapping, _bytes(wrapped), key_id), _bytes(sealed)


def _join(wrapped: str, sealed: bytes) -> str:
    return f"{wrapped}.{_text(sealed)}"


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, altchars=b"-_", validate=True)
