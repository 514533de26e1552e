"""Log-ins of programs: a short access token (a signed JWT) and a refresh token that is exchanged at each use.

Both name a session. It is looked up at each request, so that a revoked session, a disabled account or a changed
password ends the access token at once and not at the end of its minutes.
"""

import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from control_plane.accounts.models import Account, AccountSession
from control_plane.accounts.repository import Accounts
from control_plane.accounts.service import MAX_DEVICE_CHARS, Visitor, authenticate_session
from control_plane.audit.act import current_act
from control_plane.database import Database
from control_plane.errors import Problem
from control_plane.security import CannotDecrypt, Cipher, hash_token, new_token, place

logger = logging.getLogger(__name__)

ACCESS_LASTS = timedelta(minutes=10)
SESSION_LASTS = timedelta(days=30)
ALGORITHM = "HS256"
ISSUER = "flame-assistant"
_KEY_ID = "access-tokens"
KEY = "key_encrypted"
_PLACE = place("signing_keys", _KEY_ID, KEY)


class RefreshRefused(Problem):
    """The refresh token is over or was used before; log in again."""

    status = HTTPStatus.UNAUTHORIZED
    type = "/problems/refresh-refused"
    title = "The refresh token does not work"


@dataclass(frozen=True)
class Tokens:
    """What a program gets."""

    access_token: str
    refresh_token: str


class SigningKey:
    """The installation's key for access tokens: made once, kept encrypted in `signing_keys`."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._keys = database["signing_keys"]
        self._cipher = cipher
        self._key: OctKey | None = None

    async def load(self) -> OctKey:
        """The key; the first that asks makes it."""
        if self._key is None:
            made = {KEY: self._cipher.encrypt(secrets.token_hex(32), _PLACE), "created_at": datetime.now(UTC)}
            await self._keys.update_one({"_id": _KEY_ID}, {"$setOnInsert": made}, upsert=True)
            stored = await self._keys.find_one({"_id": _KEY_ID})
            assert stored is not None  # noqa: S101 - it was made above
            try:
                text = self._cipher.decrypt(stored[KEY], _PLACE)
            except CannotDecrypt:
                # What it signed lasts minutes, and programs get a new token by themselves.
                await self._keys.delete_one({"_id": _KEY_ID, KEY: stored[KEY]})
                return await self.load()
            self._key = OctKey.import_key(bytes.fromhex(text))
        return self._key


async def open_family(account: Account, visitor: Visitor, *, accounts: Accounts, key: SigningKey) -> Tokens:
    """Log a program in: the first refresh token of a family, and an access token."""
    now, session_id = datetime.now(UTC), secrets.token_hex(32)
    refresh = f"{session_id}.{new_token()}"
    session = AccountSession(
        token_hash=session_id,
        account_id=account.id,
        created_at=now,
        expires_at=now + SESSION_LASTS,
        last_used_at=now,
        refresh_hash=hash_token(refresh),
        device=visitor.device[:MAX_DEVICE_CHARS],
        address=visitor.address,
    )
    await accounts.insert_session(session)
    await accounts.remember_address(account.id, visitor.network)
    current_act().known(account)
    logger.info("log-in succeeded", extra={"account_id": account.id, "address": visitor.address})
    return Tokens(await _sign(session, key), refresh)


async def refresh(token: str, *, accounts: Accounts, key: SigningKey) -> Tokens:
    """Exchange a refresh token.

    Raises:
        RefreshRefused: it is over, or somebody used it before: then the whole family ends, for one of the two stole it.
    """
    session_id = token.partition(".")[0]
    new = f"{session_id}.{new_token()}"
    session = await accounts.rotate_refresh(session_id, hash_token(token), hash_token(new), datetime.now(UTC))
    if session is None:
        if await accounts.delete_session(session_id):
            logger.warning("refresh token was used again; its family was revoked")
        raise RefreshRefused
    account = await accounts.get(session.account_id)
    if account is None or account.disabled:
        raise RefreshRefused
    return Tokens(await _sign(session, key), new)


async def end_family(token: str, *, accounts: Accounts) -> None:
    """Log a program out, by any refresh token of its family; safe to repeat."""
    await accounts.delete_session(token.partition(".")[0])


async def authenticate_bearer(token: str, *, accounts: Accounts, key: SigningKey) -> Account | None:
    """Whose access token that is, if it and its session are not over."""
    try:
        claims = jwt.decode(token, await key.load(), algorithms=[ALGORITHM]).claims
        jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": ISSUER}, exp={"essential": True}, sid={"essential": True}
        ).validate(claims)
    except (JoseError, ValueError):
        return None
    session_id = claims["sid"]
    return await authenticate_session(session_id, accounts=accounts) if isinstance(session_id, str) else None


async def _sign(session: AccountSession, key: SigningKey) -> str:
    now = datetime.now(UTC)
    claims = {
        "iss": ISSUER,
        "sub": session.account_id,
        "sid": session.token_hash,
        "iat": int(now.timestamp()),
        "exp": int((now + ACCESS_LASTS).timestamp()),
    }
    return jwt.encode({"alg": ALGORITHM}, claims, await key.load())
