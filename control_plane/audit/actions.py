"""The stable word of each act: named here, else made of the route, so that no route is without one."""

import re

_CLIENT = "/admin/clients/{client_id}"
_PERSON = "/people/{account_id}"

LOG_IN = "session.log-in"
PASSWORD_ACCEPTED = "session.password-accepted"  # noqa: S105 - an act
CREATE = "client.create"
KEY_CHECK = "client.key-check"
REMOVED = "client.removed"
CLEANUP = "cleanup.run"

ACTIONS: dict[str, str] = {
    "POST /admin/login": LOG_IN,
    "POST /admin/logout": "session.log-out",
    "POST /admin/password": "account.password",
    "POST /admin/account": "account.password",
    "POST /admin/clients/new": CREATE,
    "POST /api/admin/clients": CREATE,
    "POST /admin/clients/key-check": KEY_CHECK,
    f"POST {_CLIENT}/key-check": KEY_CHECK,
    f"POST {_CLIENT}/edit": "client.edit",
    f"PATCH /api{_CLIENT}": "client.edit",
    f"DELETE /api{_CLIENT}": "client.delete",
    f"POST {_CLIENT}/try": "assistant.try",
    "POST /api/clients/{client_id}/process-message": "assistant.try",
    f"POST {_CLIENT}/chats/{{chat_id}}/assistant": "chat.assistant",
    "POST /api/clients/{client_id}/conversation": "chat.assistant",
    "POST /api/clients/{client_id}/send": "message.send",
    "POST /admin/login/code": "session.code",
    "POST /admin/forgot": "account.forgot",
    "POST /admin/reset": "account.reset",
    "POST /admin/welcome": "account.welcome",
    "POST /api/auth/login": LOG_IN,
    "POST /api/auth/refresh": "session.refresh",
    "POST /api/auth/logout": "session.log-out",
    **{f"POST {start}/people": "person.invite" for start in ("/admin", _CLIENT)},
    **{
        f"POST {start}{_PERSON}/{action}": f"person.{action}"
        for start in ("/admin", _CLIENT)
        for action in ("role", "invitation", "disable", "enable", "remove", "second-factor-reset")
    },
    **{f"POST {start}/api-keys": "api-key.create" for start in ("/admin", _CLIENT)},
    **{f"POST {start}/api-keys/{{key_id}}/revoke": "api-key.revoke" for start in ("/admin", _CLIENT)},
    f"GET {_CLIENT}/chats/{{chat_id}}/export": "contact.export",
    f"GET /api{_CLIENT}/contacts/{{chat_id}}/export": "contact.export",
    f"POST {_CLIENT}/chats/{{chat_id}}/erase": "contact.erase",
    f"POST /api{_CLIENT}/contacts/{{chat_id}}/erase": "contact.erase",
    "POST /client/{slug}/refresh": "landing.refresh",
    "POST /api/client/{slug}/refresh": "landing.refresh",
    "POST /client/{slug}/link-code": "landing.link-code",
    "POST /api/client/{slug}/link-code": "landing.link-code",
    "GET /admin/audit/export": "audit.export",
}


def name_action(method: str, path: str) -> str:
    """The word of a route, by its method and its path as declared.

    Unnamed ones: `POST /admin/clients/{client_id}/restart` is `client.restart`.
    """
    if (named := ACTIONS.get(f"{method} {path}")) is not None:
        return named
    parts = [part for part in path.split("/") if part and "{" not in part and part not in ("api", "admin", "auth")]
    if len(parts) < 2:
        parts.append(method.lower())
    parts[0] = re.sub(r"(?<=[a-z]{3})s$", "", parts[0])
    return ".".join(parts)
