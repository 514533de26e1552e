"""What the channel tells becomes rows of the journal, before anything else happens with it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from tenant_runner.assistants.base import Assistant
from tenant_runner.channels.base import ChannelChange, ChannelMessage
from tenant_runner.contract import RunnerConfig
from tenant_runner.courtesy import OPTED_OUT, TOO_OLD, UNSUPPORTED
from tenant_runner.journal import Journal, NewMessage
from tenant_runner.journal.changes import REVOKED
from tenant_runner.journal.database import now
from tenant_runner.journal.media import MediaJob, Sort
from tenant_runner.journal.messages import Author
from tenant_runner.kinds import Handling, handling_of
from tenant_runner.words import bare, fold

logger = logging.getLogger(__name__)

RESUME_COMMAND = "activar bot"
SUSPEND_COMMAND = "suspender bot"
OWNER_WROTE = "owner_wrote"


@dataclass(frozen=True)
class Arrival:
    """What a received message asks for.

    Attributes:
        chat_id: its chat.
        waits_for_turn: its chat has a turn to begin.
        job: its file is wanted.
        undecrypted: its real form is awaited.
    """

    chat_id: str
    waits_for_turn: bool = False
    job: MediaJob | None = None
    undecrypted: bool = False


@dataclass(frozen=True)
class _Verdict:
    outcome: str | None
    pending: bool
    sort: Sort | None = None


class Incoming:
    """Stores messages and changes, each once, with the outcome that they have so far."""

    def __init__(
        self, journal: Journal, config: Callable[[], RunnerConfig], assistant: Callable[[], Assistant]
    ) -> None:
        self._journal = journal
        self._config = config
        self._assistant = assistant

    # ------------------------------------------------------------------------------------------------ messages

    async def store(self, message: ChannelMessage) -> Arrival | None:
        """Store a message; None for one that is no person's, is known, or belongs to what was deleted."""
        if message.broadcast or message.system:
            return None
        retention = self._journal.retention
        deleted_before = max(await retention.purged_before(), await retention.erased_before(message.chat_id))
        if message.sent_at.timestamp() < deleted_before:
            return None
        # Lost with the machine's power, it is read from the page again: as far as that was done is written after it.
        async with self._journal.transaction(lazy=True):
            if message.undecrypted:
                return await self._store_undecrypted(message)
            if message.from_me:
                await self._store_own(message)
                return None
            return await self._store_customers(message)

    async def _store_undecrypted(self, message: ChannelMessage) -> Arrival | None:
        author: Author = "owner" if message.from_me else "contact"
        if await self._journal.messages.has(message.message_id):
            return None
        await self._journal.messages.record(_new_message(message, author))
        if message.from_me:
            await self._take_over(message)
        logger.info("message waits for its real form", extra={"message_id": message.message_id})
        return Arrival(message.chat_id, undecrypted=True)

    async def _store_customers(self, message: ChannelMessage) -> Arrival | None:
        known = await self._journal.messages.get(message.message_id)
        if known is not None and not known.undecrypted:
            return None
        verdict = await self._judge(message)
        new = _new_message(message, "contact")
        if known is None:
            await self._journal.messages.record(new, outcome=verdict.outcome, pending=verdict.pending)
        else:
            await self._journal.changes.complete(new, outcome=verdict.outcome, pending=verdict.pending)
        job = None
        if verdict.sort is not None:
            mimetype = message.media.mimetype if message.media else None
            job = MediaJob(message.message_id, message.chat_id, verdict.sort, mimetype)
            await self._journal.media.add(job)
        logger.info(
            "message received",
            extra={"message_id": message.message_id, "kind": message.kind, "outcome": verdict.outcome},
        )
        return Arrival(message.chat_id, waits_for_turn=verdict.pending, job=job)

    async def _judge(self, message: ChannelMessage) -> _Verdict:
        """What a customer's message has to expect; one that is not answered may still deserve a courtesy."""
        config, assistant = self._config(), self._assistant()
        silence = await self._journal.chats.silence(message.chat_id)
        media_type = message.media.mimetype if message.media else None
        handling = handling_of(message.kind, media_type, sees=assistant.sees, hears=assistant.hears)
        if message.kind == REVOKED:
            return _Verdict(REVOKED, pending=False)
        if handling is Handling.WORDS and bare(message.text) in {bare(word) for word in config.opt_out_words}:
            await self._journal.chats.opt_out(message.chat_id, message.sent_at.timestamp())
            return _Verdict(OPTED_OUT, pending=silence is None)
        if silence is not None:
            return _Verdict(silence, pending=False)
        if handling is Handling.SILENT:
            return _Verdict("no_answer_expected", pending=False)
        if handling is Handling.WORDS and not message.text.strip():
            return _Verdict("empty", pending=False)
        if now() - message.sent_at.timestamp() > config.too_old_s:
            return _Verdict(TOO_OLD, pending=True)
        if handling is Handling.UNREADABLE:
            return _Verdict(UNSUPPORTED, pending=True)
        sorts: dict[Handling, Sort] = {Handling.IMAGE: "image", Handling.VOICE: "voice"}
        return _Verdict(None, pending=True, sort=sorts.get(handling))

    async def _store_own(self, message: ChannelMessage) -> None:
        """Our own sends come back too; any other one was typed by the owner on their phone."""
        known = await self._journal.messages.get(message.message_id)
        if known is not None and known.undecrypted:
            await self._journal.changes.complete(_new_message(message, "owner"), outcome=None, pending=False)
        elif await self._journal.messages.has(message.message_id):
            return
        command = fold(message.text) if message.kind == "chat" else ""
        is_command = command in (RESUME_COMMAND, SUSPEND_COMMAND)
        if known is None:
            await self._journal.messages.record(
                _new_message(message, "owner"), outcome="command" if is_command else None
            )
        if not is_command:
            await self._take_over(message)
            return
        await self._journal.chats.suspend(
            None if message.self_chat else message.chat_id,
            suspended=command == SUSPEND_COMMAND,
            reason="owner",
            said_at=message.sent_at.timestamp(),
        )
        logger.info("owner's command followed", extra={"command": command, "all_chats": message.self_chat})

    async def _take_over(self, message: ChannelMessage) -> None:
        if not message.self_chat:
            await self._journal.chats.take_over(
                message.chat_id,
                reason=OWNER_WROTE,
                said_at=message.sent_at.timestamp(),
                for_s=self._config().takeover_s,
            )

    # ------------------------------------------------------------------------------------------------ changes

    async def change(self, change: ChannelChange) -> bool:
        """Store what happened to a message; False when that is known, or the message is not.

        Nobody but its author edits a message or takes it back.
        """
        async with self._journal.transaction():
            message = await self._journal.messages.get(change.message_id)
            if message is None:
                return False
            changes, from_me, at = self._journal.changes, change.from_me, change.at
            if change.change == "reaction":
                changed = await changes.react(message, change.text, from_me=from_me, at=at)
            elif from_me == (message.author == "contact"):
                return False
            elif change.change == "edited":
                changed = await changes.edit(message, change.text, from_me=from_me, at=at)
            else:
                changed = await changes.revoke(message, from_me=from_me, at=at)
        if changed:
            logger.info("message changed", extra={"message_id": change.message_id, "change": change.change})
        return changed


def _new_message(message: ChannelMessage, author: Author) -> NewMessage:
    return NewMessage(
        message_id=message.message_id,
        chat_id=message.chat_id,
        author=author,
        kind=message.kind,
        text=message.text,
        sent_at=message.sent_at,
        contact_name=message.contact_name,
        contact_phone=message.contact_phone,
        quoted_id=message.quoted_id,
        media=message.media,
        undecrypted=message.undecrypted,
    )
