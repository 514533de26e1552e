"""From the queue to the mail server, whatever the server does."""

import asyncio
import contextlib
import email
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import SecretStr

from control_plane.accounts.repository import Accounts
from control_plane.clients.models import Client, NewClient
from control_plane.clients.repository import Clients
from control_plane.clients.service import create_client, landing_url
from control_plane.database import Database
from control_plane.mail.models import Mail
from control_plane.mail.repository import Mails
from control_plane.mail.service import deliver_due, invite, latest_invitation, tell_of_link
from control_plane.security import open_cipher
from control_plane.settings import Settings
from tests.conftest import find_free_port
from tests.control_plane.site import AUTOMATIC, change


class Server:
    """A mail server that takes mails, or answers `answer` to each recipient."""

    def __init__(self) -> None:
        self.received: list[EmailMessage] = []
        self.answer = "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        parsed = email.message_from_bytes(envelope.content, policy=default)
        assert isinstance(parsed, EmailMessage)
        self.received.append(parsed)
        return "250 OK"

    @contextlib.asynccontextmanager
    async def running(self, port: int) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: SMTP(self, enable_SMTPUTF8=True), "127.0.0.1", port)
        async with listener:
            yield


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def mail_settings(settings: Settings) -> Settings:
    """A mail server on a port where nobody listens yet."""
    return change(
        settings,
        smtp_host="127.0.0.1",
        smtp_port=find_free_port(),
        smtp_security="none",
        mail_from="Agencia Flama <hola@agencia.example>",
    )


@pytest.fixture
def mails(database: Database) -> Mails:
    return Mails(database)


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return Accounts(database)


@pytest.fixture
def clients(database: Database) -> Clients:
    return Clients(database)


@pytest.fixture
async def client(settings: Settings, clients: Clients) -> Client:
    new = NewClient.model_validate({"name": "Peluquería Ñandú", "email": "ana@example.com", "assistant": AUTOMATIC})
    return await create_client(new, clients=clients, cipher=open_cipher(settings), settings=settings)


async def make_due(mails: Mails, mail_id: str, **values: Any) -> None:
    """Let the time pass that a mail waits for."""
    await mails.finish(mail_id, next_attempt_at=datetime.now(UTC) - timedelta(seconds=1), **values)


async def newest(client: Client, mails: Mails) -> Mail:
    mail = await latest_invitation(client.id, mails=mails)
    assert mail is not None
    return mail


async def test_an_invitation_arrives_in_the_clients_language_as_html_and_text(
    server: Server, client: Client, mails: Mails, clients: Clients, accounts: Accounts, mail_settings: Settings
) -> None:
    queued = await invite(client, mails=mails)
    async with server.running(mail_settings.smtp_port):
        assert await deliver_due(mails=mails, clients=clients, accounts=accounts, settings=mail_settings) == 1
        assert await deliver_due(mails=mails, clients=clients, accounts=accounts, settings=mail_settings) == 0
    [message] = server.received
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    sent = await newest(client, mails)
    assert (message["to"], message["from"]) == ("ana@example.com", "Agencia Flama <hola@agencia.example>")
    assert message["message-id"] == f"<{queued.id}@agencia.example>"
    assert "Peluquería Ñandú" in message["subject"]
    assert text is not None
    assert html is not None
    link = landing_url(client, mail_settings)
    assert link in text.get_content()
    assert link in html.get_content()
    assert "WhatsApp" in text.get_content()
    assert "Abrí" in text.get_content() or "Abre" in text.get_content()
    assert (sent.state, sent.attempts) == ("sent", 1)
    assert sent.sent_at is not None


async def test_the_queue_holds_no_link(client: Client, mails: Mails, database: Database) -> None:
    await invite(client, mails=mails)
    assert client.slug not in str(await database["emails"].find().to_list())


async def test_a_server_that_is_down_delays_the_mail_and_it_leaves_when_it_is_back(
    server: Server, client: Client, mails: Mails, clients: Clients, accounts: Accounts, mail_settings: Settings
) -> None:
    await invite(client, mails=mails)
    assert await deliver_due(mails=mails, clients=clients, accounts=accounts, settings=mail_settings) == 0
    delayed = await newest(client, mails)
    assert delayed.state == "queued"
    assert "does not answer" in str(delayed.last_error)
    assert delayed.next_attempt_at > datetime.now(UTC)
    # Not before its time.
    async with server.running(mail_settings.smtp_port):
        assert await deliver_due(mails=mails, clients=clients, accounts=accounts, settings=mail_settings) == 0
        await make_due(mails, delayed.id)
        assert await deliver_due(mails=mails, clients=clients, accounts=accounts, settings=mail_settings) == 1
    sent = await newest(client, mails)
    assert (sent.state, sent.attempts, sent.last_error) == ("sent", 2, None)
    assert len(server.received) == 1


async def test_the_delays_grow_and_a_day_of_them_is_enough(
    client: Client, mails: Mails, clients: Clients, accounts: Accounts, mail_settings: Settings
) -> None:
    mail = await invite(client, mails=mails)
    delays = []
    for _ in range(3):
        await deliver_due(mails=mails, clients=clients, accounts=accounts, settings=mail_settings)
        delays.append((await newest(client, mails)).next_attempt_at - datetime.now(UTC))
        await make_due(mails, mail.id)
    assert delays == sorted(delays)
    await make_due(mails, mail.id, created_at=datetime.now(UTC) - timedelta(hours=25))
    await deliver_due(mails=mails, clients=clients, accounts=accounts, settings=mail_settings)
    given_up = await newest(client, mails)
    assert given_up.state == "failed"
    assert given_up.last_error


async def test_a_refused_recipient_is_final_and_a_busy_server_is_not(
    server: Server, client: Client, mails: Mails, clients: Clients, accounts: Accounts, mail_settings: Settings
) -> None:
    async with server.running(mail_settings.smtp_port):
        await invite(client, mails=mails)
        server.answer = "451 4.3.2 come back later"
        await deliver_due(mails=mails, clients=clients, accounts=accounts, settings=mail_settings)
        busy = await newest(client, mails)
        server.answer = "550 5.1.1 no such person"
        await make_due(mails, busy.id)
        await deliver_due(mails=mails, clients=clients, accounts=accounts, settings=mail_settings)
        refused = await newest(client, mails)
    assert busy.state == "queued"
    assert refused.state == "failed"
    assert "recipient" in str(refused.last_error)


async def test_without_a_server_the_invitation_waits_for_one(
    server: Server,
    client: Client,
    mails: Mails,
    clients: Clients,
    accounts: Accounts,
    settings: Settings,
    mail_settings: Settings,
) -> None:
    await invite(client, mails=mails)
    await deliver_due(mails=mails, clients=clients, accounts=accounts, settings=settings)
    waiting = await newest(client, mails)
    assert (waiting.state, waiting.last_error) == ("waiting_for_smtp", None)
    assert await mails.claim_due(datetime.now(UTC), has_server=False) is None
    await make_due(mails, waiting.id)
    async with server.running(mail_settings.smtp_port):
        assert await deliver_due(mails=mails, clients=clients, accounts=accounts, settings=mail_settings) == 1
    assert (await newest(client, mails)).state == "sent"


async def test_a_server_that_lacks_what_the_settings_ask_for_is_said(
    server: Server, client: Client, mails: Mails, clients: Clients, accounts: Accounts, mail_settings: Settings
) -> None:
    await invite(client, mails=mails)
    async with server.running(mail_settings.smtp_port):
        safe = change(mail_settings, smtp_security="starttls")
        await deliver_due(mails=mails, clients=clients, accounts=accounts, settings=safe)
        mail = await newest(client, mails)
        named = change(mail_settings, smtp_username="flama", smtp_password=SecretStr("the-smtp-password"))
        await make_due(mails, mail.id)
        await deliver_due(mails=mails, clients=clients, accounts=accounts, settings=named)
        nameless = await newest(client, mails)
    assert (mail.state, nameless.state) == ("queued", "queued")
    assert "FLAME_SMTP_SECURITY" in str(mail.last_error)
    assert nameless.last_error
    assert "the-smtp-password" not in nameless.last_error
    assert server.received == []


async def test_a_mail_that_cannot_be_written_does_not_hold_up_the_others(
    server: Server, client: Client, mails: Mails, clients: Clients, accounts: Accounts, mail_settings: Settings
) -> None:
    unknown = await mails.insert(client.id, "no-such-template", "ana@example.com")
    await invite(client, mails=mails)
    async with server.running(mail_settings.smtp_port):
        assert await deliver_due(mails=mails, clients=clients, accounts=accounts, settings=mail_settings) == 1
    stored = {mail["_id"]: mail["state"] for mail in await mails._collection.find().to_list()}
    assert stored[unknown.id] == "failed"


async def test_a_deleted_clients_mail_is_not_sent(
    server: Server, client: Client, mails: Mails, clients: Clients, accounts: Accounts, mail_settings: Settings
) -> None:
    await invite(client, mails=mails)
    await clients.mark_deleting(client.id)
    async with server.running(mail_settings.smtp_port):
        assert await deliver_due(mails=mails, clients=clients, accounts=accounts, settings=mail_settings) == 0
    assert server.received == []


async def test_two_senders_at_once_send_each_mail_once(
    server: Server, client: Client, mails: Mails, clients: Clients, accounts: Accounts, mail_settings: Settings
) -> None:
    for number in range(6):
        await mails.insert(client.id, "invitation", f"person-{number}@example.com")
    async with server.running(mail_settings.smtp_port):
        sent = await asyncio.gather(
            *(deliver_due(mails=mails, clients=clients, accounts=accounts, settings=mail_settings) for _ in range(3))
        )
    assert sum(sent) == 6
    assert len({message["to"] for message in server.received}) == len(server.received) == 6


async def test_a_sender_that_died_loses_its_claim(
    server: Server, client: Client, mails: Mails, clients: Clients, accounts: Accounts, mail_settings: Settings
) -> None:
    mail = await invite(client, mails=mails)
    claimed = await mails.claim_due(datetime.now(UTC))
    assert claimed is not None
    async with server.running(mail_settings.smtp_port):
        assert await deliver_due(mails=mails, clients=clients, accounts=accounts, settings=mail_settings) == 0
        await make_due(mails, mail.id)
        assert await deliver_due(mails=mails, clients=clients, accounts=accounts, settings=mail_settings) == 1


async def test_the_owner_reads_which_phone_was_linked_when_and_what_to_do(
    server: Server, client: Client, mails: Mails, clients: Clients, accounts: Accounts, mail_settings: Settings
) -> None:
    linked_at = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
    await invite(client, mails=mails)
    for _ in range(2):
        await tell_of_link(client, "5491155554821", linked_at, mails=mails)
    async with server.running(mail_settings.smtp_port):
        assert await deliver_due(mails=mails, clients=clients, accounts=accounts, settings=mail_settings) == 2
    [message] = [message for message in server.received if "Se vinculó un teléfono" in message["subject"]]
    for kind in ("plain", "html"):
        part = message.get_body((kind,))
        assert part is not None
        text = part.get_content()
        assert "••• ••• 4821" in text
        assert "5491155554821" not in text
        assert "21 nov 2026, 08:30 UTC" in text
        assert "Si no fuiste vos:" in text
    # The portal goes on showing what became of the invitation.
    assert (await newest(client, mails)).kind == "invitation"
