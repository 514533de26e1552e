"""WhatsApp accounts as their phones hold them: contacts, linked devices, messages and what the phone saw happen."""

import hashlib
import secrets
import time
from typing import Any, Literal, Protocol

from pydantic import BaseModel, Field

Message = dict[str, Any]
"""A message as the page's wire carries it; see docs/sandbox.md."""

Addressing = Literal["pn", "lid"]
Lost = Literal["request", "answer"]
"""What a broken connection swallows: what the page asks, or what it is answered."""


def make_lid(prefix: str, number: str) -> str:
    """The hidden identity that WhatsApp gives a number: stable, and the number cannot be read from it."""
    digest = int.from_bytes(hashlib.sha256(f"lid:{number}".encode()).digest()[:8])
    return f"{prefix}{digest % 10**14:014d}@lid"


def make_message_id() -> str:
    """An id in the form that phones give to their messages."""
    return "3A" + secrets.token_hex(9).upper()


class Contact(BaseModel):
    """Somebody whom an account knows.

    Attributes:
        name: as saved in the owner's address book.
        pushname: as they call themselves.
        addressing: whether their chat goes by phone number (`…@c.us`) or by hidden identity (`…@lid`).
    """

    number: str
    lid: str
    name: str | None = None
    pushname: str | None = None
    addressing: Addressing = "pn"

    @property
    def pn(self) -> str:
        """Address by phone number."""
        return f"{self.number}@c.us"

    @property
    def chat_id(self) -> str:
        """Address of their chat."""
        return self.lid if self.addressing == "lid" else self.pn

    def to_wire(self) -> dict[str, Any]:
        """What a page is told about them."""
        return {
            "pn": self.pn,
            "lid": self.lid,
            "addressing": self.addressing,
            "name": self.name,
            "pushname": self.pushname,
        }


class Device(BaseModel):
    """A linked device: the browser profile whose page scanned in.

    Attributes:
        noise: the key that proves the device at each login.
        pending: ids of the messages that it has not confirmed yet, oldest first.
    """

    id: str
    noise: str
    client: dict[str, Any] = Field(default_factory=dict)
    linked_at: float = Field(default_factory=time.time)
    pending: list[str] = Field(default_factory=list)


class AccountProfile(BaseModel):
    """What an account is and how WhatsApp treats it, without what happened to it.

    Attributes:
        stalls_pairing: a pairing uses the code up and asks for a passkey: no login follows.
        restricted: WhatsApp has restricted the account: pages are told, sends are refused.
        sync_seconds: how long pages sync after a login; None: as the settings say.
        replays_late: what came while a device was away is pushed again as new messages after the login.
    """

    number: str
    name: str
    platform: str = "android"
    unregistered: set[str] = Field(default_factory=set)
    refuses_sends: bool = False
    stalls_pairing: bool = False
    restricted: bool = False
    sync_seconds: float | None = None
    replays_late: bool = False


class AccountStore(Protocol):
    """Where accounts are kept; every call is durable when it returns."""

    def save_profile(self, profile: AccountProfile) -> None:
        """Insert or replace."""

    def save_contact(self, account: str, contact: Contact) -> None:
        """Insert or replace."""

    def save_device(self, account: str, device: Device) -> None:
        """Insert or replace."""

    def delete_device(self, account: str, device_id: str) -> None:
        """Forget a device; unknown ones are forgotten already."""

    def save_message(self, account: str, position: int, message: Message) -> None:
        """Insert or replace the message at a position of the account's history."""

    def append_event(self, account: str, event: dict[str, Any]) -> None:
        """Add an event."""


class Account:
    """One WhatsApp account; its phone is the truth about it, and everything it holds survives a restart."""

    def __init__(self, profile: AccountProfile, store: AccountStore) -> None:
        self.profile = profile
        self.contacts: dict[str, Contact] = {}
        self.devices: dict[str, Device] = {}
        self.messages: list[Message] = []
        self.events: list[dict[str, Any]] = []
        self.losses: dict[str, list[Lost]] = {}
        self._store = store

    @property
    def number(self) -> str:
        """Digits of the account's phone number."""
        return self.profile.number

    @property
    def pn(self) -> str:
        """The owner's address by phone number."""
        return f"{self.number}@c.us"

    @property
    def lid(self) -> str:
        """The owner's address by hidden identity."""
        return make_lid("9", self.number)

    def to_wire(self) -> dict[str, Any]:
        """What a linked page is told about its owner."""
        return {"pn": self.pn, "lid": self.lid, "pushname": self.profile.name, "platform": self.profile.platform}

    def own_address(self, contact: Contact) -> str:
        """The owner's address in a chat, of the same kind as the contact's."""
        return self.lid if contact.addressing == "lid" else self.pn

    # ---------------------------------------------------------------- contacts

    def know(
        self,
        number: str,
        *,
        pushname: str | None = None,
        name: str | None = None,
        addressing: Addressing | None = None,
    ) -> Contact:
        """The contact of that number, made if new, with what is given changed."""
        contact = self.contacts.get(number)
        if contact is None:
            lid = self.lid if number == self.number else make_lid("8", number)
            contact = Contact(number=number, lid=lid, pushname=self.profile.name if number == self.number else None)
        changes = {"pushname": pushname, "name": name, "addressing": addressing}
        known = contact.model_copy(update={key: value for key, value in changes.items() if value})
        if known != self.contacts.get(number):
            self.contacts[number] = known
            self._store.save_contact(self.number, known)
        return known

    def find_contact(self, address: str) -> Contact | None:
        """The contact of an address of either kind."""
        return next((contact for contact in self.contacts.values() if address in (contact.pn, contact.lid)), None)

    def reach(self, address: str) -> Contact | None:
        """The contact behind an address, as WhatsApp's directory knows it; None if there is no such account."""
        user, _, server = address.partition("@")
        contact = self.find_contact(address)
        number = contact.number if contact else user
        if number in self.profile.unregistered:
            return None
        if contact is None and server == "c.us" and user.isdigit():
            contact = self.know(user)
        return contact

    def save_profile(self) -> None:
        """Keep changes made to `profile`."""
        self._store.save_profile(self.profile)

    # ---------------------------------------------------------------- devices

    def add_device(self, device: Device) -> None:
        """Link a device."""
        self.devices[device.id] = device
        self._store.save_device(self.number, device)

    def remove_device(self, device_id: str) -> Device | None:
        """Unlink a device."""
        self._store.delete_device(self.number, device_id)
        return self.devices.pop(device_id, None)

    def queue_for(self, device: Device, message_id: str) -> None:
        """Remember that a device owes a confirmation."""
        if message_id not in device.pending:
            device.pending.append(message_id)
            self._store.save_device(self.number, device)

    def confirm(self, device: Device, message_id: str) -> None:
        """A device has the message."""
        if message_id in device.pending:
            device.pending = [pending for pending in device.pending if pending != message_id]
            self._store.save_device(self.number, device)

    # ---------------------------------------------------------------- messages

    def find_message(self, message_id: str) -> Message | None:
        """The message of that id, in either direction."""
        return next((message for message in reversed(self.messages) if message["id"]["id"] == message_id), None)

    def record(self, message: Message) -> None:
        """Add a message to the history."""
        self.messages.append(message)
        self._store.save_message(self.number, len(self.messages) - 1, message)

    def update(self, message: Message, changes: dict[str, Any]) -> None:
        """Change a message of the history."""
        position = next(index for index, known in enumerate(self.messages) if known is message)
        message.update(changes)
        self._store.save_message(self.number, position, message)

    def mark_seen(self, chat: str, ids: list[str] | None = None) -> None:
        """Inbound messages of a chat were read, on any device; `ids` None means all of them."""
        for message in self.messages:
            inbound = message["id"]["remote"] == chat and not message["id"]["fromMe"]
            if inbound and not message.get("seen") and (ids is None or message["id"]["id"] in ids):
                self.update(message, {"seen": True})

    def count_unread(self) -> dict[str, int]:
        """Unread inbound messages of every chat that has any."""
        unread: dict[str, int] = {}
        for message in self.messages:
            if not message["id"]["fromMe"] and not message.get("seen"):
                unread[message["id"]["remote"]] = unread.get(message["id"]["remote"], 0) + 1
        return unread

    # ---------------------------------------------------------------- what happened

    def lose(self, operation: str) -> Lost | None:
        """What is lost of a frame that a page sends now."""
        if not (planned := self.losses.get(operation)):
            return None
        lost = planned.pop(0)
        self.log("frame_lost", operation=operation, lost=lost)
        return lost

    def log(self, kind: str, **facts: Any) -> None:
        """Add to what the phone saw; tests and the phone page read it."""
        event = {"n": len(self.events), "kind": kind, "at": time.time(), **facts}
        self.events.append(event)
        self._store.append_event(self.number, event)
