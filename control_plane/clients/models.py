"""The customer record and what surrounds it, as stored and as asked for."""

import re
import secrets
import string
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, EmailStr, Field, SecretStr

from tenant_runner.contract import KeywordRule

ID_ALPHABET = string.ascii_lowercase + string.digits


def new_id() -> str:
    """A client's id, at random."""
    return "".join(secrets.choice(ID_ALPHABET) for _ in range(12))


def new_slug() -> str:
    """192 random bits: the link is the only credential that a client's landing page asks for."""
    return secrets.token_urlsafe(24)


def _now() -> datetime:
    now = datetime.now(UTC)
    # The database keeps milliseconds: what was just made and what is read later are the same.
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _digits(phone: str) -> str:
    digits = re.sub(r"[\s().+-]", "", phone).removeprefix("00")
    if not re.fullmatch(r"\d{7,15}", digits):
        raise ValueError("write the number with its country code, 7 to 15 digits")
    return digits


Phone = Annotated[str, AfterValidator(_digits)]
Language = Literal["es", "en"]


class Wanted(StrEnum):
    """What the admin wants of a client's runner; the reconciler makes it so."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"


class StoredOpenAIAssistant(BaseModel):
    """As stored: the key encrypted, and what may be shown of it (`sk-…4f2a`)."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["openai"] = "openai"
    api_key_encrypted: str
    api_key_hint: str
    model: str
    instructions: str


class StoredAutomaticAssistant(BaseModel):
    """Keyword rules and a default answer; nothing secret."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["automatic"] = "automatic"
    rules: tuple[KeywordRule, ...] = ()
    default_answer: str


StoredAssistant = Annotated[StoredOpenAIAssistant | StoredAutomaticAssistant, Field(discriminator="kind")]


class Overrides(BaseModel):
    """What a client has differently from the installation's settings; None is as the installation has it.

    Attributes:
        takeover_minutes: how long the assistant is quiet in a chat after a person wrote there; 0 never.
        too_old_minutes: a message older than this is recorded and not answered.
        opt_out_words: a customer who writes exactly one of them gets no automatic answers any more.
        sends_per_minute, sends_per_hour, sends_per_day: limits of what the assistant sends by itself.
        memory_limit_mb: of the runner; above it its browser is started anew when idle; 0 never.
        whatsapp_web_version: version of WhatsApp Web to pin.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    takeover_minutes: int | None = Field(default=None, ge=0, le=7 * 24 * 60)
    too_old_minutes: int | None = Field(default=None, ge=1, le=7 * 24 * 60)
    opt_out_words: tuple[Annotated[str, Field(min_length=1, max_length=40)], ...] | None = Field(
        default=None, max_length=20
    )
    sends_per_minute: int | None = Field(default=None, ge=1, le=1_000)
    sends_per_hour: int | None = Field(default=None, ge=1, le=20_000)
    sends_per_day: int | None = Field(default=None, ge=1, le=100_000)
    memory_limit_mb: int | None = Field(default=None, ge=0, le=65_536)
    whatsapp_web_version: str | None = Field(default=None, pattern=r"^\d{1,4}\.\d{1,6}\.\d{1,12}(-[a-z]{1,10})?$")


class Client(BaseModel):
    """One customer of the agency, one document of `clients`.

    Attributes:
        slug: unguessable last part of the landing page's address.
        link_expires: the address is good for linking one phone; then it shows only that it was used.
        link_used_at: when a phone linked since the address was made, or since its phone was released.
        revision: grows with every change that the runner must learn of.
        restarts: grows when somebody asks for a restart; the reconciler restarts a runner that is behind.
        runner_token_encrypted: the credential between this client's runner and the control plane, both ways;
            `runner_token_hash` (SHA-256, hex) finds the client that a token belongs to.
        deleting_since: set when the admin deleted the client; the reconciler removes its parts, the record last.
    """

    model_config = ConfigDict(frozen=True)

    id: str = Field(default_factory=new_id, pattern=r"^[a-z0-9]{1,32}$")
    name: str
    email: EmailStr
    language: Language = "es"
    slug: str = Field(default_factory=new_slug)
    link_expires: bool = False
    link_used_at: datetime | None = None
    port: int
    environment: str
    assistant: StoredAssistant
    expected_phone: str | None = None
    bound_phone: str | None = None
    retention_hours: int
    overrides: Overrides = Overrides()
    wanted: Wanted = Wanted.CONNECTED
    revision: int = 1
    restarts: int = 0
    runner_token_encrypted: str
    runner_token_hash: str
    created_at: datetime = Field(default_factory=_now)
    updated_at: datetime = Field(default_factory=_now)
    deleting_since: datetime | None = None

    @property
    def link_is_used(self) -> bool:
        """The landing page has done what it was for, and shows nothing more."""
        return self.link_expires and self.link_used_at is not None


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class OpenAIAssistantRequest(_Request):
    """`api_key` None keeps the stored one (only when editing)."""

    kind: Literal["openai"] = "openai"
    api_key: SecretStr | None = None
    model: str | None = Field(default=None, max_length=100)
    instructions: str = Field(default="", max_length=32_000)


class AutomaticAssistantRequest(_Request):
    """Keyword rules, first match wins, and the answer when none does."""

    kind: Literal["automatic"] = "automatic"
    rules: tuple[KeywordRule, ...] = Field(default=(), max_length=100)
    default_answer: str = Field(min_length=1, max_length=4_000)


AssistantRequest = Annotated[OpenAIAssistantRequest | AutomaticAssistantRequest, Field(discriminator="kind")]


class NewClient(_Request):
    """The admin's request to create a client."""

    name: str = Field(min_length=1, max_length=80)
    email: EmailStr
    language: Language = "es"
    environment: str | None = None
    assistant: AssistantRequest
    expected_phone: Phone | None = None
    retention_hours: int | None = Field(default=None, ge=1, le=24 * 365)
    link_expires: bool = False
    overrides: Overrides = Overrides()


class ClientChanges(_Request):
    """The admin's edit: a field that is absent stays as it is (`exclude_unset`), also within `overrides`.

    Null clears `expected_phone`, and gives a field of `overrides` back to the installation's settings.
    """

    name: str | None = Field(default=None, min_length=1, max_length=80)
    email: EmailStr | None = None
    language: Language | None = None
    environment: str | None = None
    assistant: AssistantRequest | None = None
    expected_phone: Phone | None = None
    retention_hours: int | None = Field(default=None, ge=1, le=24 * 365)
    link_expires: bool | None = None
    overrides: Overrides | None = None
