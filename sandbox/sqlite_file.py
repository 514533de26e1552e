"""SQLite files that only their owner may read."""

import sqlite3
from pathlib import Path


def open_private(file: Path | None, tables: str) -> sqlite3.Connection:
    """Open a file of mode 0600, made if needed, with its tables; None opens one in memory."""
    if file is not None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.chmod(0o600)
    connection = sqlite3.connect(file or ":memory:", check_same_thread=False)
    connection.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; {tables}")
    return connection
