"""API keys: which work, and how they are told apart without being kept."""

import hashlib
from dataclasses import dataclass
from http import HTTPStatus

from sandbox.openai_api.errors import ApiError

BAD_PREFIX = "sk-bad"
NO_QUOTA_PREFIX = "sk-noquota"
SHORT_ID_LENGTH = 12
_BEARER = "bearer "


@dataclass(frozen=True)
class Key:
    """What is kept of an API key.

    Attributes:
        id: SHA-256 of the key, hex; owns conversations and responses.
        hint: what people see, `sk-…4f2a`.
    """

    id: str
    hint: str
    is_bad: bool
    has_quota: bool

    @property
    def short_id(self) -> str:
        """Enough of the hash to tell two keys with one hint apart."""
        return self.id[:SHORT_ID_LENGTH]

    def require_quota(self) -> None:
        """Refuse work that costs money for a key without any.

        Raises:
            ApiError: 429 `insufficient_quota`; unlike a rate limit it never passes by itself.
        """
        if not self.has_quota:
            raise ApiError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "You exceeded your current quota, please check your plan and billing details.",
                code="insufficient_quota",
                kind="insufficient_quota",
            )


def key_id(secret: str) -> str:
    """The id under which a key's objects are kept."""
    return hashlib.sha256(secret.encode()).hexdigest()


def key_hint(secret: str) -> str:
    """Start and last four characters; a short key shows nothing of itself."""
    return f"sk-…{secret[-4:]}" if len(secret) > 10 else "sk-…"


def read_key(authorization: str | None) -> Key | None:
    """The key of an `Authorization` header, good or bad; None when there is none."""
    if not authorization or not authorization.lower().startswith(_BEARER):
        return None
    secret = authorization[len(_BEARER) :].strip()
    if not secret:
        return None
    return Key(
        id=key_id(secret),
        hint=key_hint(secret),
        is_bad=not secret.startswith("sk-") or secret.startswith(BAD_PREFIX),
        has_quota=not secret.startswith(NO_QUOTA_PREFIX),
    )


def require_key(key: Key | None) -> Key:
    """The key of a request that needs one.

    Raises:
        ApiError: 401, without a key or with one that does not work.
    """
    if key is None:
        raise ApiError(
            HTTPStatus.UNAUTHORIZED,
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY).",
        )
    if key.is_bad:
        raise ApiError(
            HTTPStatus.UNAUTHORIZED,
            f"Incorrect API key provided: {key.hint.replace('…', '********')}. You can find your API key at "
            "https://platform.openai.com/account/api-keys.",
            code="invalid_api_key",
        )
    return key
