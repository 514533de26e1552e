"""Accounts: people, their sessions, the keys of programs."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

from control_plane.accounts.roles import Role


class TokenKind(StrEnum):
    """What a one-time token is good for."""

    INVITATION = "invitation"
    RESET = "reset"
    SECOND_FACTOR = "second-factor"


class Account(BaseModel):
    """A person who may log in.

    Attributes:
        username: an invited person's is the email until they choose one.
        role: of the agency, or of one client.
        client_id: the client that a client's role belongs to; None in the agency.
        password_hash: None until the invitation was accepted.
        must_change_password: the password is a one-time one.
        language: of the mails to this person.
        totp_secret_encrypted: of the second factor; None without one.
        totp_pending_encrypted: of a second factor that was shown and not confirmed yet.
        recovery_hashes: of the recovery codes that were not used yet.
        known_addresses: from which this person logged in lately, newest last.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    username: str
    email: str | None = None
    role: Role = Role.OWNER
    client_id: str | None = None
    password_hash: str | None
    must_change_password: bool
    disabled: bool = False
    language: Literal["es", "en"] = "es"
    totp_secret_encrypted: str | None = None
    totp_pending_encrypted: str | None = None
    recovery_hashes: tuple[str, ...] = ()
    known_addresses: tuple[str, ...] = ()
    created_at: datetime

    @property
    def is_invited(self) -> bool:
        """The invitation was not accepted yet."""
        return self.password_hash is None

    @property
    def has_second_factor(self) -> bool:
        """A code is asked for after the password."""
        return self.totp_secret_encrypted is not None


class AccountSession(BaseModel):
    """A log-in of a browser or of a program.

    Attributes:
        token_hash: the document's id: the hash of the token in a browser's cookie; a random one for a program.
        refresh_hash: of a program's current refresh token; None for a browser.
        device: the browser's or the program's own words about itself.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    token_hash: str
    account_id: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = None
    refresh_hash: str | None = None
    device: str = ""
    address: str = ""

    @property
    def id(self) -> str:
        """What a page calls it by."""
        return self.token_hash[:16]


class ApiKey(BaseModel):
    """A program's key to the JSON API; it belongs to the agency or to a client, not to who made it.

    Attributes:
        hint: what may be shown of the key.
        scopes: what it is good for; None for everything.
        client_id: the one client that it opens; None for the whole agency.
        made_by: user name; None when made at the command line.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    name: str
    hint: str
    scopes: frozenset[str] | None
    client_id: str | None
    made_by: str | None
    created_at: datetime
    last_used_at: datetime | None = None
