"""What routes are given: settings, database, repositories, who asks."""

from http import HTTPStatus
from typing import Annotated, cast

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from control_plane.accounts import service as accounts_service
from control_plane.accounts.access_tokens import SigningKey, authenticate_bearer
from control_plane.accounts.api_keys import ApiKeys, authenticate_key, holder
from control_plane.accounts.lockout import LoginFailures
from control_plane.accounts.models import Account
from control_plane.accounts.repository import Accounts
from control_plane.accounts.service import AttemptLimiter, NotLoggedIn, PasswordChangeNeeded, Visitor
from control_plane.addresses import client_address
from control_plane.audit.act import current_act
from control_plane.clients.models import Client
from control_plane.clients.repository import Clients
from control_plane.clients.service import ClientNotFound
from control_plane.clients.stored_secrets import read_runner_token
from control_plane.data_rights.repository import Erasures
from control_plane.database import Database
from control_plane.errors import Problem
from control_plane.mail.repository import Mails
from control_plane.permissions import Opens, Rule, find_rule
from control_plane.retention.repository import CleanupRuns
from control_plane.runners.gateway import RunnerGateway
from control_plane.security import Cipher
from control_plane.settings import Settings

SESSION_COOKIE = "flame_session"
API_KEY = APIKeyHeader(name="X-Api-Key", auto_error=False, description="made in the portal, or by `create-api-key`")
BEARER = HTTPBearer(auto_error=False, description="the access token of `POST /api/auth/login`")


def get_settings(request: Request) -> Settings:
    """The process's settings."""
    return cast(Settings, request.app.state.settings)


def get_database(request: Request) -> Database:
    """The process's database."""
    return cast(Database, request.app.state.database)


def get_cipher(request: Request) -> Cipher:
    """What encrypts secrets at rest."""
    return cast(Cipher, request.app.state.cipher)


def get_login_limiter(request: Request) -> AttemptLimiter:
    """Counts log-in attempts."""
    return cast(AttemptLimiter, request.app.state.login_limiter)


def get_action_limiter(request: Request) -> AttemptLimiter:
    """Counts what a landing page's visitor asks of a runner."""
    return cast(AttemptLimiter, request.app.state.action_limiter)


SettingsDep = Annotated[Settings, Depends(get_settings)]
DatabaseDep = Annotated[Database, Depends(get_database)]
CipherDep = Annotated[Cipher, Depends(get_cipher)]
LoginLimiterDep = Annotated[AttemptLimiter, Depends(get_login_limiter)]
ActionLimiterDep = Annotated[AttemptLimiter, Depends(get_action_limiter)]


def get_clients(request: Request, database: DatabaseDep) -> Clients:
    """The clients that whoever asks may see: a client's people their own, everybody else all."""
    account: Account | None = getattr(request.state, "account", None)
    return Clients(database, only=account.client_id if account else None)


def get_mails(database: DatabaseDep) -> Mails:
    """The queue of mails."""
    return Mails(database)


def get_accounts(database: DatabaseDep) -> Accounts:
    """Who may log in."""
    return Accounts(database)


def get_api_keys(database: DatabaseDep) -> ApiKeys:
    """The keys of programs."""
    return ApiKeys(database)


def get_login_failures(database: DatabaseDep) -> LoginFailures:
    """Wrong attempts to log in."""
    return LoginFailures(database)


def get_signing_key(request: Request) -> SigningKey:
    """What signs access tokens."""
    return cast(SigningKey, request.app.state.signing_key)


def get_visitor(request: Request) -> Visitor:
    """From where somebody comes."""
    return Visitor(client_address(request), request.headers.get("user-agent", ""))


def get_cleanup_runs(database: DatabaseDep) -> CleanupRuns:
    """Records of cleanups."""
    return CleanupRuns(database)


def get_erasures(request: Request, database: DatabaseDep) -> Erasures:
    """The records of erasures that whoever asks may see."""
    account: Account | None = getattr(request.state, "account", None)
    return Erasures(database, only=account.client_id if account else None)


class Gateways:
    """Opens the way to a client's runner."""

    def __init__(self, cipher: Cipher, settings: Settings) -> None:
        self._cipher = cipher
        self._settings = settings

    def open(self, client: Client) -> RunnerGateway:
        """The gateway to one client's runner, with that client's token.

        Raises:
            CannotDecrypt: the key that encrypted the token is lost (503).
        """
        token = read_runner_token(client, self._cipher)
        return RunnerGateway(client.port, token, timeout_s=self._settings.runner_timeout_s)


def get_gateways(cipher: CipherDep, settings: SettingsDep) -> Gateways:
    """The ways to runners."""
    return Gateways(cipher, settings)


GatewaysDep = Annotated[Gateways, Depends(get_gateways)]
ClientsDep = Annotated[Clients, Depends(get_clients)]
MailsDep = Annotated[Mails, Depends(get_mails)]
AccountsDep = Annotated[Accounts, Depends(get_accounts)]
ErasuresDep = Annotated[Erasures, Depends(get_erasures)]
ApiKeysDep = Annotated[ApiKeys, Depends(get_api_keys)]
LoginFailuresDep = Annotated[LoginFailures, Depends(get_login_failures)]
SigningKeyDep = Annotated[SigningKey, Depends(get_signing_key)]
VisitorDep = Annotated[Visitor, Depends(get_visitor)]
CleanupRunsDep = Annotated[CleanupRuns, Depends(get_cleanup_runs)]


def session_cookie(settings: Settings) -> str:
    """The cookie's name; with HTTPS one that no other host, and no page that came by HTTP, can set."""
    return f"__Host-{SESSION_COOKIE}" if settings.cookies_are_secure else SESSION_COOKIE


async def get_account(request: Request, accounts: AccountsDep) -> Account | None:
    """Whose browser this is, by the session's cookie."""
    token = request.cookies.get(session_cookie(get_settings(request)))
    return await accounts_service.authenticate(token, accounts=accounts)


AccountDep = Annotated[Account | None, Depends(get_account)]


class Forbidden(Problem):
    """Your role does not allow this; ask an admin of the agency."""

    status = HTTPStatus.FORBIDDEN
    type = "/problems/forbidden"
    title = "Not allowed"


async def authorize(
    request: Request,
    key: Annotated[str | None, Security(API_KEY)] = None,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)] = None,
) -> Account | None:
    """Let the request through if its row of the table of permissions says so; every route depends on it.

    A browser's cookie travels with every request that any site causes: in the JSON API it opens only what reads.

    Returns:
        Who asks; None where no account is asked for.

    Raises:
        NotLoggedIn: nobody (401).
        PasswordChangeNeeded: the one-time password was not changed yet (403).
        Forbidden: the role, or the key's scopes, do not allow it (403).
        ClientNotFound: a client's people, or its key, asked for another client (404).
    """
    rule = find_rule(request.method, request.scope["route"].path)
    # Not asked for as dependencies: every route has this one, and FastAPI looks at each of them anew.
    database = get_database(request)
    accounts = Accounts(database)
    if rule.opens not in (Opens.ROLE, Opens.FIRST_PASSWORD):
        return None
    account: Account | None = None
    scopes: frozenset[str] | None = None
    if rule.scope is not None and key:
        if (found := await authenticate_key(key, keys=ApiKeys(database))) is not None:
            account, scopes = holder(found), found.scopes
    elif rule.scope is not None and bearer:
        account = await authenticate_bearer(bearer.credentials, accounts=accounts, key=get_signing_key(request))
    elif rule.scope is None or request.method in ("GET", "HEAD"):
        account = await get_account(request, accounts)
    if account is None:
        raise NotLoggedIn
    current_act().known(account)
    if account.must_change_password and rule.opens is not Opens.FIRST_PASSWORD:
        raise PasswordChangeNeeded
    if not _allows(rule, account, scopes):
        raise Forbidden
    if account.client_id is not None and request.path_params.get("client_id", account.client_id) != account.client_id:
        raise ClientNotFound
    request.state.account = account
    request.state.scopes = scopes
    return account


def _allows(rule: Rule, account: Account, scopes: frozenset[str] | None) -> bool:
    """Whether the row lets in that role, and that key (None: no key, or one for everything)."""
    return account.role in rule.roles and (scopes is None or rule.scope in scopes)


async def get_asker(request: Request) -> Account:
    """Who asks, as `authorize` found out.

    Raises:
        NotLoggedIn: the route asks for no account (401).
    """
    account: Account | None = getattr(request.state, "account", None)
    if account is None:
        raise NotLoggedIn
    return account


Asker = Annotated[Account, Depends(get_asker)]


async def may_invite(request: Request, asker: Asker) -> bool:
    """Whether who asks may hand on a client's landing link, which lets its holder link a phone."""
    rule = find_rule("POST", "/api/admin/clients/{client_id}/invitation")
    return _allows(rule, asker, request.state.scopes)


MayInvite = Annotated[bool, Depends(may_invite)]
