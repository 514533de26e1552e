"""The second factor: codes that a telephone makes (TOTP, RFC 6238), and recovery codes for when it is lost."""

import hmac
import logging
import secrets
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from urllib.parse import quote

import pyotp

from control_plane.accounts.lockout import LoginFailures
from control_plane.accounts.models import Account, TokenKind
from control_plane.accounts.repository import Accounts
from control_plane.accounts.service import NO_SECOND_FACTOR, Visitor, WrongCredentials, take_attempt
from control_plane.audit.act import current_act
from control_plane.errors import Problem
from control_plane.security import Cipher, hash_token, new_token, place, verify_password

logger = logging.getLogger(__name__)

SECRET = "totp_secret_encrypted"  # noqa: S105 - the name of a field
PENDING = "totp_pending_encrypted"
PERIOD_S = 30
RECOVERY_CODES = 10
CHALLENGE_LASTS = timedelta(minutes=5)
ISSUER = "Flame Assistant"
# Neither 0 and o, nor 1 and l and i.
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


class SecondFactorNeeded(Problem):
    """A code of the second factor is needed after the password."""

    status = HTTPStatus.UNAUTHORIZED
    type = "/problems/second-factor-needed"
    title = "A code is needed"


class WrongCode(Problem):
    """The code is wrong, or it was used before."""

    status = HTTPStatus.UNAUTHORIZED
    type = "/problems/wrong-code"
    title = "Wrong code"


# ------------------------------------------------------------------------------------------------ at the log-in


async def ask_for_code(account: Account, *, accounts: Accounts) -> str:
    """Remember for five minutes that the password was right; the token that says so."""
    token = new_token()
    until = datetime.now(UTC) + CHALLENGE_LASTS
    await accounts.insert_token(hash_token(token), TokenKind.SECOND_FACTOR, account.id, until)
    return token


async def find_challenge(token: str | None, *, accounts: Accounts) -> Account | None:
    """Whose password was right a moment ago."""
    if not token:
        return None
    found = await accounts.find_token(hash_token(token), TokenKind.SECOND_FACTOR, datetime.now(UTC))
    account = await accounts.get(found) if found else None
    return account if account and not account.disabled else None


async def pass_code(
    account: Account, code: str, visitor: Visitor, *, accounts: Accounts, cipher: Cipher, failures: LoginFailures
) -> None:
    """Take the code that was typed after the right password.

    Raises:
        AccountLocked: too many were wrong (429).
        WrongCode: it is wrong or was used (401).
    """
    current_act().claimed(account)
    await take_attempt(account.username, account, visitor, failures=failures)
    await take_code(account, code, accounts=accounts, cipher=cipher)
    await failures.forget(account.username, visitor.network)


async def take_code(account: Account, code: str, *, accounts: Accounts, cipher: Cipher) -> None:
    """Use up a code of the telephone or a recovery code.

    Raises:
        WrongCode: it is wrong, or was used before.
    """
    typed = code.replace(" ", "").replace("-", "").lower()
    if account.totp_secret_encrypted is None:
        return
    if typed.isascii() and typed.isdigit():
        step = _find_step(cipher.decrypt(account.totp_secret_encrypted, place("accounts", account.id, SECRET)), typed)
        if step is not None and await accounts.use_totp_step(account.id, step):
            return
    elif await accounts.use_recovery_code(account.id, hash_token(typed)):
        logger.info("recovery code was used", extra={"account_id": account.id})
        return
    raise WrongCode


def _find_step(secret: str, code: str) -> int | None:
    """The half minute whose code that is: this one, the one before or the next, for clocks differ."""
    now = int(datetime.now(UTC).timestamp()) // PERIOD_S
    codes = pyotp.TOTP(secret)
    return next((now + late for late in (0, -1, 1) if hmac.compare_digest(codes.generate_otp(now + late), code)), None)


# ------------------------------------------------------------------------------------------------ on and off


async def begin(account: Account, *, accounts: Accounts, cipher: Cipher) -> None:
    """Make the secret that the page shows as a QR code; nothing is asked for before it is confirmed."""
    secret = cipher.encrypt(pyotp.random_base32(), place("accounts", account.id, PENDING))
    await accounts.update(account.id, **{PENDING: secret})


def read_pending(account: Account, *, cipher: Cipher) -> str | None:
    """The secret that waits to be confirmed, in base 32."""
    if account.totp_pending_encrypted is None:
        return None
    return cipher.decrypt(account.totp_pending_encrypted, place("accounts", account.id, PENDING))


def make_address(secret: str, account: Account, host: str) -> str:
    """The `otpauth:` address that the QR code holds."""
    return pyotp.TOTP(secret).provisioning_uri(name=f"{account.username}@{quote(host)}", issuer_name=ISSUER)


async def confirm(account: Account, code: str, *, accounts: Accounts, cipher: Cipher) -> list[str]:
    """Turn the second factor on with the first code of the telephone.

    Returns:
        The recovery codes, to be shown once.

    Raises:
        WrongCode: it is not the code of the secret that was shown.
    """
    secret = read_pending(account, cipher=cipher)
    step = _find_step(secret, code.replace(" ", "")) if secret else None
    if secret is None or step is None:
        raise WrongCode
    values = {SECRET: cipher.encrypt(secret, place("accounts", account.id, SECRET)), PENDING: None}
    await accounts.update(account.id, **values, totp_step=step)
    current_act().changed({"second_factor": False}, {"second_factor": True})
    logger.info("second factor was turned on", extra={"account_id": account.id})
    return await make_recovery_codes(account, accounts=accounts)


async def check_both(
    account: Account,
    password: str,
    code: str,
    visitor: Visitor,
    *,
    accounts: Accounts,
    cipher: Cipher,
    failures: LoginFailures,
) -> None:
    """Take the password and a code before the second factor is changed: an open session alone is not enough.

    Raises:
        AccountLocked: too many were wrong (429).
        WrongCredentials, WrongCode: the password or the code is wrong.
    """
    await take_attempt(account.username, account, visitor, failures=failures)
    if not await verify_password(account.password_hash, password):
        raise WrongCredentials("the current password is wrong")
    await take_code(account, code, accounts=accounts, cipher=cipher)
    await failures.forget(account.username, visitor.network)


async def turn_off(account: Account, *, accounts: Accounts) -> None:
    """Ask for no code any more."""
    await accounts.update(account.id, **NO_SECOND_FACTOR)
    current_act().changed({"second_factor": True}, {"second_factor": False})
    logger.info("second factor was turned off", extra={"account_id": account.id})


async def make_recovery_codes(account: Account, *, accounts: Accounts) -> list[str]:
    """Ten new recovery codes in place of the old ones; to be shown once."""
    codes = ["".join(secrets.choice(_LETTERS) for _ in range(16)) for _ in range(RECOVERY_CODES)]
    await accounts.update(account.id, recovery_hashes=[hash_token(code) for code in codes])
    return ["-".join(code[start : start + 4] for start in range(0, 16, 4)) for code in codes]
