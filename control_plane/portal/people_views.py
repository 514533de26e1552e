"""What the portal shows of people, their sessions and the keys of programs."""

from dataclasses import dataclass
from datetime import datetime

from control_plane.accounts.models import Account, AccountSession
from control_plane.accounts.people import may_manage
from control_plane.accounts.roles import Role
from control_plane.permissions import Scope
from control_plane.portal.texts import Label
from control_plane.session_text import N_

ROLES: dict[Role, tuple[str, str]] = {
    Role.OWNER: (N_("Owner"), N_("Everything, other owners too.")),
    Role.ADMIN: (N_("Admin"), N_("Everything but owners: people, keys, deleting clients.")),
    Role.MANAGER: (N_("Manager"), N_("Creates and runs clients and invites their people.")),
    Role.AGENT: (N_("Agent"), N_("Answers chats and tries assistants.")),
    Role.VIEWER: (N_("Viewer"), N_("Looks and changes nothing.")),
    Role.CLIENT_ADMIN: (N_("Client's admin"), N_("Runs this client's connection and invites its people.")),
    Role.CLIENT_USER: (N_("Client's user"), N_("Answers this client's chats and tries its assistant.")),
}

SCOPES: dict[Scope, str] = {
    Scope.CLIENTS_READ: N_("See clients"),
    Scope.CLIENTS_WRITE: N_("Create, change and delete clients"),
    Scope.ASSISTANT_TRY: N_("Try the assistant"),
    Scope.CONVERSATIONS_WRITE: N_("Pause the assistant in a chat"),
    Scope.MESSAGES_SEND: N_("Send messages"),
    Scope.CLEANUP: N_("Cleanups"),
    Scope.DATA: N_("Export and erase data"),
    Scope.AUDIT_READ: N_("Read the audit log"),
}

STATES = {
    "active": Label(N_("Active"), "circle-check", "green"),
    "invited": Label(N_("Invited"), "mail", "azure"),
    "disabled": Label(N_("Disabled"), "ban", "secondary"),
}

_BROWSERS = ("Edg", "OPR", "SamsungBrowser", "Firefox", "Chrome", "Safari")
_NAMES = {"Edg": "Edge", "OPR": "Opera", "SamsungBrowser": "Samsung Internet"}
_SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "CrOS", "Linux")


@dataclass(frozen=True)
class PersonRow:
    """One person as whoever looks at the list may manage them.

    Attributes:
        can_manage: neither oneself nor somebody of a higher role.
    """

    account: Account
    role: str
    state: Label
    can_manage: bool
    is_oneself: bool


@dataclass(frozen=True)
class SessionRow:
    """One log-in, in a person's words."""

    id: str
    device: str
    icon: str
    address: str
    used_at: datetime
    is_this: bool


def describe_person(account: Account, asker: Account) -> PersonRow:
    """The row of one person."""
    state = "disabled" if account.disabled else "invited" if account.is_invited else "active"
    is_oneself = account.id == asker.id
    return PersonRow(
        account=account,
        role=ROLES[account.role][0],
        state=STATES[state],
        can_manage=not is_oneself and may_manage(asker, account.role),
        is_oneself=is_oneself,
    )


def describe_session(session: AccountSession, here: str) -> SessionRow:
    """The row of one log-in; `here` is the hash of this browser's token."""
    browser = next((name for name in _BROWSERS if f"{name}/" in session.device), None)
    system = next((name for name in _SYSTEMS if name in session.device), None)
    if session.refresh_hash is not None:
        icon, device = "api", f"API · {session.device.partition(' ')[0]}" if session.device else "API"
    else:
        icon = "device-mobile" if system in ("Android", "iPhone", "iPad") else "device-laptop"
        known = [_NAMES.get(browser, browser) if browser else None, system]
        device = " · ".join(filter(None, known)) or session.device.partition(" ")[0] or "?"
    return SessionRow(
        id=session.id,
        device=device,
        icon=icon,
        address=session.address,
        used_at=session.last_used_at or session.created_at,
        is_this=session.token_hash == here,
    )
