"""The collection `emails`."""

import contextlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING
from pymongo.errors import DuplicateKeyError

from control_plane.database import Database, Document
from control_plane.mail.models import INVITATION, Mail, MailState

# A sender that died in the middle loses its claim after this long.
CLAIM_S = 120


class Mails:
    """The queue of mails."""

    def __init__(self, database: Database) -> None:
        self._collection = database["emails"]

    async def insert(
        self,
        client_id: str | None,
        kind: str,
        to: str,
        *,
        account_id: str | None = None,
        mail_id: str | None = None,
        facts: dict[str, str] | None = None,
    ) -> Mail:
        """Queue a mail, due at once; one with the same `mail_id` is queued once."""
        now = datetime.now(UTC)
        mail = Mail(
            id=mail_id or secrets.token_hex(12),
            client_id=client_id,
            account_id=account_id,
            kind=kind,
            to=to,
            state=MailState.QUEUED,
            next_attempt_at=now,
            created_at=now,
            facts=facts or {},
        )
        document = mail.model_dump(exclude={"id"}) | {"_id": mail.id, "state": str(mail.state)}
        with contextlib.suppress(DuplicateKeyError):
            await self._collection.insert_one(document)
        return mail

    async def delete_unsent(self, client_id: str, kind: str) -> None:
        """Forget what still waits: a newer one takes its place."""
        waiting = [str(MailState.QUEUED), str(MailState.WAITING_FOR_SMTP)]
        await self._collection.delete_many({"client_id": client_id, "kind": kind, "state": {"$in": waiting}})

    async def delete_unsent_to(self, account_id: str, kind: str) -> None:
        """Forget what still waits about an account: a newer one takes its place."""
        waiting = [str(MailState.QUEUED), str(MailState.WAITING_FOR_SMTP)]
        await self._collection.delete_many({"account_id": account_id, "kind": kind, "state": {"$in": waiting}})

    async def latest_to(self, account_id: str, kind: str) -> Mail | None:
        """The newest mail of that kind about an account."""
        query = {"account_id": account_id, "kind": kind}
        document = await self._collection.find_one(query, sort=[("created_at", DESCENDING)])
        return _mail(document) if document else None

    async def claim_due(self, now: datetime, *, has_server: bool = True) -> Mail | None:
        """Take one mail whose time has come; a claim that is never finished runs out by itself.

        Without a server for mail those that wait for one are left alone.
        """
        states = [MailState.QUEUED, MailState.SENDING, *([MailState.WAITING_FOR_SMTP] if has_server else [])]
        due = {"state": {"$in": states}, "next_attempt_at": {"$lte": now}}
        claim = {"state": MailState.SENDING, "next_attempt_at": now + timedelta(seconds=CLAIM_S)}
        while (document := await self._collection.find_one(due, sort=[("next_attempt_at", ASCENDING)])) is not None:
            unclaimed = {name: document[name] for name in ("_id", "state", "next_attempt_at")}
            claimed = await self._collection.update_one(unclaimed, {"$set": claim, "$inc": {"attempts": 1}})
            if claimed.matched_count:
                return _mail({**document, **claim, "attempts": document["attempts"] + 1})
        return None

    async def finish(self, mail_id: str, **values: Any) -> None:
        """Store what became of a claimed mail."""
        await self._collection.update_one({"_id": mail_id}, {"$set": values})

    async def latest(self, client_id: str, kind: str) -> Mail | None:
        """The client's newest mail of that kind."""
        query = {"client_id": client_id, "kind": kind}
        document = await self._collection.find_one(query, sort=[("created_at", DESCENDING)])
        return _mail(document) if document else None

    async def delete_finished(self, before: datetime) -> int:
        """Forget mails of before that moment that nothing happens to any more; returns how many.

        Invitations stay: the portal shows what became of a client's last one.
        """
        over = {"$in": [str(MailState.SENT), str(MailState.FAILED)]}
        query = {"state": over, "kind": {"$ne": INVITATION}, "created_at": {"$lt": before}}
        return (await self._collection.delete_many(query)).deleted_count

    async def delete_all(self, client_id: str) -> None:
        """Forget a client's mails."""
        await self._collection.delete_many({"client_id": client_id})


def _mail(document: Document) -> Mail:
    return Mail(id=document["_id"], **{name: value for name, value in document.items() if name != "_id"})
