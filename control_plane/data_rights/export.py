"""Everything of a client or of one contact as a zip of JSON, written as a stream: memory never holds it whole.

Names inside the archive are made of digits and letters alone, whatever a name, a number or an address has in it.
"""

import asyncio
import json
import re
import zipfile
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import IO, Any, cast

from control_plane.clients.models import Client
from control_plane.clients.service import view
from control_plane.data_rights.models import Erasure
from control_plane.data_rights.repository import ClientData
from control_plane.database import Document
from control_plane.sessions.models import Session
from control_plane.settings import Settings
from control_plane.web import template_environment

MESSAGES_AT_ONCE = 200
CHUNK = 64 * 1024
# What identifies a document in our database says nothing to anybody else.
_INTERNAL = {"_id", "client_id", "changed"}


class _Pipe:
    """What the zip writes, until it is taken; it cannot seek, so sizes follow each file's content."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        """Keep more."""
        self._written += data
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self, least: int = 0) -> bytes:
        """What was written since the last time, unless that is less than `least` bytes."""
        if len(self._written) < max(least, 1):
            return b""
        taken = bytes(self._written)
        self._written.clear()
        return taken


class Archive:
    """A zip whose bytes are taken while it grows."""

    def __init__(self) -> None:
        self._pipe = _Pipe()
        self._zip = zipfile.ZipFile(cast(IO[bytes], self._pipe), "w", zipfile.ZIP_DEFLATED, compresslevel=6)

    async def add(self, name: str, content: str) -> AsyncIterator[bytes]:
        """One file of which the whole content is there."""
        await asyncio.to_thread(self._zip.writestr, name, content)
        yield self._pipe.take()

    async def add_parts(self, name: str, parts: AsyncIterator[str]) -> AsyncIterator[bytes]:
        """One file that comes in parts."""
        with self._zip.open(zipfile.ZipInfo(name, _now()), "w", force_zip64=True) as file:
            async for part in parts:
                await asyncio.to_thread(file.write, part.encode())
                if chunk := self._pipe.take(CHUNK):
                    yield chunk
        yield self._pipe.take()

    def end(self) -> bytes:
        """The last bytes: the list of what is in it."""
        self._zip.close()
        return self._pipe.take()


def safe_name(text: str) -> str:
    """What may be part of a file's name anywhere: no separators, no dots, no control characters."""
    return re.sub(r"[^0-9A-Za-z]+", "-", text)[:40].strip("-").lower() or "x"


async def export_client(
    client: Client, *, data: ClientData, session: Session, erasures: list[Erasure], settings: Settings
) -> AsyncIterator[bytes]:
    """The zip of all that is known of a client."""
    archive = Archive()
    record = view(client, settings, with_link=False).model_dump(mode="json", exclude={"landing_url"})
    files = {
        "README.txt": _readme(client, None),
        "client.json": _json(record),
        "session.json": _json(session.model_dump(mode="json", exclude={"client_id"})),
        "erasures.json": _json([erasure.model_dump(mode="json") for erasure in erasures]),
    }
    for name, content in files.items():
        async for chunk in archive.add(name, content):
            yield chunk
    async for chunk in archive.add_parts("mails.json", _array(data.mails())):
        yield chunk
    number = 0
    async for chat_id in data.chat_ids():
        number += 1
        async for chunk in _add_chat(archive, number, chat_id, data):
            yield chunk
    yield archive.end()


async def export_contact(client: Client, chat_id: str, *, data: ClientData) -> AsyncIterator[bytes]:
    """The zip of all that is known of one contact, in every chat of theirs."""
    archive = Archive()
    async for chunk in archive.add("README.txt", _readme(client, chat_id)):
        yield chunk
    for number, address in enumerate(await data.addresses_of(chat_id), start=1):
        async for chunk in _add_chat(archive, number, address, data):
            yield chunk
    yield archive.end()


async def _add_chat(archive: Archive, number: int, chat_id: str, data: ClientData) -> AsyncIterator[bytes]:
    name = f"conversations/{number:05}-{safe_name(chat_id)}.json"
    head = {
        "chat_id": chat_id,
        "status": _plain(await data.one("client_conversations", chat_id)),
        "assistant_thread": _plain(await data.one("client_threads", chat_id)),
    }
    async for chunk in archive.add_parts(name, _chat(head, data.messages(chat_id))):
        yield chunk


async def _chat(head: Mapping[str, Any], messages: AsyncIterator[Document]) -> AsyncIterator[str]:
    yield _json(head).rstrip().removesuffix("}").rstrip() + ',\n  "messages": '
    async for part in _array(messages):
        yield part
    yield "}\n"


async def _array(documents: AsyncIterator[Document]) -> AsyncIterator[str]:
    """A JSON array, some documents at a time."""
    separator, batch = "[\n", []
    async for document in documents:
        batch.append(_json(_plain(document)).rstrip())
        if len(batch) == MESSAGES_AT_ONCE:
            yield separator + ",\n".join(batch)
            separator, batch = ",\n", []
    if batch:
        yield separator + ",\n".join(batch)
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


def _plain(document: Document | None) -> Document | None:
    return None if document is None else {k: v for k, v in document.items() if k not in _INTERNAL}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=_say) + "\n"


def _say(value: object) -> str:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)


def _now() -> tuple[int, int, int, int, int, int]:
    now = datetime.now(UTC)
    return (now.year, now.month, now.day, now.hour, now.minute, now.second)


def _readme(client: Client, chat_id: str | None) -> str:
    context = {"client": client, "chat_id": chat_id, "made_at": datetime.now(UTC)}
    return template_environment(client.language).get_template("export/README.txt").render(context).lstrip()
