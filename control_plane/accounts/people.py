"""The people of the agency and of each client: who may manage whom, invitations, forgotten passwords."""

import logging
import re
import secrets
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Literal

from pydantic import BaseModel, ConfigDict, EmailStr

from control_plane.accounts.models import Account, TokenKind
from control_plane.accounts.repository import Accounts
from control_plane.accounts.roles import AGENCY_ROLES, CLIENT_ROLES, Role
from control_plane.accounts.service import NO_SECOND_FACTOR, AddressTaken, check_new_password
from control_plane.audit.act import NOTHING, current_act
from control_plane.errors import NotFound, Problem
from control_plane.leases import Leases
from control_plane.security import hash_password, hash_token, new_token

logger = logging.getLogger(__name__)

INVITATION_LASTS = timedelta(days=7)
RESET_LASTS = timedelta(hours=1)
USERNAME_PATTERN = r"[a-z0-9][a-z0-9._-]{1,39}"
# Highest first: nobody gives or takes a role above their own.
_RANKS = (Role.OWNER, Role.ADMIN, Role.MANAGER, Role.AGENT, Role.VIEWER)
_OWNERS = "owners"
_OWNERS_S = 10.0


class PersonNotFound(NotFound):
    """There is no such person; they may have been removed."""

    type = "/problems/person-not-found"
    title = "No such person"


class RoleTooHigh(Problem):
    """Nobody gives or takes a role above their own; ask somebody who has it."""

    status = HTTPStatus.FORBIDDEN
    type = "/problems/role-too-high"
    title = "That role is above yours"


class NotOneself(Problem):
    """Nobody changes their own role or removes themselves; ask another person who may."""

    status = HTTPStatus.CONFLICT
    type = "/problems/not-oneself"
    title = "That is your own account"


class LastOwner(Problem):
    """The agency needs an owner who can log in: make somebody else owner first."""

    status = HTTPStatus.CONFLICT
    type = "/problems/last-owner"
    title = "The last owner stays"


class LinkOver(Problem):
    """This link was used or its time is over; ask for a new one."""

    status = HTTPStatus.NOT_FOUND
    type = "/problems/link-over"
    title = "The link does not work any more"


class NameTaken(Problem):
    """Somebody else has this user name."""

    status = HTTPStatus.CONFLICT
    type = "/problems/name-taken"
    title = "The user name is taken"


class NewPerson(BaseModel):
    """Whom to invite."""

    model_config = ConfigDict(extra="forbid")

    email: EmailStr
    role: Role
    language: Literal["es", "en"] = "es"


def is_username(name: str) -> bool:
    """Whether somebody may choose that name; none looks like an email address."""
    return re.fullmatch(USERNAME_PATTERN, name) is not None


def may_manage(asker: Account, role: Role) -> bool:
    """Whether whoever asks may give or take that role."""
    if asker.role in CLIENT_ROLES or role in CLIENT_ROLES:
        return role in CLIENT_ROLES
    return _RANKS.index(asker.role) <= _RANKS.index(role)


def roles_to_give(asker: Account, client_id: str | None) -> list[Role]:
    """The roles of a client's people, or those of the agency's that whoever asks may give; highest first."""
    roles = AGENCY_ROLES if client_id is None else CLIENT_ROLES
    return [role for role in Role if role in roles and may_manage(asker, role)]


async def find_person(account_id: str, client_id: str | None, *, accounts: Accounts) -> Account:
    """One of a client's people, or of the agency's.

    Raises:
        PersonNotFound: there is none there (404).
    """
    account = await accounts.get(account_id)
    if account is None or account.client_id != client_id:
        raise PersonNotFound
    current_act().about(account_id=account.id, account_name=account.username)
    return account


async def invite_person(new: NewPerson, asker: Account, client_id: str | None, *, accounts: Accounts) -> Account:
    """Make the account of somebody who chooses name and password when they accept.

    Raises:
        RoleTooHigh: the role is above that of whoever asks, or not one of the client's or the agency's (403).
        AddressTaken: somebody has that address (409).
    """
    if new.role not in roles_to_give(asker, client_id):
        raise RoleTooHigh
    email = new.email.lower()
    made = await accounts.insert(
        email,
        None,
        must_change_password=False,
        role=new.role,
        client_id=client_id,
        email=email,
        language=new.language,
    )
    account = await accounts.get_by_email(email) if made else None
    if account is None:
        raise AddressTaken
    current_act().about(account_id=account.id, account_name=email)
    current_act().changed(NOTHING, {"email": email, "role": str(new.role)})
    logger.info("person was invited", extra={"account_id": account.id, "role": new.role, "by": asker.id})
    return account


async def change_role(person: Account, role: Role, asker: Account, *, accounts: Accounts, leases: Leases) -> None:
    """Give somebody another role; their sessions end, so that none goes on with the old one.

    Raises:
        RoleTooHigh, NotOneself, LastOwner: see there.
    """
    if role not in roles_to_give(asker, person.client_id):
        raise RoleTooHigh
    async with _OwnersKept(person, asker, accounts, leases, stays=role is Role.OWNER):
        await accounts.update(person.id, role=str(role))
        await accounts.delete_sessions(person.id)
    current_act().changed({"role": str(person.role)}, {"role": str(role)})
    logger.info("role was changed", extra={"account_id": person.id, "role": role, "by": asker.id})


async def disable(person: Account, asker: Account, *, accounts: Accounts, leases: Leases) -> None:
    """Let somebody log in no more, at once, until they are enabled again.

    Raises:
        RoleTooHigh, NotOneself, LastOwner: see there.
    """
    async with _OwnersKept(person, asker, accounts, leases):
        await accounts.update(person.id, disabled=True)
        await accounts.delete_sessions(person.id)
        await accounts.delete_tokens(person.id)
    current_act().changed({"disabled": person.disabled}, {"disabled": True})
    logger.info("account was disabled", extra={"account_id": person.id, "by": asker.id})


async def enable(person: Account, asker: Account, *, accounts: Accounts) -> None:
    """Let somebody log in again.

    Raises:
        RoleTooHigh: their role is above that of whoever asks.
    """
    if not may_manage(asker, person.role):
        raise RoleTooHigh
    await accounts.update(person.id, disabled=False)
    current_act().changed({"disabled": person.disabled}, {"disabled": False})
    logger.info("account was enabled", extra={"account_id": person.id, "by": asker.id})


async def remove(person: Account, asker: Account, *, accounts: Accounts, leases: Leases) -> None:
    """Forget somebody; safe to repeat.

    Raises:
        RoleTooHigh, NotOneself, LastOwner: see there.
    """
    async with _OwnersKept(person, asker, accounts, leases):
        await accounts.delete(person.id)
    current_act().changed({"email": person.email, "role": str(person.role)}, NOTHING)
    logger.info("account was removed", extra={"account_id": person.id, "by": asker.id})


async def reset_second_factor(person: Account, asker: Account, *, accounts: Accounts) -> None:
    """Ask somebody who lost the telephone for no code any more; their sessions end.

    Raises:
        RoleTooHigh: their role is above that of whoever asks.
    """
    if not may_manage(asker, person.role):
        raise RoleTooHigh
    await accounts.update(person.id, **NO_SECOND_FACTOR)
    await accounts.delete_sessions(person.id)
    current_act().changed({"second_factor": person.has_second_factor}, {"second_factor": False})
    logger.info("second factor was reset", extra={"account_id": person.id, "by": asker.id})


class _OwnersKept:
    """Checks that the change is allowed and leaves the agency an owner; two owners cannot remove each other at once."""

    def __init__(
        self, person: Account, asker: Account, accounts: Accounts, leases: Leases, *, stays: bool = False
    ) -> None:
        self._person, self._asker, self._accounts, self._leases = person, asker, accounts, leases
        self._stays = stays
        self._holder = secrets.token_hex(8)

    async def __aenter__(self) -> None:
        person, asker = self._person, self._asker
        if not may_manage(asker, person.role):
            raise RoleTooHigh
        if person.id == asker.id:
            raise NotOneself
        if person.role is not Role.OWNER or self._stays:
            return
        if await self._leases.acquire(_OWNERS, self._holder, _OWNERS_S) is None:
            raise LastOwner("somebody else changes an owner right now; try again in a moment")
        # Looked at again under the lease: whoever asks may have been removed since.
        still = await self._accounts.get(asker.id)
        if still is None or still.disabled or still.role is not Role.OWNER:
            await self._leases.release(_OWNERS, self._holder)
            raise RoleTooHigh
        if not await self._accounts.count_active_owners(without=person.id):
            await self._leases.release(_OWNERS, self._holder)
            raise LastOwner

    async def __aexit__(self, *_: object) -> None:
        await self._leases.release(_OWNERS, self._holder)


# ------------------------------------------------------------------------------------------------ links


async def make_link_token(account: Account, kind: TokenKind, *, accounts: Accounts) -> str:
    """A token for an invitation (7 days) or a forgotten password (an hour); stored as a hash."""
    token = new_token()
    lasts = INVITATION_LASTS if kind is TokenKind.INVITATION else RESET_LASTS
    await accounts.insert_token(hash_token(token), kind, account.id, datetime.now(UTC) + lasts)
    return token


async def find_link(token: str, kind: TokenKind, *, accounts: Accounts) -> Account:
    """Whom the link was made for.

    Raises:
        LinkOver: it was used, its time is over, or it never was one (404).
    """
    found = await accounts.find_token(hash_token(token), kind, datetime.now(UTC))
    account = await accounts.get(found) if found else None
    if account is None or account.disabled:
        raise LinkOver
    return account


async def accept_invitation(token: str, username: str, password: str, *, accounts: Accounts) -> Account:
    """Give the invited person the name and the password that they chose.

    Raises:
        LinkOver: see there.
        PasswordTooWeak: too short or too long (422).
        NameTaken: somebody has that name (409).
    """
    account = await find_link(token, TokenKind.INVITATION, accounts=accounts)
    check_new_password(password)
    accepted = await accounts.accept(account.id, username, await hash_password(password))
    if accepted is False:
        raise NameTaken
    await accounts.delete_tokens(account.id)
    if accepted is None:
        raise LinkOver
    logger.info("invitation was accepted", extra={"account_id": account.id})
    return await find_person(account.id, account.client_id, accounts=accounts)


async def reset_password(token: str, password: str, *, accounts: Accounts) -> Account:
    """Set a new password by the link of the mail; every session of the account ends.

    Raises:
        LinkOver: see there.
        PasswordTooWeak: too short or too long (422).
    """
    check_new_password(password)
    hashed = await hash_password(password)
    found = await accounts.take_token(hash_token(token), TokenKind.RESET, datetime.now(UTC))
    account = await accounts.get(found) if found else None
    if account is None or account.disabled or account.is_invited:
        raise LinkOver
    await accounts.set_password(account.id, hashed, must_change_password=False)
    await accounts.delete_tokens(account.id)
    current_act().known(account)
    logger.info("password was reset", extra={"account_id": account.id})
    return account
