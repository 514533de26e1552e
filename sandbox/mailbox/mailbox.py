"""The mail server: SMTP in, into the store; nothing ever leaves."""

import asyncio
import logging
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aiosmtpd.smtp import SMTP, Envelope, Session

from sandbox.mailbox.mail import Mail
from sandbox.mailbox.store import MailStore

logger = logging.getLogger(__name__)

Mode = Literal["ok", "refuse", "tempfail"]

_MAX_BYTES = 25 * 1024 * 1024
_STOP_DEADLINE_S = 5


@dataclass(frozen=True)
class Faults:
    """How the server treats the next mails.

    Attributes:
        mode: `refuse` says no for good (550), `tempfail` asks to come back later (451), `ok` takes them.
        times: how many mails are treated so before it is `ok` again; None for all.
    """

    mode: Mode = "ok"
    times: int | None = None


class Mailbox:
    """An SMTP server without TLS or AUTH, for loopback; use `start` and `stop` in one event loop."""

    def __init__(self, state_file: Path | None = None) -> None:
        self._store = MailStore(state_file)
        self._server: asyncio.Server | None = None
        self._sessions: set[_Session] = set()
        self.faults = Faults()

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port (a free one for 0).

        Raises:
            OSError: the port is taken.
        """
        listener = socket.create_server((host, port))
        await self.start_on(listener)
        return int(listener.getsockname()[1])

    async def start_on(self, listener: socket.socket) -> None:
        """Listen on a socket that somebody else bound; it belongs to the mailbox from now on."""
        # The library logs every line of a session, addresses included.
        logging.getLogger("mail.log").setLevel(logging.WARNING)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Session(self, loop), sock=listener)

    async def stop(self) -> None:
        """Stop listening, end open sessions and let go of the file."""
        if self._server is not None:
            self._server.close()
            self._server = None
        ended = [session.end() for session in list(self._sessions)]
        if ended:
            await asyncio.wait(ended, timeout=_STOP_DEADLINE_S)
        self._store.close()

    @property
    def messages(self) -> list[Mail]:
        """All mails, newest first."""
        return self._store.list()

    def find(self, mail_id: int) -> Mail | None:
        """The mail of that id."""
        return self._store.find(mail_id)

    def clear(self) -> None:
        """Throw all mails away."""
        self._store.clear()

    def take(self, sender: str, recipients: tuple[str, ...], raw: bytes) -> None:
        """Keep a mail."""
        self._store.add(sender, recipients, raw)
        logger.info("mail received", extra={"recipients": len(recipients), "bytes": len(raw)})

    def next_mode(self) -> Mode:
        """How to treat the mail that begins now; uses up one of the `times`."""
        mode, times = self.faults.mode, self.faults.times
        if times is not None:
            self.faults = Faults(mode, times - 1) if times > 1 else Faults()
        return mode


class _Handler:
    """What the library asks about each step of a session (its names)."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._mode: Mode = "ok"

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """A mail begins."""
        self._mode = self._mailbox.next_mode()
        if self._mode == "tempfail":
            return "451 4.3.2 The sandbox was told to be busy, try again later"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """A recipient is named."""
        if self._mode == "refuse":
            return "550 5.1.1 The sandbox was told to refuse this recipient"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """The mail is here; it is on disk before the sender hears so."""
        self._mailbox.take(envelope.mail_from or "", tuple(envelope.rcpt_tos), bytes(envelope.original_content or b""))
        return "250 2.0.0 OK"


class _Session(SMTP):
    """One connection, known to the mailbox as long as it lasts."""

    def __init__(self, mailbox: Mailbox, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            _Handler(mailbox),
            data_size_limit=_MAX_BYTES,
            enable_SMTPUTF8=True,
            hostname="sandbox.localhost",
            ident="Flame Assistant sandbox, delivers nothing",
            auth_exclude_mechanism=("LOGIN", "PLAIN"),
            loop=loop,
        )
        self._known_in = mailbox._sessions
        self._gone: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._known_in.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._known_in.discard(self)
        if not self._gone.done():
            self._gone.set_result(None)
        super().connection_lost(error)

    def end(self) -> "asyncio.Future[Any]":
        """Close the connection; the future is done when it is closed."""
        if self.transport is not None:
            self.transport.close()
        return self._gone
