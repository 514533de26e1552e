"""Queueing mails and sending what is due."""

import hashlib
import logging
import random
from datetime import UTC, datetime, timedelta

from jinja2 import TemplateError

from control_plane import email
from control_plane.accounts.models import Account, TokenKind
from control_plane.accounts.people import make_link_token
from control_plane.accounts.repository import Accounts
from control_plane.audit.act import NOTHING, current_act
from control_plane.clients.models import Client
from control_plane.clients.repository import Clients
from control_plane.clients.service import landing_url
from control_plane.mail.models import INVITATION, Mail, MailState
from control_plane.mail.repository import Mails
from control_plane.settings import Settings
from control_plane.web import Language, mask_phone, render_email, say_moment

logger = logging.getLogger(__name__)

LINKED = "linked"
# Kinds about a person's account, and where their links lead.
PERSON_INVITATION = "person_invitation"
PASSWORD_RESET = "password_reset"  # noqa: S105 - a mail's name
RESET_AGAIN_AFTER = timedelta(minutes=2)
_LINKS = {
    PERSON_INVITATION: (TokenKind.INVITATION, "/admin/welcome"),
    PASSWORD_RESET: (TokenKind.RESET, "/admin/reset"),
}
FIRST_DELAY_S = 5.0
LONGEST_DELAY_S = 3_600.0
# After a day of tries a person is asked instead.
GIVE_UP_AFTER = timedelta(hours=24)


async def invite(client: Client, *, mails: Mails) -> Mail:
    """Queue the client's invitation; the scheduler sends it. One that still waits is replaced, not sent twice."""
    await mails.delete_unsent(client.id, INVITATION)
    mail = await mails.insert(client.id, INVITATION, client.email)
    current_act().changed(NOTHING, {"invitation": client.email})
    logger.info("invitation was queued", extra={"client_id": client.id, "mail_id": mail.id})
    return mail


async def latest_invitation(client_id: str, *, mails: Mails) -> Mail | None:
    """What became of the client's newest invitation."""
    return await mails.latest(client_id, INVITATION)


async def tell_of_link(client: Client, phone: str, linked_at: datetime, *, mails: Mails) -> None:
    """Queue the notice to the owner that a phone was linked: once for each link, however often it is told."""
    link = hashlib.sha256(f"{client.id} {phone} {linked_at.isoformat()}".encode()).hexdigest()[:24]
    facts = {"phone": mask_phone(phone), "linked_at": linked_at.isoformat()}
    mail = await mails.insert(client.id, LINKED, client.email, mail_id=link, facts=facts)
    logger.info("notice of a link was queued", extra={"client_id": client.id, "mail_id": mail.id})


async def invite_person(account: Account, *, mails: Mails) -> None:
    """Queue somebody's invitation to the portal; one that still waits is replaced."""
    await mails.delete_unsent_to(account.id, PERSON_INVITATION)
    await mails.insert(None, PERSON_INVITATION, account.email or "", account_id=account.id)


async def tell_how_to_reset(address: str, *, mails: Mails, accounts: Accounts) -> None:
    """Queue the mail for a forgotten password, if the address is somebody's and none was asked for just now."""
    account = await accounts.get_by_email(address.strip().lower())
    if account is None or account.disabled or account.email is None:
        return
    # Somebody who lost the invitation needs that one.
    kind = PERSON_INVITATION if account.is_invited else PASSWORD_RESET
    latest = await mails.latest_to(account.id, kind)
    if latest is None or datetime.now(UTC) - latest.created_at > RESET_AGAIN_AFTER:
        await mails.delete_unsent_to(account.id, kind)
        await mails.insert(None, kind, account.email, account_id=account.id)


async def make_link(account: Account, kind: str, *, accounts: Accounts, settings: Settings) -> str:
    """A fresh address that lets its holder in as that person: to be mailed, or shown once."""
    token_kind, path = _LINKS[kind]
    return f"{settings.base_url}{path}?token={await make_link_token(account, token_kind, accounts=accounts)}"


async def deliver_due(*, mails: Mails, clients: Clients, accounts: Accounts, settings: Settings) -> int:
    """Send every mail whose time has come; returns how many left. Safe to run twice at once: each is claimed."""
    sent, has_server = 0, settings.smtp_host is not None
    while (mail := await mails.claim_due(datetime.now(UTC), has_server=has_server)) is not None:
        try:
            sent += await _deliver(mail, mails=mails, clients=clients, accounts=accounts, settings=settings)
        except (ValueError, LookupError, TemplateError) as error:
            # One mail that cannot be written (a sender's address that is none, say) must not hold up the others.
            logger.exception("mail could not be written", extra={"mail_id": mail.id, "client_id": mail.client_id})
            text = f"the mail could not be written ({type(error).__name__}); look at FLAME_MAIL_FROM and at the log"
            await mails.finish(mail.id, state=MailState.FAILED, last_error=text)
    return sent


async def _write(
    mail: Mail, *, clients: Clients, accounts: Accounts, settings: Settings
) -> tuple[Language, dict[str, str]] | None:
    """The language and the words of a mail; None if whom it is about is gone."""
    if mail.account_id is not None:
        account = await accounts.get(mail.account_id)
        if account is None or account.disabled or account.is_invited != (mail.kind == PERSON_INVITATION):
            return None
        client = await clients.get(account.client_id) if account.client_id else None
        link = await make_link(account, mail.kind, accounts=accounts, settings=settings)
        return account.language, {"name": client.name if client else "", "link": link, "username": account.username}
    client = await clients.get(mail.client_id or "")
    if client is None or client.deleting_since is not None:
        return None
    context = {"name": client.name, "link": landing_url(client, settings), **mail.facts}
    if "linked_at" in mail.facts:
        context["linked_at"] = say_moment(datetime.fromisoformat(mail.facts["linked_at"]), client.language)
    return client.language, context


async def _deliver(mail: Mail, *, mails: Mails, clients: Clients, accounts: Accounts, settings: Settings) -> bool:
    now = datetime.now(UTC)
    if settings.smtp_host is None:
        # Not a failure: the portal shows the link to copy, and the mail leaves when a server is configured.
        await mails.finish(mail.id, state=MailState.WAITING_FOR_SMTP, attempts=0, next_attempt_at=now)
        return False
    written = await _write(mail, clients=clients, accounts=accounts, settings=settings)
    if written is None:
        what = "the client was deleted" if mail.account_id is None else "the account changed since"
        await mails.finish(mail.id, state=MailState.FAILED, last_error=what)
        return False
    subject, text, html = render_email(mail.kind, *written)
    message = email.compose(
        to=mail.to, subject=subject, text=text, html=html, sender=settings.mail_from, mail_id=mail.id
    )
    facts = {
        "mail_id": mail.id,
        "client_id": mail.client_id,
        "account_id": mail.account_id,
        "attempt": mail.attempts,
    }
    try:
        await email.send(message, settings)
    except email.MailRefused as error:
        await mails.finish(mail.id, state=MailState.FAILED, last_error=str(error))
        logger.warning("mail was refused", extra={**facts, "error": str(error)})
        return False
    except email.MailDelayed as error:
        given_up = now - mail.created_at > GIVE_UP_AFTER
        delay = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(mail.attempts - 1, 20)) * random.uniform(0.8, 1.2)  # noqa: S311
        await mails.finish(
            mail.id,
            state=MailState.FAILED if given_up else MailState.QUEUED,
            last_error=str(error),
            next_attempt_at=now + timedelta(seconds=delay),
        )
        logger.warning("mail was delayed", extra={**facts, "error": str(error), "given_up": given_up})
        return False
    await mails.finish(mail.id, state=MailState.SENT, sent_at=datetime.now(UTC), last_error=None)
    logger.info("mail was sent", extra=facts)
    return True
