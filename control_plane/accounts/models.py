"""Accounts of the agency's people, their sessions and API keys."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from control_plane.accounts.roles import Role


class Account(BaseModel):
    """A person who may log in.

    Attributes:
        role: of the agency, or of one client.
        client_id: the client that a client's role belongs to; None in the agency.
        must_change_password: the password is a one-time one.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    username: str
    role: Role = Role.OWNER
    client_id: str | None = None
    password_hash: str
    must_change_password: bool
    created_at: datetime


class AccountSession(BaseModel):
    """A log-in; its token is in the browser's cookie, its hash is the document's id."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    token_hash: str
    account_id: str
    created_at: datetime
    expires_at: datetime
