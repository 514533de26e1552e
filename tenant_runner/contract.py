"""Everything that the control plane and a tenant runner agree on: models only, importing neither side.

Directions: configuration travels from the control plane to the runner (`RunnerConfig`), facts travel back
(`Delivery`, answered by a `DeliveryReceipt`); the remaining models are the runner's own HTTP API.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

START_PATH = "/internal/runner/start"
CONFIG_PATH = "/internal/runner/config"
EVENTS_PATH = "/internal/runner/events"
TOKEN_HEADER = "X-Api-Key"  # noqa: S105 - the name of a header
REPLACED_PROBLEM = "/problems/runner-replaced"
IDEMPOTENCY_HEADER = "Idempotency-Key"
MAX_TEXT_CHARS = 65_536
MAX_EVENTS_PER_DELIVERY = 200


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# ------------------------------------------------------------------------------------------------ configuration, out


class WhatsAppWebChannel(_Model):
    """WhatsApp Web in a browser of the runner's own.

    Attributes:
        url: page to open.
        browser_arguments: extra Chromium command line switches, in order.
        expected_phone: digits of the only number that may link, or None for the first one that does.
        bound_phone: digits of the number that linked first; another one is logged out again.
        page_version: version of WhatsApp Web to pin (`2.3000.…`), or None for the one that is served.
    """

    kind: Literal["whatsapp_web"] = "whatsapp_web"
    url: str
    browser_arguments: tuple[str, ...] = ()
    expected_phone: str | None = None
    bound_phone: str | None = None
    page_version: str | None = None


class OpenAIAssistant(_Model):
    """Answers by OpenAI's Responses API, one Conversation per chat."""

    kind: Literal["openai"] = "openai"
    api_key: SecretStr
    base_url: str
    model: str
    instructions: str


class KeywordRule(_Model):
    """Answer `answer` when the message has one of `keywords` (whole words, case and accents ignored)."""

    keywords: tuple[str, ...] = Field(min_length=1)
    answer: str = Field(min_length=1)


class AutomaticAssistant(_Model):
    """Answers by keyword rules, first match wins, else `default_answer`; needs no account anywhere."""

    kind: Literal["automatic"] = "automatic"
    rules: tuple[KeywordRule, ...] = ()
    default_answer: str


ChannelConfig = WhatsAppWebChannel  # becomes a union discriminated by `kind` with the second channel
AssistantConfig = Annotated[OpenAIAssistant | AutomaticAssistant, Field(discriminator="kind")]


class Pacing(_Model):
    """Limits on what the assistant sends by itself; a person's own messages are never held up.

    Attributes:
        gap_s: smallest time between two sends of the client, in seconds; up to half of it is added at random.
        typing_s: longest time, in seconds, for which "typing…" is shown before a message leaves; 0 shows nothing.
    """

    per_minute: int = Field(default=20, ge=1)
    per_hour: int = Field(default=300, ge=1)
    per_day: int = Field(default=2_000, ge=1)
    gap_s: float = Field(default=1.0, ge=0)
    typing_s: float = Field(default=3.0, ge=0)


class RunnerConfig(_Model):
    """All that one runner needs to know; answered by `GET /internal/runner/config` (never written to disk).

    Attributes:
        revision: grows with every change; a runner that learns of a newer one pulls again.
        debounce_s: seconds of silence that end a customer's turn; `debounce_cap_s` bounds the whole wait.
        fallback_text: what a customer reads when the assistant failed for good (the client's language).
        unsupported_text: answer to a kind of message that cannot be understood; empty says nothing.
        apology_text: said once in a chat whose messages became too old to be answered; empty says nothing.
        opt_out_text: confirms an opt-out word; empty says nothing.
        too_old_s: a message older than this, in seconds, is recorded and not answered.
        takeover_s: how long the assistant is quiet in a chat after a person wrote there, in seconds; 0 never.
        opt_out_words: a customer who writes exactly one of them (case and accents ignored) is not answered any more.
        loop_limit: machine-like exchanges in a row after which the assistant stops in a chat; 0 never.
        memory_limit_mb: the runner's whole process tree (PSS) above which its browser is recycled when idle.
    """

    client_id: str = Field(pattern=r"^[a-z0-9]{1,32}$")
    revision: int
    name: str
    language: Literal["es", "en"]
    channel: ChannelConfig
    assistant: AssistantConfig
    debounce_s: float = Field(default=5.0, ge=0)
    debounce_cap_s: float = Field(default=25.0, ge=0)
    fallback_text: str
    unsupported_text: str = ""
    apology_text: str = ""
    opt_out_text: str = ""
    too_old_s: float = Field(default=900.0, ge=0)
    takeover_s: float = Field(default=1800.0, ge=0)
    opt_out_words: tuple[str, ...] = ("baja", "stop")
    loop_limit: int = Field(default=8, ge=0)
    pacing: Pacing = Pacing()
    memory_limit_mb: int | None = Field(default=None, ge=1)


class RunnerStart(_Model):
    """Answer of `POST /internal/runner/start`, which each process of a runner calls once, before all else.

    Attributes:
        fence: greater than that of every earlier process of the client; what those deliver is refused from now on.
    """

    fence: int = Field(ge=1)


class RunnerCredentials(_Model):
    """The 0600 file `<data>/clients/<id>/runner.json`: where a runner connects, and as whom.

    Attributes:
        browser_arguments: those of its channel when the file was written: a browser is started with them while
            the configuration is on its way, and used if they are true yet. None starts none.
    """

    client_id: str = Field(pattern=r"^[a-z0-9]{1,32}$")
    control_plane_url: str
    token: SecretStr
    port: int = Field(ge=1, le=65_535)
    browser_arguments: tuple[str, ...] | None = None


# ------------------------------------------------------------------------------------------------ session


class SessionState(StrEnum):
    """WAHA's names for a session's states."""

    STOPPED = "STOPPED"
    STARTING = "STARTING"
    SCAN_QR_CODE = "SCAN_QR_CODE"
    PASSKEY_REQUIRED = "PASSKEY_REQUIRED"
    WORKING = "WORKING"
    FAILED = "FAILED"


class SessionReason(StrEnum):
    """What a person must know beside the state."""

    PREPARING = "preparing"
    CODE_SHOWN = "code_shown"
    LINK_CODE_SHOWN = "link_code_shown"
    CODE_EXPIRED = "code_expired"
    SYNCING = "syncing"
    CONNECTED = "connected"
    WRONG_NUMBER = "wrong_number"
    DEGRADED = "degraded"
    RECONNECTING = "reconnecting"
    CONFLICT = "conflict"
    RESTRICTED = "restricted"
    UNLINKED = "unlinked"
    STOPPED = "stopped"
    PASSKEY = "passkey"
    PAGE_UNREACHABLE = "page_unreachable"
    BROWSER_FAILED = "browser_failed"
    PAGE_UNSUPPORTED = "page_unsupported"


class SessionChanged(_Model):
    """A snapshot of a runner's session; a newer one (greater `version`) replaces an older one.

    Attributes:
        version: grows by one with each change within one `instance`.
        phase: step of STARTING, one of `browser`, `page`, `login`; else None.
        progress: 0 to 100 while syncing, else None.
        qr: what the QR code says, only in SCAN_QR_CODE; a credential: never logged.
        qr_expires_at: when `qr` stops working.
        detail: cause in plain English for admins and logs; no secret, no message text.
        phone: digits of the linked number.
        last_round_trip_at: last proven answer of the page.
        link_code: eight characters to type on the phone (shown as ABCD-1234); a credential: never logged.
        link_code_expires_at: when `link_code` stops working.
        refused_phone: digits of the number that was logged out again (wrong number).
        attempt: number of the running or coming attempt to connect again, from 1.
        next_attempt_at: when the next attempt begins.
        page_version: version of WhatsApp Web that the page says it has.
    """

    version: int = 0
    state: SessionState
    reason: SessionReason
    since: datetime
    phase: str | None = None
    progress: int | None = Field(default=None, ge=0, le=100)
    qr: str | None = None
    qr_expires_at: datetime | None = None
    detail: str | None = None
    phone: str | None = None
    push_name: str | None = None
    last_round_trip_at: datetime | None = None
    link_code: str | None = None
    link_code_expires_at: datetime | None = None
    refused_phone: str | None = None
    attempt: int | None = None
    next_attempt_at: datetime | None = None
    page_version: str | None = None


# ------------------------------------------------------------------------------------------------ events, in


class MediaFacts(_Model):
    """What is known of a file without having it."""

    mimetype: str | None = None
    filename: str | None = None
    size: int | None = None
    duration_s: float | None = None


class MessageRecorded(_Model):
    """A message, in either direction, that the runner has in its journal (event `message.any`).

    Attributes:
        message_id: the channel's id, unique within the client.
        chat_id: address that the message came from or goes to, as the channel writes it (`…@c.us`, `…@lid`).
        author: `contact`, `assistant`, `owner` (typed on the linked phone) or `agent` (sent through the API).
        kind: the channel's message type; `chat` is text.
        in_reply_to: ids of the contact's messages that this one answers.
        outcome: why it is not answered, or None; docs/messages.md lists them.
        quoted_id: id of the message that this one quotes.
    """

    event: Literal["message.any"] = "message.any"
    message_id: str
    chat_id: str
    author: Literal["contact", "assistant", "owner", "agent"]
    kind: str = "chat"
    text: str = ""
    sent_at: datetime
    contact_name: str | None = None
    contact_phone: str | None = None
    in_reply_to: tuple[str, ...] = ()
    outcome: str | None = None
    quoted_id: str | None = None
    media: MediaFacts | None = None


class MessageChanged(_Model):
    """Something happened to a message after it was recorded.

    Attributes:
        event: `message.edited` (`text` is the new one), `message.revoked` (the text is gone), `message.reaction`
            (`text` is the emoji, empty when it was taken back; `author` reacted), `message.updated` (its transcript,
            its real form after it could not be decrypted, or its outcome, is known now).
        kind: the new kind, None when it stays.
        text: the new text, None when it stays.
        outcome: the new outcome, None when it stays.
    """

    event: Literal["message.edited", "message.revoked", "message.reaction", "message.updated"]
    message_id: str
    chat_id: str
    author: Literal["contact", "assistant", "owner", "agent"] = "contact"
    kind: str | None = None
    text: str | None = None
    outcome: str | None = None
    at: datetime


class MessageAcknowledged(_Model):
    """How far an outbound message got (event `message.ack`)."""

    event: Literal["message.ack"] = "message.ack"
    message_id: str
    chat_id: str
    ack: Literal["pending", "server", "delivered", "read", "failed", "unknown"]


class ThreadChanged(_Model):
    """The assistant's thread of a chat was made, used, rebuilt or forgotten (event `thread.changed`)."""

    event: Literal["thread.changed"] = "thread.changed"
    chat_id: str
    conversation_id: str | None
    generation: int = 0
    last_activity_at: datetime


class ConversationStatusChanged(_Model):
    """Who answers in a chat (event `conversation.status_changed`).

    `chat_id` None means the whole client (the owner wrote "suspender bot" to themselves). `until` says when the
    assistant answers again by itself, None that somebody has to say so.
    """

    event: Literal["conversation.status_changed"] = "conversation.status_changed"
    chat_id: str | None
    status: Literal["automatic", "suspended", "waiting_for_human"]
    reason: str | None = None
    until: datetime | None = None


class AssistantStatusChanged(_Model):
    """Whether the assistant can answer (event `assistant.status_changed`).

    Attributes:
        problem: None when it answers; else `bad_key`, `no_quota`, `model_not_found`, `unavailable`, `rejected`.
        detail: the provider's words for the admin; never shown to a customer.
    """

    event: Literal["assistant.status_changed"] = "assistant.status_changed"
    problem: Literal["bad_key", "no_quota", "model_not_found", "unavailable", "rejected"] | None
    detail: str | None = None


EventPayload = Annotated[
    MessageRecorded
    | MessageChanged
    | MessageAcknowledged
    | ThreadChanged
    | ConversationStatusChanged
    | AssistantStatusChanged,
    Field(discriminator="event"),
]


class Event(_Model):
    """One fact from the journal. `id` is stable across retries, `sequence` grows by one within a journal."""

    id: str
    sequence: int = Field(ge=1)
    timestamp: datetime
    payload: EventPayload


class Delivery(_Model):
    """What a runner posts to `EVENTS_PATH`: events, oldest first (none makes a heartbeat), and its session now.

    Attributes:
        instance: names this run of the process.
        fence: what this run was given at its start (`RunnerStart`). When a later one was given a greater one, the
            delivery is refused with 409 and `REPLACED_PROBLEM`, and this run has to end.
        started_at: when this instance started.
        memory_bytes: PSS of the runner's whole process tree, None when not measured yet.
        journal_id: names the journal that numbered the events; a new journal starts again at 1.
    """

    instance: str
    fence: int = Field(ge=1)
    started_at: datetime
    journal_id: str
    config_revision: int
    session: SessionChanged
    memory_bytes: int | None = None
    events: tuple[Event, ...] = Field(default=(), max_length=MAX_EVENTS_PER_DELIVERY)


class DeliveryReceipt(_Model):
    """`accepted_through`: highest sequence that is stored; `config_revision`: newest there is."""

    accepted_through: int
    config_revision: int


# ------------------------------------------------------------------------------------------------ the runner's HTTP API


class RunnerStatus(_Model):
    """Answer of `GET /status`."""

    client_id: str
    instance: str
    started_at: datetime
    config_revision: int
    session: SessionChanged
    undelivered_events: int
    open_turns: int


class SendRequest(_Model):
    """Body of `POST /send`: a text from a human or another program, never paced or debounced."""

    chat_id: str = Field(min_length=3, max_length=128)
    text: str = Field(min_length=1, max_length=MAX_TEXT_CHARS)


class SendAccepted(_Model):
    """Answer 202 of `POST /send`; the outcome follows as `message.ack`."""

    message_id: str


class LinkCodeRequest(_Model):
    """Body of `POST /session/link-code`: a code to type on the phone of that number (digits)."""

    phone: str = Field(pattern=r"^\d{7,15}$")


class LinkCode(_Model):
    """Answer of `POST /session/link-code`: eight characters, shown as ABCD-1234; a credential."""

    code: str
    expires_at: datetime


class ConversationRequest(_Model):
    """Body of `POST /conversation`: have the assistant answer in a chat, or be quiet there until told otherwise."""

    chat_id: str = Field(min_length=3, max_length=128)
    automatic: bool


class ProcessMessageRequest(_Model):
    """Body of `POST /process-message`: what would the assistant answer? Nothing is sent on the channel."""

    contact: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.@+-]+$")
    text: str = Field(min_length=1, max_length=MAX_TEXT_CHARS)


class ProcessMessageReply(_Model):
    """Answer of `POST /process-message`."""

    reply: str


ChatId = Annotated[str, Field(min_length=1, max_length=256)]


class PurgeRequest(_Model):
    """Body of `POST /purge`: delete what is older than `before`; None deletes everything.

    Attributes:
        chat_ids: erase these chats alone, whatever is known of them until `before`, told to the control plane or not.
    """

    before: datetime | None = None
    chat_ids: tuple[ChatId, ...] = Field(default=(), max_length=100)


class PurgeReport(_Model):
    """What a purge deleted; `failed` counts remote conversations that could not be deleted and stay listed."""

    messages: int = 0
    threads: int = 0
    remote_conversations: int = 0
    failed: int = 0
    detail: str | None = None
