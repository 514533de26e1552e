"""Mails that wait to be sent, and what became of them."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

INVITATION = "invitation"


class MailState(StrEnum):
    """Where a mail is."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    WAITING_FOR_SMTP = "waiting_for_smtp"
    FAILED = "failed"


class Mail(BaseModel):
    """One mail of `emails`; its text is made when it is sent, so that no link lies about in the queue.

    Attributes:
        client_id: the client that it is about; None when it is about a person's account.
        account_id: the account that it is about.
        kind: name of the template below `templates/email/`.
        facts: what the template needs beside the client; nothing that must stay private.
        last_error: in plain words, with what to do; the server's own words where they help.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    client_id: str | None = None
    account_id: str | None = None
    kind: str
    to: str
    state: MailState
    attempts: int = 0
    next_attempt_at: datetime
    last_error: str | None = None
    facts: dict[str, str] = Field(default_factory=dict)
    created_at: datetime
    sent_at: datetime | None = None
