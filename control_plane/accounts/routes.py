"""Logging in over the JSON API."""

from http import HTTPStatus

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from control_plane.accounts import access_tokens, second_factor, service
from control_plane.accounts.access_tokens import ACCESS_LASTS, Tokens
from control_plane.accounts.second_factor import SecondFactorNeeded
from control_plane.accounts.service import PasswordChangeNeeded
from control_plane.audit.act import current_act
from control_plane.dependencies import (
    AccountsDep,
    CipherDep,
    LoginFailuresDep,
    LoginLimiterDep,
    SigningKeyDep,
    VisitorDep,
)

router = APIRouter(prefix="/api/auth", tags=["log-in"])


class Credentials(BaseModel):
    """Who logs in.

    Attributes:
        username: the user name or the email address.
        totp: the code of the second factor, or a recovery code, where the account has one.
    """

    model_config = ConfigDict(extra="forbid")

    username: str = Field(max_length=320)
    password: SecretStr = Field(max_length=1000)
    totp: str | None = Field(default=None, max_length=40)


class RefreshToken(BaseModel):
    """The refresh token of the last answer."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: SecretStr = Field(max_length=400)


class TokensView(BaseModel):
    """For `Authorization: Bearer`, and for the next exchange.

    Attributes:
        expires_in: seconds until the access token is over.
    """

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - a kind
    expires_in: int = int(ACCESS_LASTS.total_seconds())
    refresh_token: str


def _view(tokens: Tokens) -> TokensView:
    return TokensView(access_token=tokens.access_token, refresh_token=tokens.refresh_token)


@router.post("/login")
async def log_in(
    credentials: Credentials,
    visitor: VisitorDep,
    accounts: AccountsDep,
    failures: LoginFailuresDep,
    limiter: LoginLimiterDep,
    cipher: CipherDep,
    signing_key: SigningKeyDep,
) -> TokensView:
    """Exchange a password, and a code where the account has a second factor, for tokens.

    401 `/problems/second-factor-needed`: the password was right; send it again with `totp`.
    """
    password = credentials.password.get_secret_value()
    account = await service.check_password(
        credentials.username, password, visitor, accounts=accounts, failures=failures, limiter=limiter
    )
    if account.has_second_factor:
        if not credentials.totp:
            raise SecondFactorNeeded
        # The attempt was counted with the password, and is forgotten only when the code is right too.
        await second_factor.take_code(account, credentials.totp, accounts=accounts, cipher=cipher)
        await failures.forget(account.username, visitor.network)
    if account.must_change_password:
        raise PasswordChangeNeeded
    return _view(await access_tokens.open_family(account, visitor, accounts=accounts, key=signing_key))


@router.post("/refresh")
async def refresh(body: RefreshToken, accounts: AccountsDep, signing_key: SigningKeyDep) -> TokensView:
    """Exchange a refresh token, once: one that was used before ends the log-in, for somebody may have stolen it."""
    token = body.refresh_token.get_secret_value()
    tokens = await access_tokens.refresh(token, accounts=accounts, key=signing_key)
    # Programs do this every few minutes: only what is refused is worth a line.
    current_act().ignore()
    return _view(tokens)


@router.post("/logout", status_code=HTTPStatus.NO_CONTENT)
async def log_out(body: RefreshToken, accounts: AccountsDep) -> None:
    """End the log-in: neither token works any more. Safe to repeat."""
    await access_tokens.end_family(body.refresh_token.get_secret_value(), accounts=accounts)
