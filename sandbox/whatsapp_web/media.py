"""Files of messages, as WhatsApp's servers keep them for the devices: whoever knows the address gets the file."""

import base64
import hashlib
import os
import re
import secrets
import time
from pathlib import Path
from typing import Any

PREFIX = "/mms/"
MAX_BYTES = 100 * 2**20
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class MediaFiles:
    """Files in a directory of their own, readable by its owner alone."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory

    def put(self, data: bytes) -> dict[str, Any]:
        """Keep a file.

        Returns:
            What a message says of it: where it is, its hashes and keys, its size.
        """
        token = secrets.token_urlsafe(32)
        descriptor = os.open(self._directory / token, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        # There is no encryption: the key and the hash of the encrypted file are there because clients pass them on.
        return {
            "directPath": f"{PREFIX}{token}",
            "filehash": base64.b64encode(hashlib.sha256(data).digest()).decode(),
            "encFilehash": base64.b64encode(secrets.token_bytes(32)).decode(),
            "mediaKey": base64.b64encode(secrets.token_bytes(32)).decode(),
            "mediaKeyTimestamp": int(time.time()),
            "size": len(data),
        }

    def find(self, path: str) -> Path | None:
        """The file at an address; None if there is none, or none any more."""
        token = path.removeprefix(PREFIX)
        if not _TOKEN.fullmatch(token) or not (file := self._directory / token).is_file():
            return None
        return file

    def delete(self, path: str) -> None:
        """Forget a file; unknown ones are forgotten already."""
        if file := self.find(path):
            file.unlink()
