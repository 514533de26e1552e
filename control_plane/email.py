"""Handing one mail to the SMTP server of the settings."""

import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr

import aiosmtplib

from control_plane.settings import Settings

TIMEOUT_S = 30


class MailRefused(Exception):
    """The server refused for good: trying again as it is would fail again. The message says why."""


class MailDelayed(Exception):
    """It did not work this time: no answer, or the server asked to come back. The message says why."""


def compose(*, to: str, subject: str, text: str, html: str, sender: str, mail_id: str) -> EmailMessage:
    """A message in HTML and plain text. Its Message-ID follows from `mail_id`, so that a repeated one is recognised."""
    name, address = parseaddr(sender)
    message = EmailMessage()
    message["From"] = Address(display_name=name, addr_spec=address)
    message["To"] = Address(addr_spec=to)
    message["Subject"] = subject
    message["Date"] = formatdate(localtime=False)
    domain = address.partition("@")[2] or None
    message["Message-ID"] = f"<{mail_id}@{domain}>" if domain else make_msgid(mail_id)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    message.add_alternative(html, subtype="html")
    return message


async def send(message: EmailMessage, settings: Settings) -> None:
    """Deliver to the SMTP server.

    Raises:
        MailRefused: a permanent answer (5xx), such as an unknown recipient.
        MailDelayed: no connection, a timeout, wrong credentials, or a temporary answer (4xx).
    """
    password = settings.smtp_password.get_secret_value() if settings.smtp_password else None
    try:
        await aiosmtplib.send(
            message,
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_username,
            password=password,
            use_tls=settings.smtp_security == "tls",
            start_tls=settings.smtp_security == "starttls",
            timeout=TIMEOUT_S,
        )
    except aiosmtplib.SMTPAuthenticationError as error:
        raise MailDelayed("the mail server refused the user name or password (FLAME_SMTP_USERNAME)") from error
    except aiosmtplib.SMTPRecipientsRefused as error:
        refused = error.recipients[0]
        _raise_for(refused.code, f"the mail server refused the recipient: {refused.code}", error)
    except aiosmtplib.SMTPResponseException as error:
        _raise_for(error.code, f"the mail server answered {error.code}", error)
    except aiosmtplib.SMTPNotSupported as error:
        raise MailRefused("the mail server takes no address with letters beyond A to Z") from error
    except OSError as error:
        # No connection, a broken one, a timeout: the library's errors for these are OSErrors too.
        if isinstance(error.__cause__ or error, ssl.SSLError):
            text = "no safe connection to the mail server (FLAME_SMTP_SECURITY, or its certificate)"
        else:
            text = f"the mail server does not answer ({settings.smtp_host}:{settings.smtp_port})"
        raise MailDelayed(text) from error
    except aiosmtplib.SMTPException as error:
        # STARTTLS or AUTH, asked for by the settings, is nothing that the server has.
        text = "the mail server does not offer what the settings ask for (FLAME_SMTP_SECURITY, FLAME_SMTP_USERNAME)"
        raise MailDelayed(text) from error


def _raise_for(code: int, text: str, cause: Exception) -> None:
    if 500 <= code < 600:
        raise MailRefused(text) from cause
    raise MailDelayed(text) from cause
