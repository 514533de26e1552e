"""Bodies of the phone's HTTP API."""

import base64
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from sandbox.whatsapp_web.accounts import Addressing, Lost

Number = Annotated[str, StringConstraints(pattern=r"^[0-9]{6,15}$")]
MessageId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]{4,64}$")]
Text = Annotated[str, StringConstraints(max_length=65_536)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Open(_Body):
    """Take a phone in your hand: its account is made if the number is new."""

    phone: Number
    name: str | None = Field(default=None, max_length=80)
    platform: str | None = None


class Pair(Open):
    """Link a device: scan what a QR code says, or type a link code."""

    qr: str | None = None
    code: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.qr is None) == (self.code is None):
            raise ValueError("give qr or code, one of them")
        return self


def _decode(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError("base64 is needed")
    return base64.b64decode(text, validate=True)


class File(_Body):
    """A file that a message carries.

    Attributes:
        duration: of sound and pictures that move, in seconds.
    """

    data: Annotated[bytes, BeforeValidator(_decode)]
    mimetype: str = Field(pattern=r"^[a-z]+/[A-Za-z0-9.+-]+(; ?[a-z]+=[\w.-]+)?$", max_length=120)
    filename: str | None = Field(default=None, max_length=255)
    duration: int | None = Field(default=None, ge=0)
    caption: Text | None = None


class Incoming(_Body):
    """A customer writes to the account.

    Attributes:
        t: when it was sent, in seconds since 1970; now by default.
        addressing: by number or by hidden identity; stays with the contact.
        type: image, ptt, document, location, poll_creation, …; by default what goes with the file, or text.
        quoted: id of the message that it answers.
        undecrypted: linked devices cannot read it until it is decrypted.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    sender: Number = Field(alias="from")
    body: Text = ""
    pushname: str | None = Field(default=None, max_length=80)
    name: str | None = Field(default=None, max_length=80)
    addressing: Addressing | None = None
    id: MessageId | None = None
    t: int | None = None
    type: str | None = Field(default=None, max_length=40)
    media: File | None = None
    quoted: MessageId | None = None
    undecrypted: bool = False


class Named(_Body):
    """Something happens to a message: linked devices can read it at last, its file is gone, it is taken back."""

    id: MessageId


class Own(_Body):
    """The owner writes on their own phone, to a contact or (their own number) to themselves."""

    to: Number
    body: Text
    addressing: Addressing | None = None
    id: MessageId | None = None
    t: int | None = None


class Receipt(_Body):
    """A customer's phone reports on a message: 2 delivered, 3 read."""

    id: MessageId
    ack: int = Field(ge=-1, le=4)


class Edit(Named):
    """New text for a message."""

    body: Text


class Reaction(Named):
    """An emoji on a message; empty: no longer."""

    emoji: str = Field(max_length=40)


class Patch(_Body):
    """Attributes of a message to change by hand."""

    id: MessageId
    set: dict[str, Any]


class Registration(_Body):
    """Whether a number has a WhatsApp account."""

    number: Number
    unregistered: bool = True


class Refusal(_Body):
    """Whether WhatsApp refuses what this account sends."""

    refuse: bool = True


class Outage(_Body):
    """No page reaches WhatsApp for so long."""

    seconds: float = Field(ge=0, le=3600)


class Loss(_Body):
    """The next frames of an operation are lost: before it is done, or the answer after it."""

    operation: str
    lose: Lost
    count: int = Field(default=1, ge=0, le=10_000)


class Replay(_Body):
    """Whether what came while a device was away is pushed again after its login."""

    late: bool = True


class Stall(_Body):
    """Whether pairings use their code up and never log in."""

    stall: bool = True


class Restriction(_Body):
    """Whether WhatsApp has restricted the account."""

    restricted: bool = True


class Sync(_Body):
    """How long pages sync after a login; null: as the settings say."""

    seconds: float | None = Field(ge=0, le=3600)


class RawMessage(_Body):
    """A message of any shape, as the page's wire carries it: of a group, a status, one that cannot be decrypted."""

    model_config = ConfigDict(extra="allow")

    id: dict[str, Any]
    t: int | None = None
