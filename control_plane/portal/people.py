"""The agency's people and keys (`/admin/people`), and those of one client (`/admin/clients/{client_id}/people`)."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Form, Request, Response
from pydantic import ValidationError

from control_plane.accounts import api_keys
from control_plane.accounts import people as service
from control_plane.accounts.models import Account
from control_plane.accounts.people import LastOwner, NewPerson, NotOneself, RoleTooHigh
from control_plane.accounts.roles import Role
from control_plane.accounts.service import AddressTaken
from control_plane.clients import service as clients_service
from control_plane.clients.models import Client
from control_plane.dependencies import (
    AccountsDep,
    ApiKeysDep,
    Asker,
    ClientsDep,
    DatabaseDep,
    MailsDep,
    SettingsDep,
)
from control_plane.leases import Leases
from control_plane.mail import service as mail_service
from control_plane.permissions import RULES, Scope
from control_plane.portal.client_form import Form as PageForm
from control_plane.portal.page import portal_router, show
from control_plane.portal.people_views import ROLES, SCOPES, describe_person
from control_plane.portal.views import make_invitation
from control_plane.session_text import N_
from control_plane.web import check_form, choose_language, redirect, translate

router = portal_router()
Typed = Annotated[str, Form(max_length=400)]
_FORM = [Depends(check_form)]
_TEAM = "/clients/{client_id}"


class Team:
    """Whose people and keys these are: one client's, or the agency's.

    Attributes:
        client: None for the agency.
        path: of the page.
        route: the same as the table of permissions has it.
    """

    def __init__(self, client: Client | None) -> None:
        self.client = client
        self.client_id = client.id if client else None
        self.start = f"/admin/clients/{client.id}" if client else "/admin"
        self.route = "/admin/clients/{client_id}" if client else "/admin"

    @property
    def scopes(self) -> list[Scope]:
        """What a key of theirs may be good for."""
        role = Role.CLIENT_ADMIN if self.client else Role.ADMIN
        return [scope for scope in Scope if any(rule.scope is scope and role in rule.roles for rule in RULES)]


async def find_team(request: Request, clients: ClientsDep) -> Team:
    """The client of the address, or the agency.

    Raises:
        ClientNotFound: there is no such client (404).
    """
    client_id = request.path_params.get("client_id")
    return Team(None if client_id is None else await clients_service.get_client(client_id, clients=clients))


TeamDep = Annotated[Team, Depends(find_team)]


async def find_person(request: Request, team: TeamDep, accounts: AccountsDep) -> Account:
    """The person of the address.

    Raises:
        PersonNotFound: not one of these people (404).
    """
    return await service.find_person(request.path_params["account_id"], team.client_id, accounts=accounts)


PersonDep = Annotated[Account, Depends(find_person)]


def get_leases(database: DatabaseDep) -> Leases:
    """What keeps two changes of owners apart."""
    return Leases(database)


LeasesDep = Annotated[Leases, Depends(get_leases)]


class Page:
    """Shows the page of a team."""

    def __init__(
        self,
        request: Request,
        team: TeamDep,
        asker: Asker,
        accounts: AccountsDep,
        keys: ApiKeysDep,
        mails: MailsDep,
    ) -> None:
        self._request, self._team, self._asker = request, team, asker
        self._accounts, self._keys, self._mails = accounts, keys, mails

    async def show(self, form: PageForm | None = None, scopes: Sequence[str] = (), **more: Any) -> Response:
        """The page; with what was just made, which is shown this once."""
        team, form = self._team, form or PageForm()
        people = await self._accounts.list_people(team.client_id)
        mails = {
            person.id: make_invitation(await self._mails.latest_to(person.id, mail_service.PERSON_INVITATION))
            for person in people
            if person.is_invited
        }
        context = {
            "client": team.client,
            "base": team.start,
            "route": team.route,
            "people": [describe_person(person, self._asker) for person in people],
            "mails": mails,
            "keys": await self._keys.list(team.client_id),
            "given": service.roles_to_give(self._asker, team.client_id),
            "role_texts": ROLES,
            "scopes": team.scopes,
            "scope_texts": SCOPES,
            "chosen": list(scopes),
            "form": form,
            "link": None,
            "new_key": None,
            **more,
        }
        status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
        here = "clients" if team.client else "people"
        return show(self._request, "people.html", context, here=here, status=status)


PageDep = Annotated[Page, Depends()]


@router.get("/people")
@router.get(f"{_TEAM}/people")
async def show_people(page: PageDep) -> Response:
    """The people and the keys."""
    return await page.show()


@router.post("/people", dependencies=_FORM)
@router.post(f"{_TEAM}/people", dependencies=_FORM)
async def invite(
    request: Request,
    team: TeamDep,
    page: PageDep,
    asker: Asker,
    accounts: AccountsDep,
    mails: MailsDep,
    settings: SettingsDep,
    email: Typed = "",
    role: Typed = "",
    mail_language: Typed = "es",
) -> Response:
    """Invite somebody by mail; without a mail server the link is shown, this once."""
    language, form = choose_language(request), PageForm({"email": email, "role": role, "mail_language": mail_language})
    try:
        new = NewPerson.model_validate({"email": email.strip(), "role": role, "language": mail_language})
        person = await service.invite_person(new, asker, team.client_id, accounts=accounts)
    except ValidationError as error:
        fields = {str(item["loc"][0]) for item in error.errors()}
        if "email" in fields:
            form.errors["email"] = translate(language, N_("That is not an email address. Example: ana@example.com"))
        if fields & {"role", "language"}:
            form.errors["role"] = translate(language, N_("Choose one of the list."))
    except RoleTooHigh:
        form.errors["role"] = translate(language, N_("You cannot give that role."))
    except AddressTaken:
        form.errors["email"] = translate(language, N_("Somebody has this address already."))
    else:
        return await _send(request, person, team, page, accounts=accounts, mails=mails, settings=settings)
    return await page.show(form)


@router.post("/people/{account_id}/invitation", dependencies=_FORM)
@router.post(f"{_TEAM}/people/{{account_id}}/invitation", dependencies=_FORM)
async def invite_again(
    request: Request,
    person: PersonDep,
    team: TeamDep,
    page: PageDep,
    asker: Asker,
    accounts: AccountsDep,
    mails: MailsDep,
    settings: SettingsDep,
) -> Response:
    """Send the invitation again, or show its link."""
    if not service.may_manage(asker, person.role):
        return redirect(request, f"{team.start}/people", "role-too-high")
    if not person.is_invited or person.disabled:
        return redirect(request, f"{team.start}/people")
    return await _send(request, person, team, page, accounts=accounts, mails=mails, settings=settings)


async def _send(
    request: Request,
    person: Account,
    team: Team,
    page: Page,
    *,
    accounts: AccountsDep,
    mails: MailsDep,
    settings: SettingsDep,
) -> Response:
    await mail_service.invite_person(person, mails=mails)
    if settings.smtp_host is not None:
        return redirect(request, f"{team.start}/people", "person-invited")
    kind = mail_service.PERSON_INVITATION
    link = await mail_service.make_link(person, kind, accounts=accounts, settings=settings)
    return await page.show(link=link, invited=person.email)


@router.post("/people/{account_id}/role", dependencies=_FORM)
@router.post(f"{_TEAM}/people/{{account_id}}/role", dependencies=_FORM)
async def change_role(
    request: Request,
    person: PersonDep,
    team: TeamDep,
    asker: Asker,
    accounts: AccountsDep,
    leases: LeasesDep,
    role: Typed = "",
) -> Response:
    """Give somebody another role."""
    if role not in set(Role):
        return redirect(request, f"{team.start}/people")
    try:
        await service.change_role(person, Role(role), asker, accounts=accounts, leases=leases)
    except (RoleTooHigh, NotOneself, LastOwner) as error:
        return _refuse(request, team, error)
    return redirect(request, f"{team.start}/people", "role-changed")


@router.post("/people/{account_id}/disable", dependencies=_FORM)
@router.post(f"{_TEAM}/people/{{account_id}}/disable", dependencies=_FORM)
async def disable(
    request: Request, person: PersonDep, team: TeamDep, asker: Asker, accounts: AccountsDep, leases: LeasesDep
) -> Response:
    """Keep somebody out, at once."""
    try:
        await service.disable(person, asker, accounts=accounts, leases=leases)
    except (RoleTooHigh, NotOneself, LastOwner) as error:
        return _refuse(request, team, error)
    return redirect(request, f"{team.start}/people", "person-disabled")


@router.post("/people/{account_id}/enable", dependencies=_FORM)
@router.post(f"{_TEAM}/people/{{account_id}}/enable", dependencies=_FORM)
async def enable(request: Request, person: PersonDep, team: TeamDep, asker: Asker, accounts: AccountsDep) -> Response:
    """Let somebody in again."""
    try:
        await service.enable(person, asker, accounts=accounts)
    except RoleTooHigh as error:
        return _refuse(request, team, error)
    return redirect(request, f"{team.start}/people", "person-enabled")


@router.post("/people/{account_id}/remove", dependencies=_FORM)
@router.post(f"{_TEAM}/people/{{account_id}}/remove", dependencies=_FORM)
async def remove(
    request: Request, person: PersonDep, team: TeamDep, asker: Asker, accounts: AccountsDep, leases: LeasesDep
) -> Response:
    """Forget somebody."""
    try:
        await service.remove(person, asker, accounts=accounts, leases=leases)
    except (RoleTooHigh, NotOneself, LastOwner) as error:
        return _refuse(request, team, error)
    return redirect(request, f"{team.start}/people", "person-removed")


@router.post("/people/{account_id}/second-factor-reset", dependencies=_FORM)
@router.post(f"{_TEAM}/people/{{account_id}}/second-factor-reset", dependencies=_FORM)
async def reset_second_factor(
    request: Request, person: PersonDep, team: TeamDep, asker: Asker, accounts: AccountsDep
) -> Response:
    """Ask somebody who lost the telephone for no code any more."""
    await service.reset_second_factor(person, asker, accounts=accounts)
    return redirect(request, f"{team.start}/people", "second-factor-reset")


_FLASHES = {RoleTooHigh: "role-too-high", NotOneself: "not-oneself", LastOwner: "last-owner"}


def _refuse(request: Request, team: Team, error: RoleTooHigh | NotOneself | LastOwner) -> Response:
    return redirect(request, f"{team.start}/people", _FLASHES[type(error)])


# ------------------------------------------------------------------------------------------------ keys of programs


@router.post("/api-keys", dependencies=_FORM)
@router.post(f"{_TEAM}/api-keys", dependencies=_FORM)
async def make_key(
    request: Request, team: TeamDep, page: PageDep, asker: Asker, keys: ApiKeysDep, name: Typed = ""
) -> Response:
    """Make a key with the scopes that were ticked; shown this once."""
    language, form, name = choose_language(request), PageForm({"name": name}), name.strip()
    chosen = [scope for scope in team.scopes if scope in (await request.form()).getlist("scope")]
    if not 1 <= len(name) <= api_keys.MAX_NAME_CHARS:
        form.errors["name"] = translate(language, N_("Write what the key is for, in at most 60 characters."))
    if not chosen:
        form.errors["scope"] = translate(language, N_("Choose at least one."))
    if form.errors:
        return await page.show(form, chosen)
    key = await api_keys.create_api_key(
        keys=keys, name=name, scopes=chosen, client_id=team.client_id, made_by=asker.username
    )
    return await page.show(new_key=key)


@router.post("/api-keys/{key_id}/revoke", dependencies=_FORM)
@router.post(f"{_TEAM}/api-keys/{{key_id}}/revoke", dependencies=_FORM)
async def revoke_key(request: Request, key_id: str, team: TeamDep, keys: ApiKeysDep) -> Response:
    """Have a key open nothing any more."""
    await api_keys.revoke_key(key_id, team.client_id, keys=keys)
    return redirect(request, f"{team.start}/people", "key-revoked")
