"""Who a person is to the platform: a role in the agency, or with one client."""

from enum import StrEnum


class Role(StrEnum):
    """What an account's holder does; a role of a client sees that client alone."""

    OWNER = "owner"
    ADMIN = "admin"
    MANAGER = "manager"
    AGENT = "agent"
    VIEWER = "viewer"
    CLIENT_ADMIN = "client-admin"
    CLIENT_USER = "client-user"


AGENCY_ROLES = frozenset({Role.OWNER, Role.ADMIN, Role.MANAGER, Role.AGENT, Role.VIEWER})
CLIENT_ROLES = frozenset({Role.CLIENT_ADMIN, Role.CLIENT_USER})
EVERY_ROLE = AGENCY_ROLES | CLIENT_ROLES
