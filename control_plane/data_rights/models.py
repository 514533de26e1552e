"""Records of erasures: they prove what was done, without saying whose data it was."""

import hashlib
import hmac
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict


class ErasureState(StrEnum):
    """Where an erasure is; `waiting`: something could not be deleted yet and is tried again."""

    REQUESTED = "requested"
    WAITING = "waiting"
    DONE = "done"


class Holdings(BaseModel):
    """How much the platform's database has of somebody."""

    model_config = ConfigDict(frozen=True)

    messages: int = 0
    threads: int = 0
    chat_statuses: int = 0
    mails: int = 0


class Deleted(BaseModel):
    """What was deleted elsewhere: rows of the runner's journal, conversations at the AI provider."""

    model_config = ConfigDict(frozen=True)

    journal_messages: int = 0
    journal_threads: int = 0
    remote_conversations: int = 0


class Erasure(BaseModel):
    """One document of `erasures`, as it is shown and handed out.

    Attributes:
        subject: `contact` (every chat of one person with one client) or `client` (a client with everything it had).
        hint: last four digits of the contact; empty for a client.
        contact_hashes: HMAC-SHA256 of each address of the contact under `salt`, both in hex: who knows the address
            can check that this record is about it.
        requested_by: user name of who asked.
        before, after: what the database had when it was asked for, and when it was done.
        detail: why it is not done yet, in plain words.
        not_covered: what is out of the platform's reach.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    subject: Literal["contact", "client"]
    client_id: str
    hint: str = ""
    salt: str = ""
    contact_hashes: tuple[str, ...] = ()
    requested_by: str | None = None
    requested_at: datetime
    state: ErasureState
    attempts: int = 0
    detail: str | None = None
    done_at: datetime | None = None
    before: Holdings = Holdings()
    deleted: Deleted = Deleted()
    after: Holdings | None = None
    not_covered: tuple[str, ...] = (
        "WhatsApp's own copies: on the phones of both sides and in the linked WhatsApp Web",
        "backups made before the erasure",
    )


class PendingErasure(Erasure):
    """An erasure that is not done, with the addresses that it is about."""

    chat_ids: tuple[str, ...] = ()


def hash_address(salt: str, chat_id: str) -> str:
    """What a record keeps of an address."""
    return hmac.new(bytes.fromhex(salt), chat_id.encode(), hashlib.sha256).hexdigest()
