"""Invitations, roles and forgotten passwords, as browsers see them."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from control_plane.accounts import people
from control_plane.accounts.models import TokenKind
from control_plane.accounts.people import LastOwner, RoleTooHigh, make_link_token
from control_plane.accounts.repository import Accounts
from control_plane.accounts.roles import Role
from control_plane.clients.removal import finish_deletion
from control_plane.leases import Leases
from control_plane.mail import service as mail_service
from control_plane.mail.models import Mail
from control_plane.mail.repository import Mails
from control_plane.settings import Settings
from tests.conftest import wait_for
from tests.control_plane.accounts.hands import PASSWORD, enrol, fill, is_in, log_in, read
from tests.control_plane.site import Site, change

NEW_PASSWORD = "otra contraseña larga"
CHOSEN = {"new_password": NEW_PASSWORD, "repeat_password": NEW_PASSWORD}


@pytest.fixture
async def browser(site: Site) -> AsyncIterator[httpx2.AsyncClient]:
    async with site.browser() as browser:
        yield browser


def find_link(page: str) -> str:
    found = re.search(r'value="http://[^/]+(/admin/(?:welcome|reset)\?token=[^"]+)"', page)
    assert found, page
    return found[1]


async def test_without_a_mail_server_the_link_is_shown_once_and_lets_one_person_in(
    site: Site, browser: httpx2.AsyncClient
) -> None:
    await enrol(site, "ana", Role.ADMIN)
    await log_in(browser, "ana")
    page = await fill(browser, "/admin/people", email="Luz@Agencia.example", role="agent", mail_language="en")
    link = find_link(page.text)
    assert link not in (await browser.get("/admin/people")).text
    assert link.partition("token=")[2] not in str(await site.database["account_tokens"].find().to_list())
    async with site.browser() as hers:
        assert (await fill(hers, link, username="ana", **CHOSEN)).status_code == 422
        assert (await fill(hers, link, username="luz", new_password="x", repeat_password="x")).status_code == 422
        entered = await fill(hers, link, username="Luz", **CHOSEN)
        assert (entered.status_code, entered.headers["location"]) == (303, "/admin")
        assert await is_in(hers)
        # The invitation gave a role: no more.
        assert (await hers.get("/admin/people")).status_code == 403
        assert (await hers.get(link)).status_code == 404
    luz = await read(site, "luz")
    assert (luz.role, luz.email, luz.language, luz.client_id) == (Role.AGENT, "luz@agencia.example", "en", None)
    async with site.browser() as again:
        assert (await log_in(again, "LUZ@agencia.example", NEW_PASSWORD)).headers["location"] == "/admin"


async def test_the_invitation_is_mailed_in_the_persons_language_and_no_link_lies_in_the_queue(
    site: Site, browser: httpx2.AsyncClient, site_settings: Settings
) -> None:
    site.app.state.settings = change(site_settings, smtp_host="127.0.0.1", smtp_port=1)
    await enrol(site, "ana", Role.ADMIN)
    await log_in(browser, "ana")
    sent = await fill(browser, "/admin/people", email="luz@agencia.example", role="viewer", mail_language="en")
    assert sent.headers["location"] == "/admin/people"
    mail = await site.database["emails"].find_one({"kind": mail_service.PERSON_INVITATION})
    assert mail is not None
    assert mail["to"] == "luz@agencia.example"
    assert "token" not in str(mail)
    # What the scheduler writes when it sends.
    written = await mail_service._write(
        Mail(id="x", **{key: value for key, value in mail.items() if key != "_id"}),
        clients=site.clients,
        accounts=Accounts(site.database),
        settings=site.settings,
    )
    assert written is not None
    language, context = written
    assert language == "en"
    assert (await browser.get("/admin/welcome?" + context["link"].partition("?")[2])).status_code == 200


async def test_an_invitation_that_is_over_or_withdrawn_opens_nothing(site: Site, browser: httpx2.AsyncClient) -> None:
    owner, accounts = await enrol(site, "ana"), Accounts(site.database)
    new = people.NewPerson(email="luz@agencia.example", role=Role.VIEWER)
    luz = await people.invite_person(new, owner, None, accounts=accounts)
    token = await make_link_token(luz, TokenKind.INVITATION, accounts=accounts)
    late = datetime.now(UTC) - timedelta(seconds=1)
    await site.database["account_tokens"].update_many({}, {"$set": {"expires_at": late}})
    assert (await browser.get(f"/admin/welcome?token={token}")).status_code == 404
    token = await make_link_token(luz, TokenKind.INVITATION, accounts=accounts)
    await people.remove(luz, owner, accounts=accounts, leases=Leases(site.database))
    assert (await browser.get(f"/admin/welcome?token={token}")).status_code == 404


async def test_nobody_gives_or_takes_a_role_above_their_own(site: Site, browser: httpx2.AsyncClient) -> None:
    owner, luz = await enrol(site, "duena"), await enrol(site, "luz", Role.AGENT)
    await enrol(site, "ana", Role.ADMIN)
    await log_in(browser, "ana")
    invited = await fill(browser, "/admin/people", email="x@agencia.example", role="owner")
    assert invited.status_code == 422
    for path, fields in (
        (f"/admin/people/{owner.id}/role", {"role": "viewer"}),
        (f"/admin/people/{owner.id}/remove", {}),
        (f"/admin/people/{owner.id}/disable", {}),
        (f"/admin/people/{luz.id}/role", {"role": "owner"}),
        (f"/admin/people/{luz.id}/role", {"role": "client-admin"}),
    ):
        assert (await fill(browser, path, "/admin/people", **fields)).status_code == 303
    reset = await fill(browser, f"/admin/people/{luz.id}/second-factor-reset", "/admin/people")
    assert reset.status_code == 403
    assert await read(site, "duena") == owner
    assert (await read(site, "luz")).role is Role.AGENT
    assert await Accounts(site.database).get_by_email("x@agencia.example") is None


async def test_another_role_counts_at_once_and_a_disabled_account_opens_nothing(
    site: Site, browser: httpx2.AsyncClient
) -> None:
    await enrol(site, "duena")
    luz = await enrol(site, "luz", Role.ADMIN)
    await log_in(browser, "duena")
    async with site.browser() as hers:
        await log_in(hers, "luz")
        await fill(browser, f"/admin/people/{luz.id}/role", "/admin/people", role="viewer")
        assert not await is_in(hers)
        await log_in(hers, "luz")
        assert (await hers.get("/admin/people")).status_code == 403
        await fill(browser, f"/admin/people/{luz.id}/disable", "/admin/people")
        assert not await is_in(hers)
        assert (await log_in(hers, "luz")).status_code == 401
        await fill(browser, f"/admin/people/{luz.id}/enable", "/admin/people")
        assert (await log_in(hers, "luz")).status_code == 303
        await fill(browser, f"/admin/people/{luz.id}/remove", "/admin/people")
        assert not await is_in(hers)


async def test_the_last_owner_stays_also_when_two_remove_each_other_at_once(site: Site) -> None:
    accounts, leases = Accounts(site.database), Leases(site.database)
    await site.database["accounts"].delete_many({})
    one, two = await enrol(site, "una"), await enrol(site, "otra")
    outcomes = await asyncio.gather(
        people.remove(one, two, accounts=accounts, leases=leases),
        people.change_role(two, Role.VIEWER, one, accounts=accounts, leases=leases),
        return_exceptions=True,
    )
    refused = [outcome for outcome in outcomes if outcome is not None]
    assert len(refused) == 1
    assert isinstance(refused[0], LastOwner | RoleTooHigh)
    assert await accounts.count_active_owners(without="") == 1


async def test_a_clients_admin_invites_to_that_client_alone(site: Site, browser: httpx2.AsyncClient) -> None:
    own, foreign = await site.create("Propio"), await site.create("Ajeno")
    await enrol(site, "pablo", Role.CLIENT_ADMIN, client_id=own.id)
    stranger = await enrol(site, "otro", Role.CLIENT_USER, client_id=foreign.id)
    await log_in(browser, "pablo")
    start = f"/admin/clients/{own.id}/people"
    page = await browser.get(start)
    assert "otro" not in page.text
    agency = await fill(browser, start, email="x@agencia.example", role="viewer")
    assert agency.status_code == 422
    made = await fill(browser, start, email="mia@agencia.example", role="client-user")
    link = find_link(made.text)
    taken = await fill(browser, f"{start}/{stranger.id}/remove", start)
    assert taken.status_code == 404
    async with site.browser() as hers:
        await fill(hers, link, username="mia", **CHOSEN)
        assert (await hers.get(f"/admin/clients/{own.id}")).status_code == 200
        assert (await hers.get(f"/admin/clients/{foreign.id}")).status_code == 404
    # With the client go its people and its keys.
    await fill(browser, f"/admin/clients/{own.id}/api-keys", start, name="tienda", scope="clients:read")
    await finish_deletion(own.id, database=site.database)
    assert await Accounts(site.database).list_people(own.id) == []
    assert await site.database["account_api_keys"].count_documents({"client_id": own.id}) == 0


async def test_asking_for_a_reset_answers_the_same_for_any_address_and_mails_somebody_once(
    site: Site, browser: httpx2.AsyncClient, site_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone_on: list[str] = []
    tell = mail_service.tell_how_to_reset

    async def tell_and_note(email: str, **hands: Any) -> None:
        await tell(email, **hands)
        gone_on.append(email)

    monkeypatch.setattr(mail_service, "tell_how_to_reset", tell_and_note)
    site.app.state.settings = change(site_settings, smtp_host="127.0.0.1", smtp_port=1)
    await enrol(site, "ana")
    hide = re.compile(r'name="form_token" value="[^"]+"')
    answers = [
        await fill(browser, "/admin/forgot", email=address)
        for address in ("nadie@agencia.example", "ANA@agencia.example", "ana@agencia.example")
    ]
    assert len({hide.sub("", answer.text) for answer in answers}) == 1
    # Each goes on after its answer, so that the answer's time tells nothing.
    await wait_for(lambda: len(gone_on) == len(answers))
    queued = await site.database["emails"].find().to_list()
    assert [(mail["kind"], mail["to"]) for mail in queued] == [(mail_service.PASSWORD_RESET, "ana@agencia.example")]


async def test_the_link_of_a_reset_works_once_and_ends_every_session(site: Site, browser: httpx2.AsyncClient) -> None:
    ana, accounts = await enrol(site, "ana"), Accounts(site.database)
    await log_in(browser, "ana")
    link = await mail_service.make_link(ana, mail_service.PASSWORD_RESET, accounts=accounts, settings=site.settings)
    path = link.removeprefix(site.settings.base_url)
    async with site.browser() as visitor:
        assert (await fill(visitor, path, new_password="x", repeat_password="x")).status_code == 422
        done = await fill(visitor, path, **CHOSEN)
        assert done.headers["location"] == "/admin/login"
        assert (await visitor.get(path)).status_code == 404
        assert not await is_in(browser)
        assert (await log_in(visitor, "ana", PASSWORD)).status_code == 401
        assert (await log_in(visitor, "ana", NEW_PASSWORD)).status_code == 303
    # A link for one thing is none for another.
    token = await make_link_token(ana, TokenKind.RESET, accounts=accounts)
    assert (await browser.get(f"/admin/welcome?token={token}")).status_code == 404


async def test_a_lost_invitation_is_mailed_again_by_the_form_for_forgotten_passwords(site: Site) -> None:
    owner, accounts, mails = await enrol(site, "ana"), Accounts(site.database), Mails(site.database)
    new = people.NewPerson(email="luz@agencia.example", role=Role.VIEWER)
    luz = await people.invite_person(new, owner, None, accounts=accounts)
    await mail_service.tell_how_to_reset("luz@agencia.example", mails=mails, accounts=accounts)
    assert await mails.latest_to(luz.id, mail_service.PERSON_INVITATION) is not None
    assert await mails.latest_to(luz.id, mail_service.PASSWORD_RESET) is None
