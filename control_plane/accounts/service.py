"""Logging in and out."""

import logging
import secrets
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from control_plane.accounts.models import Account, AccountSession
from control_plane.accounts.repository import Accounts
from control_plane.errors import Problem
from control_plane.security import hash_password, hash_token, new_token, verify_password

logger = logging.getLogger(__name__)

ADMIN = "admin"
MIN_PASSWORD_CHARS = 12
MAX_PASSWORD_CHARS = 256


class WrongCredentials(Problem):
    """The user name or the password is wrong."""

    status = HTTPStatus.UNAUTHORIZED
    type = "/problems/wrong-credentials"
    title = "Wrong user name or password"


class TooManyAttempts(Problem):
    """Too many attempts; wait a minute and try again."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    type = "/problems/too-many-attempts"
    title = "Too many attempts"


class NotLoggedIn(Problem):
    """Log in first, or send an API key in X-Api-Key."""

    status = HTTPStatus.UNAUTHORIZED
    type = "/problems/not-logged-in"
    title = "Not logged in"


class PasswordChangeNeeded(Problem):
    """The one-time password must be changed before anything else."""

    status = HTTPStatus.FORBIDDEN
    type = "/problems/password-change-needed"
    title = "Change the one-time password first"


class PasswordTooWeak(Problem):
    """The new password needs 12 characters or more, and must differ from the old one."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    type = "/problems/password-too-weak"
    title = "The new password is too weak"


class AttemptLimiter:
    """Attempts per minute, counted for each subject: an address, an account name, a landing page."""

    def __init__(self, per_minute: int) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._limit = RateLimitItemPerMinute(per_minute)

    async def count(self, *subjects: str) -> None:
        """Count an attempt.

        Raises:
            TooManyAttempts: one of the subjects used up its minute (429, with Retry-After).
        """
        # Every subject is counted, also when an earlier one is over its limit.
        allowed = [await self._limiter.hit(self._limit, subject) for subject in subjects]
        if not all(allowed):
            raise TooManyAttempts(headers={"Retry-After": "60"})


async def log_in(
    username: str, password: str, *, address: str, accounts: Accounts, limiter: AttemptLimiter, hours: int
) -> tuple[str, Account]:
    """Check the credentials and open a session.

    Returns:
        The session's token (for the cookie, stored only as a hash) and the account.

    Raises:
        WrongCredentials: no such account, or another password; both take the same time (401).
        TooManyAttempts: for this address or account (429).
    """
    username = username.strip().lower()
    await limiter.count(f"address:{address}", f"account:{username}")
    account = await accounts.get_by_username(username)
    fits = await verify_password(account.password_hash if account else None, password[:MAX_PASSWORD_CHARS])
    if account is None or not fits:
        logger.warning("log-in failed", extra={"address": address})
        raise WrongCredentials
    logger.info("log-in succeeded", extra={"account_id": account.id, "address": address})
    return await _open_session(account, accounts, hours), account


async def authenticate(token: str | None, *, accounts: Accounts) -> Account | None:
    """The account of a session's token, or None."""
    if not token:
        return None
    session = await accounts.get_session(hash_token(token), datetime.now(UTC))
    return await accounts.get(session.account_id) if session else None


async def authenticate_key(key: str, *, accounts: Accounts) -> Account | None:
    """The account of an API key, or None."""
    return await accounts.get_by_api_key(hash_token(key))


async def log_out(token: str | None, *, accounts: Accounts) -> None:
    """End the session; safe to repeat."""
    if token:
        await accounts.delete_session(hash_token(token))


async def change_password(account: Account, current: str, new: str, *, accounts: Accounts, hours: int) -> str:
    """Change the password; every session of the account ends, and a new one is opened.

    Returns:
        The new session's token.

    Raises:
        WrongCredentials: the current password is another one.
        PasswordTooWeak: the new one is too short, too long or the same.
    """
    if not await verify_password(account.password_hash, current):
        raise WrongCredentials("the current password is wrong")
    if not MIN_PASSWORD_CHARS <= len(new) <= MAX_PASSWORD_CHARS or new == current:
        raise PasswordTooWeak
    await accounts.set_password(account.id, await hash_password(new), must_change_password=False)
    logger.info("password was changed", extra={"account_id": account.id})
    return await _open_session(account, accounts, hours)


async def create_admin(*, accounts: Accounts, reset: bool = False) -> str | None:
    """Make the first account with a one-time password.

    Args:
        reset: give an existing account a new one-time password.

    Returns:
        The one-time password; None when the account exists and its owner has chosen a password.
    """
    password = secrets.token_urlsafe(12)
    hashed = await hash_password(password)
    account = await accounts.get_by_username(ADMIN)
    if account is None:
        if not await accounts.insert(ADMIN, hashed, must_change_password=True):
            return None
    elif reset or account.must_change_password:
        # A one-time password that nobody used yet may be lost with the terminal that showed it.
        await accounts.set_password(account.id, hashed, must_change_password=True)
    else:
        return None
    return password


async def create_api_key(*, accounts: Accounts) -> str:
    """Make an API key of the admin's; it is shown once and stored as a hash.

    Raises:
        WrongCredentials: there is no admin yet.
    """
    account = await accounts.get_by_username(ADMIN)
    if account is None:
        raise WrongCredentials("there is no admin yet; run create-admin first")
    key = f"flame_{new_token()}"
    await accounts.insert_api_key(hash_token(key), account.id)
    return key


async def _open_session(account: Account, accounts: Accounts, hours: int) -> str:
    token, now = new_token(), datetime.now(UTC)
    await accounts.insert_session(
        AccountSession(
            token_hash=hash_token(token), account_id=account.id, created_at=now, expires_at=now + timedelta(hours=hours)
        )
    )
    return token
