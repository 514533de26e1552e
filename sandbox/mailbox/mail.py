"""One mail, as it came and as a person reads it."""

import base64
import re
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cached_property
from typing import Any

_CONTENT_ID = re.compile(r"cid:([^\"'\s)>]+)")


@dataclass(frozen=True)
class Mail:
    """A mail with its envelope; what it says is read from `raw` when it is asked for.

    Attributes:
        sender: of the envelope, likewise `recipients`; the headers may say otherwise.
        raw: the message as it was sent.
    """

    id: int
    received_at: datetime
    sender: str
    recipients: tuple[str, ...]
    raw: bytes

    @cached_property
    def _message(self) -> "EmailMessage[Any, Any]":
        return message_from_bytes(self.raw, policy=policy.default)

    @property
    def subject(self) -> str:
        """The subject, empty when there is none."""
        return str(self._message.get("Subject", ""))

    @property
    def headers(self) -> list[tuple[str, str]]:
        """All headers in their order, decoded."""
        return [(name, str(value)) for name, value in self._message.items()]

    @cached_property
    def text(self) -> str | None:
        """The plain part."""
        return self._body("plain")

    @cached_property
    def html(self) -> str | None:
        """The HTML part as it was sent."""
        return self._body("html")

    @cached_property
    def shown_html(self) -> str | None:
        """The HTML part with its links opening a new page and its own images inside."""
        if self.html is None:
            return None
        images = self._images()
        html = _CONTENT_ID.sub(lambda found: images.get(found[1], found[0]), self.html)
        base = '<base target="_blank">'
        marked, count = re.subn(r"(<head[^>]*>)", rf"\1{base}", html, count=1, flags=re.IGNORECASE)
        return marked if count else base + html

    @property
    def attachments(self) -> list[str]:
        """Names of the attached files."""
        return [part.get_filename() or part.get_content_type() for part in self._message.iter_attachments()]

    @property
    def summary(self) -> dict[str, Any]:
        """For a list, as JSON."""
        return {
            "id": self.id,
            "received_at": self.received_at.isoformat(),
            "from": self.sender,
            "to": list(self.recipients),
            "subject": self.subject,
        }

    @property
    def details(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return self.summary | {
            "text": self.text,
            "html": self.html,
            "headers": self.headers,
            "attachments": self.attachments,
        }

    def _body(self, kind: str) -> str | None:
        part = self._message.get_body(preferencelist=(kind,))
        if part is None:
            return None
        try:
            return str(part.get_content())
        except (LookupError, ValueError):
            # An unknown character set or transfer encoding: show what can be read.
            payload = part.get_payload(decode=True)
            return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else str(payload)

    def _images(self) -> dict[str, str]:
        """Content id to data URL."""
        found: dict[str, str] = {}
        for part in self._message.walk():
            content_id = str(part.get("Content-ID", "")).strip("<> ")
            data = part.get_payload(decode=True)
            if content_id and part.get_content_maintype() == "image" and isinstance(data, bytes):
                found[content_id] = f"data:{part.get_content_type()};base64,{base64.b64encode(data).decode()}"
        return found
