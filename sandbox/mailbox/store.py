"""Where mails are kept: one SQLite file, 0600, since an invitation's link opens its landing page."""

import json
from datetime import UTC, datetime
from pathlib import Path

from sandbox.mailbox.mail import Mail
from sandbox.sqlite_file import open_private

_TABLES = """
CREATE TABLE IF NOT EXISTS mails (
    id INTEGER PRIMARY KEY AUTOINCREMENT, received_at TEXT NOT NULL, sender TEXT NOT NULL, recipients TEXT NOT NULL,
    raw BLOB NOT NULL
) STRICT;
"""
_COLUMNS = "id, received_at, sender, recipients, raw"


class MailStore:
    """Mails, newest first; without a file they are gone with the process."""

    def __init__(self, file: Path | None) -> None:
        self._db = open_private(file, _TABLES)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def add(self, sender: str, recipients: tuple[str, ...], raw: bytes) -> None:
        """Keep a mail; committed when this returns."""
        with self._db:
            self._db.execute(
                "INSERT INTO mails (received_at, sender, recipients, raw) VALUES (?, ?, ?, ?)",
                (datetime.now(UTC).isoformat(), sender, json.dumps(recipients), raw),
            )

    def list(self) -> list[Mail]:
        """All mails."""
        return [_mail(row) for row in self._db.execute(f"SELECT {_COLUMNS} FROM mails ORDER BY id DESC")]  # noqa: S608

    def find(self, mail_id: int) -> Mail | None:
        """The mail of that id."""
        row = self._db.execute(f"SELECT {_COLUMNS} FROM mails WHERE id = ?", (mail_id,)).fetchone()  # noqa: S608
        return _mail(row) if row else None

    def clear(self) -> None:
        """Throw all mails away."""
        with self._db:
            self._db.execute("DELETE FROM mails")


def _mail(row: tuple[int, str, str, str, bytes]) -> Mail:
    mail_id, received_at, sender, recipients, raw = row
    return Mail(mail_id, datetime.fromisoformat(received_at), sender, tuple(json.loads(recipients)), raw)
