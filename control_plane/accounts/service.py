"""Logging in and out."""

import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from control_plane.accounts.lockout import LoginFailures
from control_plane.accounts.models import Account, AccountSession
from control_plane.accounts.repository import Accounts
from control_plane.addresses import subject_of
from control_plane.audit.act import current_act
from control_plane.errors import Problem
from control_plane.security import hash_password, hash_token, new_token, verify_password

logger = logging.getLogger(__name__)

MAX_DEVICE_CHARS = 200
ADMIN = "admin"
NO_SECOND_FACTOR: dict[str, Any] = {
    "totp_secret_encrypted": None,
    "totp_pending_encrypted": None,
    "recovery_hashes": [],
}
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


class AccountLocked(TooManyAttempts):
    """Too many wrong attempts: this account is closed for a few minutes; Retry-After says how long."""

    type = "/problems/account-locked"
    title = "Too many wrong attempts"


class AddressTaken(Problem):
    """Somebody else has this email address."""

    status = HTTPStatus.CONFLICT
    type = "/problems/address-taken"
    title = "The address is taken"


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


@dataclass(frozen=True)
class Visitor:
    """From where somebody logs in."""

    address: str
    device: str = ""

    @property
    def network(self) -> str:
        """What attempts are counted by."""
        return subject_of(self.address)


async def find_account(name: str, *, accounts: Accounts) -> Account | None:
    """The account of a user name or an email address, as typed."""
    name = name.strip().lower()
    return await accounts.get_by_email(name) if "@" in name else await accounts.get_by_username(name)


async def check_password(
    name: str, password: str, visitor: Visitor, *, accounts: Accounts, failures: LoginFailures, limiter: AttemptLimiter
) -> Account:
    """The account that the user name, or the email address, and the password belong to.

    A second factor may still be asked for: the attempt counts as a wrong one until that was right too.

    Raises:
        WrongCredentials: no such account, or another password, or a disabled account; all take the same time (401).
        TooManyAttempts: for this address (429).
        AccountLocked: too many wrong attempts at this account (429).
    """
    name = name.strip().lower()
    account = await find_account(name, accounts=accounts)
    current_act().claimed(account)
    await limiter.count(f"address:{visitor.network}")
    await take_attempt(name, account, visitor, failures=failures)
    fits = await verify_password(account.password_hash if account else None, password[:MAX_PASSWORD_CHARS])
    if account is None or not fits or account.disabled:
        logger.warning("log-in failed", extra={"address": visitor.address})
        raise WrongCredentials
    if not account.has_second_factor:
        await failures.forget(account.username, visitor.network)
    return account


async def take_attempt(name: str, account: Account | None, visitor: Visitor, *, failures: LoginFailures) -> None:
    """Count an attempt at an account.

    Raises:
        AccountLocked: too many were wrong (429, with Retry-After).
    """
    # Both names of an account are one: an attacker gets no second count by the other.
    wait_s = await failures.take_attempt(account.username if account else name, visitor.network, account)
    if wait_s:
        raise AccountLocked(headers={"Retry-After": str(wait_s)})


async def open_session(account: Account, visitor: Visitor, *, accounts: Accounts, hours: int) -> str:
    """Open a browser's session; its token, for the cookie, is stored only as a hash."""
    token, now = new_token(), datetime.now(UTC)
    session = AccountSession(
        token_hash=hash_token(token),
        account_id=account.id,
        created_at=now,
        expires_at=now + timedelta(hours=hours),
        last_used_at=now,
        device=visitor.device[:MAX_DEVICE_CHARS],
        address=visitor.address,
    )
    await accounts.insert_session(session)
    await accounts.remember_address(account.id, visitor.network)
    current_act().known(account)
    logger.info("log-in succeeded", extra={"account_id": account.id, "address": visitor.address})
    return token


async def renew_session(account: Account, visitor: Visitor, *, accounts: Accounts, hours: int) -> str:
    """End every session of the account and open a new one: what opens it has changed."""
    await accounts.delete_sessions(account.id)
    return await open_session(account, visitor, accounts=accounts, hours=hours)


async def authenticate(token: str | None, *, accounts: Accounts) -> Account | None:
    """The account of a browser's session, or None."""
    return await authenticate_session(hash_token(token), accounts=accounts) if token else None


async def authenticate_session(session_id: str, *, accounts: Accounts) -> Account | None:
    """The account of a session that is not over, if it may log in."""
    session = await accounts.get_session(session_id, datetime.now(UTC))
    account = await accounts.get(session.account_id) if session else None
    return account if account and not account.disabled else None


async def log_out(token: str | None, *, accounts: Accounts) -> None:
    """End the session; safe to repeat."""
    if token:
        await accounts.delete_session(hash_token(token))


async def end_session(account: Account, session_id: str, *, accounts: Accounts) -> None:
    """End one of the account's sessions, by the name that its page shows; safe to repeat."""
    for session in await accounts.list_sessions(account.id, datetime.now(UTC)):
        if session.id == session_id:
            await accounts.delete_session(session.token_hash)


def check_new_password(password: str) -> None:
    """Whether it may be somebody's password.

    Raises:
        PasswordTooWeak: too short, or longer than 256 characters.
    """
    if not MIN_PASSWORD_CHARS <= len(password) <= MAX_PASSWORD_CHARS:
        raise PasswordTooWeak


async def change_password(
    account: Account, current: str, new: str, visitor: Visitor, *, accounts: Accounts, hours: int
) -> str:
    """Change the password; every session of the account ends, and a new one is opened.

    Returns:
        The new session's token.

    Raises:
        WrongCredentials: the current password is another one.
        PasswordTooWeak: the new one is too short, too long or the same.
    """
    if not await verify_password(account.password_hash, current):
        raise WrongCredentials("the current password is wrong")
    check_new_password(new)
    if new == current:
        raise PasswordTooWeak
    await accounts.set_password(account.id, await hash_password(new), must_change_password=False)
    await accounts.delete_tokens(account.id)
    logger.info("password was changed", extra={"account_id": account.id})
    return await open_session(account, visitor, accounts=accounts, hours=hours)


async def change_email(account: Account, password: str, email: str, *, accounts: Accounts) -> None:
    """Change the address that mails go to and that opens the account.

    Raises:
        WrongCredentials: that is not the password.
        AddressTaken: another account has it.
    """
    if not await verify_password(account.password_hash, password):
        raise WrongCredentials("the current password is wrong")
    if not await accounts.update(account.id, email=email.strip().lower()):
        raise AddressTaken
    current_act().changed({"email": account.email}, {"email": email.strip().lower()})
    await accounts.delete_tokens(account.id)


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
        if reset:
            # Whoever types this rules the machine: nothing that was lost keeps the owner out.
            await accounts.update(account.id, disabled=False, **NO_SECOND_FACTOR)
    else:
        return None
    return password
