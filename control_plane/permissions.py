"""The one table of who may do what: every route, and the roles that it is open to.

The checks (`control_plane.dependencies.authorize`), the buttons of the portal (`may`), the page `docs/permissions.md`
and the tests come from it. A route that is not here does not start.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, compile_path

from control_plane.accounts.roles import AGENCY_ROLES, EVERY_ROLE, Role
from tenant_runner.contract import CONFIG_PATH, EVENTS_PATH, START_PATH


class Opens(StrEnum):
    """What opens a route beside, or instead of, a role."""

    ROLE = "a role"
    FIRST_PASSWORD = "a role, also with a one-time password"  # noqa: S105 - words
    ANYBODY = "nothing: anybody may"
    LANDING_LINK = "the landing page's address"
    RUNNER_TOKEN = "the runner's token"  # noqa: S105 - words


class Scope(StrEnum):
    """What an API key may be good for."""

    CLIENTS_READ = "clients:read"
    CLIENTS_WRITE = "clients:write"
    ASSISTANT_TRY = "assistant:try"
    CONVERSATIONS_WRITE = "conversations:write"
    MESSAGES_SEND = "messages:send"
    CLEANUP = "cleanup"
    DATA = "data"
    AUDIT_READ = "audit:read"


@dataclass(frozen=True)
class Rule:
    """One row.

    Attributes:
        roles: those that may; empty where no account is asked for.
        scope: what an API key needs; None: no key opens the route.
        is_recorded: its use is written into the audit log although it only reads.
    """

    method: str
    path: str
    roles: frozenset[Role] = frozenset()
    opens: Opens = Opens.ROLE
    scope: Scope | None = None
    is_recorded: bool = False

    @property
    def leaves_a_record(self) -> bool:
        """Whether each use, also one that was refused, is written into the audit log: whatever people may change."""
        return self.opens is not Opens.RUNNER_TOKEN and (self.is_recorded or self.method != "GET")


class RuleMissing(Exception):
    """A route without a row, or a row without a route: the process does not start."""


OWNERS = frozenset({Role.OWNER})
ADMINS = OWNERS | {Role.ADMIN}
MANAGERS = ADMINS | {Role.MANAGER}
AGENTS = MANAGERS | {Role.AGENT}
# Those who run a client's connection, and those who talk to its customers.
KEEPERS = MANAGERS | {Role.CLIENT_ADMIN}
TALKERS = AGENTS | {Role.CLIENT_ADMIN, Role.CLIENT_USER}
_CLIENT = "/admin/clients/{client_id}"
_API_CLIENT = "/api/admin/clients/{client_id}"
_LANDING = "/client/{slug}"
_API_LANDING = "/api/client/{slug}"


def _open(opens: Opens, *routes: str) -> Iterable[Rule]:
    return (Rule(method, path, opens=opens) for method, path in (route.split() for route in routes))


def _people(start: str, roles: frozenset[Role]) -> Iterable[Rule]:
    person = f"{start}/people/{{account_id}}"
    yield Rule("GET", f"{start}/people", roles)
    yield Rule("POST", f"{start}/people", roles)
    for action in ("role", "invitation", "disable", "enable", "remove"):
        yield Rule("POST", f"{person}/{action}", roles)
    yield Rule("POST", f"{person}/second-factor-reset", OWNERS)
    yield Rule("POST", f"{start}/api-keys", roles)
    yield Rule("POST", f"{start}/api-keys/{{key_id}}/revoke", roles)


RULES: tuple[Rule, ...] = (
    # Nobody has to be known
    *_open(Opens.ANYBODY, "GET /", "GET /health", "GET /openapi.json", "GET /docs", "GET /static"),
    *_open(Opens.ANYBODY, "GET /admin/login", "POST /admin/login", "POST /admin/logout"),
    *_open(Opens.ANYBODY, "GET /admin/login/code", "POST /admin/login/code"),
    *_open(Opens.ANYBODY, "GET /admin/forgot", "POST /admin/forgot", "GET /admin/reset", "POST /admin/reset"),
    *_open(Opens.ANYBODY, "GET /admin/welcome", "POST /admin/welcome"),
    *_open(Opens.ANYBODY, "POST /api/auth/login", "POST /api/auth/refresh", "POST /api/auth/logout"),
    # The client's landing page
    *_open(
        Opens.LANDING_LINK,
        f"GET {_LANDING}",
        f"GET {_LANDING}/fragment",
        f"GET {_LANDING}/events",
        f"POST {_LANDING}/refresh",
        f"GET {_LANDING}/link-code",
        f"POST {_LANDING}/link-code",
        f"GET {_API_LANDING}/status",
        f"GET {_API_LANDING}/qr",
        f"POST {_API_LANDING}/refresh",
        f"POST {_API_LANDING}/link-code",
    ),
    # Runners
    Rule("POST", START_PATH, opens=Opens.RUNNER_TOKEN),
    Rule("GET", CONFIG_PATH, opens=Opens.RUNNER_TOKEN),
    Rule("POST", EVENTS_PATH, opens=Opens.RUNNER_TOKEN),
    # One's own account
    Rule("GET", "/admin/password", EVERY_ROLE, Opens.FIRST_PASSWORD),
    Rule("POST", "/admin/password", EVERY_ROLE, Opens.FIRST_PASSWORD),
    Rule("GET", "/admin/account", EVERY_ROLE),
    Rule("POST", "/admin/account", EVERY_ROLE),
    Rule("POST", "/admin/account/email", EVERY_ROLE),
    Rule("POST", "/admin/account/sessions", EVERY_ROLE),
    Rule("GET", "/admin/account/second-factor", EVERY_ROLE),
    Rule("POST", "/admin/account/second-factor", EVERY_ROLE),
    Rule("POST", "/admin/account/second-factor/confirm", EVERY_ROLE),
    Rule("POST", "/admin/account/second-factor/codes", EVERY_ROLE),
    Rule("POST", "/admin/account/second-factor/off", EVERY_ROLE),
    # People and keys: the agency's, and a client's
    *_people("/admin", ADMINS),
    *_people(_CLIENT, KEEPERS),
    # Clients in the portal
    Rule("GET", "/admin", EVERY_ROLE),
    Rule("GET", "/admin/fragment", EVERY_ROLE),
    Rule("GET", "/admin/events", EVERY_ROLE),
    Rule("GET", "/admin/clients/new", MANAGERS),
    Rule("POST", "/admin/clients/new", MANAGERS),
    Rule("POST", "/admin/clients/key-check", MANAGERS),
    Rule("GET", _CLIENT, EVERY_ROLE),
    Rule("GET", f"{_CLIENT}/fragment", EVERY_ROLE),
    Rule("GET", f"{_CLIENT}/events", EVERY_ROLE),
    Rule("GET", f"{_CLIENT}/edit", MANAGERS),
    Rule("POST", f"{_CLIENT}/edit", MANAGERS),
    Rule("POST", f"{_CLIENT}/key-check", MANAGERS),
    Rule("POST", f"{_CLIENT}/connect", KEEPERS),
    Rule("POST", f"{_CLIENT}/disconnect", KEEPERS),
    Rule("POST", f"{_CLIENT}/restart", KEEPERS),
    Rule("POST", f"{_CLIENT}/unlink", KEEPERS),
    Rule("POST", f"{_CLIENT}/release-phone", MANAGERS),
    Rule("POST", f"{_CLIENT}/invitation", MANAGERS),
    Rule("POST", f"{_CLIENT}/rotate-link", MANAGERS),
    Rule("POST", f"{_CLIENT}/try", TALKERS),
    Rule("GET", f"{_CLIENT}/delete", ADMINS),
    Rule("POST", f"{_CLIENT}/delete", ADMINS),
    Rule("GET", f"{_CLIENT}/chats", EVERY_ROLE),
    Rule("GET", f"{_CLIENT}/chats/{{chat_id}}", EVERY_ROLE),
    Rule("POST", f"{_CLIENT}/chats/{{chat_id}}/assistant", TALKERS),
    # Data rights
    Rule("GET", f"{_CLIENT}/export", KEEPERS, is_recorded=True),
    Rule("GET", f"{_CLIENT}/chats/{{chat_id}}/export", KEEPERS, is_recorded=True),
    Rule("GET", f"{_CLIENT}/chats/{{chat_id}}/erase", KEEPERS),
    Rule("POST", f"{_CLIENT}/chats/{{chat_id}}/erase", KEEPERS),
    Rule("GET", "/admin/erasures", KEEPERS),
    Rule("GET", "/admin/erasures/{erasure_id}", KEEPERS),
    # Cleanup
    Rule("GET", "/admin/cleanup", AGENCY_ROLES),
    Rule("GET", "/admin/cleanup/fragment", AGENCY_ROLES),
    Rule("POST", "/admin/cleanup/force", ADMINS),
    # Audit log
    Rule("GET", "/admin/audit", ADMINS),
    Rule("GET", "/admin/audit/export", ADMINS, is_recorded=True),
    Rule("GET", "/admin/audit/{event_id}", ADMINS),
    Rule("GET", "/api/admin/audit", ADMINS, scope=Scope.AUDIT_READ),
    # The JSON API
    Rule("GET", "/api/admin/clients", EVERY_ROLE, scope=Scope.CLIENTS_READ),
    Rule("POST", "/api/admin/clients", MANAGERS, scope=Scope.CLIENTS_WRITE),
    Rule("GET", _API_CLIENT, EVERY_ROLE, scope=Scope.CLIENTS_READ),
    Rule("PATCH", _API_CLIENT, MANAGERS, scope=Scope.CLIENTS_WRITE),
    Rule("DELETE", _API_CLIENT, ADMINS, scope=Scope.CLIENTS_WRITE),
    Rule("POST", f"{_API_CLIENT}/toggle", KEEPERS, scope=Scope.CLIENTS_WRITE),
    Rule("POST", f"{_API_CLIENT}/restart", KEEPERS, scope=Scope.CLIENTS_WRITE),
    Rule("POST", f"{_API_CLIENT}/release-phone", MANAGERS, scope=Scope.CLIENTS_WRITE),
    Rule("POST", f"{_API_CLIENT}/invitation", MANAGERS, scope=Scope.CLIENTS_WRITE),
    Rule("POST", f"{_API_CLIENT}/rotate-link", MANAGERS, scope=Scope.CLIENTS_WRITE),
    Rule("POST", "/api/clients/{client_id}/process-message", TALKERS, scope=Scope.ASSISTANT_TRY),
    Rule("POST", "/api/clients/{client_id}/conversation", TALKERS, scope=Scope.CONVERSATIONS_WRITE),
    Rule("POST", "/api/clients/{client_id}/send", TALKERS, scope=Scope.MESSAGES_SEND),
    Rule("GET", f"{_API_CLIENT}/export", KEEPERS, scope=Scope.DATA, is_recorded=True),
    Rule("GET", f"{_API_CLIENT}/contacts/{{chat_id}}/export", KEEPERS, scope=Scope.DATA, is_recorded=True),
    Rule("POST", f"{_API_CLIENT}/contacts/{{chat_id}}/erase", KEEPERS, scope=Scope.DATA),
    Rule("GET", "/api/admin/erasures", KEEPERS, scope=Scope.DATA),
    Rule("GET", "/api/admin/erasures/{erasure_id}", KEEPERS, scope=Scope.DATA),
    Rule("POST", "/api/admin/cleanup/force", ADMINS, scope=Scope.CLEANUP),
    Rule("GET", "/api/admin/cleanup/runs", AGENCY_ROLES, scope=Scope.CLEANUP),
    Rule("GET", "/api/admin/cleanup/runs/{run_id}", AGENCY_ROLES, scope=Scope.CLEANUP),
)


@cache
def _table() -> dict[tuple[str, str], Rule]:
    table = {(rule.method, rule.path): rule for rule in RULES}
    if len(table) != len(RULES):
        raise RuleMissing("a route has more than one row")
    return table


def find_rule(method: str, path: str) -> Rule:
    """The row of a route, by its method and its path as declared (`/admin/clients/{client_id}`).

    Raises:
        RuleMissing: there is none.
    """
    try:
        return _table()["GET" if method == "HEAD" else method, path]
    except KeyError:
        raise RuleMissing(f"{method} {path} has no row in control_plane/permissions.py") from None


def find_methods(path: str) -> list[str]:
    """The methods that an address of that path knows; the path as it was asked for."""
    return sorted({rule.method for rule in RULES if compile_path(rule.path)[0].match(path)})


def may(role: Role, method: str, path: str) -> bool:
    """Whether that role may use the route."""
    return role in find_rule(method, path).roles


def check_table(routes: Iterable[BaseRoute]) -> None:
    """Compare the table with the routes of the process.

    Raises:
        RuleMissing: they differ; the message names what is missing.
    """
    # A mount has no methods: what it serves is read.
    served = {
        (method, context.path or "")
        for context in iter_route_contexts(list(routes))
        for method in (context.methods or {"GET"})
        if method != "HEAD"
    }
    listed = set(_table())
    if served != listed:
        no_row = ", ".join(sorted(" ".join(pair) for pair in served - listed)) or "none"
        no_route = ", ".join(sorted(" ".join(pair) for pair in listed - served)) or "none"
        raise RuleMissing(
            f"control_plane/permissions.py: routes without a row: {no_row}; rows without a route: {no_route}"
        )


def describe() -> str:
    """The table as a page of the documentation (`docs/permissions.md`)."""
    lines = [
        "# Who may do what",
        "",
        "Written by `python -m control_plane permissions` from `control_plane/permissions.py`, from which the checks,",
        "the portal's buttons and the tests come too. What is not here does not start. `client-admin` and",
        "`client-user` belong to one client: of the others they get 404, as if there were none.",
        "",
        "| route | " + " | ".join(Role) + " | API key's scope | otherwise opened by |",
        "|---|" + "---|" * (len(Role) + 2),
    ]
    for rule in RULES:
        marks = ["✓" if role in rule.roles else "" for role in Role]
        opens = "" if rule.opens is Opens.ROLE else str(rule.opens)
        lines.append(f"| `{rule.method} {rule.path}` | {' | '.join(marks)} | {rule.scope or ''} | {opens} |")
    return "\n".join(lines) + "\n"
