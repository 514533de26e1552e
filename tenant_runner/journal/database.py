"""The journal's SQLite file: opened private, durable before anybody is told, one writer at a time."""

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from tenant_runner.journal.schema import MIGRATIONS

logger = logging.getLogger(__name__)

T = TypeVar("T")

# About a thousand pages of the write-ahead log; SQLite by itself folds them in during a commit, which waits for it.
FOLD_COMMITS = 200
# What SQLite does by itself when nobody else could.
LONGEST_LOG_PAGES = 4_000


class JournalTooNew(Exception):
    """The file was written by a newer version of the product."""


class Database:
    """One connection; `transaction` makes several statements one step that survives a crash whole or not at all.

    A statement on a few rows takes some ten microseconds and a commit less than a millisecond, while each visit to a
    thread costs more than either and waits for its turn on a busy machine: so both run where they are called. Whoever
    works for this client waits for its journal anyway. What goes through whole tables runs in a thread.

    Every commit outlives every process. A commit that is not lazy outlives a loss of power too, and makes so whatever
    was committed before it: it waits for the disk, which all runners and the database of one machine share.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        # Held while the thread uses the connection.
        self._in_use = asyncio.Lock()
        self._lock = asyncio.Lock()
        self._holder: asyncio.Task[Any] | None = None
        self._on_many = False
        self._lazy = False
        self._unfolded = 0

    @classmethod
    async def open(cls, path: Path) -> "Database":
        """Open or create the file, readable by its owner alone.

        Raises:
            JournalTooNew: a newer version wrote it; nothing was changed.
        """
        return cls(path, await asyncio.to_thread(_connect, path))

    async def close(self) -> None:
        """Close the file; the write-ahead log is folded in."""
        await self._in_thread(self._connection.close)
        self._thread.shutdown(wait=False)

    @asynccontextmanager
    async def transaction(self, *, lazy: bool = False) -> AsyncIterator[None]:
        """Everything inside is written together; a task may nest it, then the outermost one commits.

        Args:
            lazy: it may be lost with the machine's power, until something that is not lazy follows: for what can be
                found out again, and is told to nobody before.
        """
        task = asyncio.current_task()
        if task is not None and self._holder is task:
            yield
            return
        async with self._lock:
            self._holder, self._on_many = task, False
            try:
                if lazy is not self._lazy:
                    await self._execute(f"PRAGMA synchronous={'NORMAL' if lazy else 'FULL'}")
                    self._lazy = lazy
                await self._execute("BEGIN IMMEDIATE")
                yield
                if self._on_many:
                    await self._in_thread(lambda: self._connection.execute("COMMIT"))
                else:
                    await self._execute("COMMIT")
                self._count_commit()
            except BaseException:
                # After a commit that was cancelled and done all the same there is nothing to take back.
                if self._connection.in_transaction:
                    with suppress(sqlite3.OperationalError):
                        self._connection.execute("ROLLBACK")
                raise
            finally:
                self._holder = None

    def _count_commit(self) -> None:
        """Have what the log holds folded into the file now and then, while everybody goes on reading and writing."""
        self._unfolded += 1
        if self._unfolded >= FOLD_COMMITS:
            self._unfolded = 0
            self._thread.submit(fold_beside, self._path)

    async def _execute(self, sql: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        async with self._in_use:
            return self._connection.execute(sql, values)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        async with self._in_use:
            working = asyncio.get_running_loop().run_in_executor(self._thread, work)
            try:
                return await asyncio.shield(working)
            except asyncio.CancelledError:
                # The thread cannot be stopped, and the connection is nobody else's before it is done.
                await asyncio.wait({working})
                raise

    async def fold_log(self) -> None:
        """Fold the write-ahead log into the file and empty it: until then it holds what was deleted."""
        async with self._lock:
            await self._in_thread(lambda: self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())

    async def run(self, sql: str, *values: Any) -> int:
        """Execute one writing statement; returns the number of rows it changed."""
        async with self.transaction():
            return (await self._execute(sql, values)).rowcount

    async def run_on_many(self, sql: str, *values: Any) -> int:
        """`run` for a statement that may go through whole tables."""
        async with self.transaction():
            self._on_many = True
            return (await self._in_thread(lambda: self._connection.execute(sql, values))).rowcount

    async def insert(self, sql: str, *values: Any) -> int | None:
        """Execute an insert; returns the new row's number, or None when nothing was inserted."""
        async with self.transaction():
            cursor = await self._execute(sql, values)
            return cursor.lastrowid if cursor.rowcount > 0 else None

    async def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a query."""
        return (await self._execute(sql, values)).fetchall()

    async def first(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        rows = await self.rows(sql, *values)
        return rows[0] if rows else None

    async def row(self, sql: str, *values: Any) -> sqlite3.Row:
        """The row of a query that always has one."""
        return (await self.rows(sql, *values))[0]

    async def fact(self, name: str) -> str | None:
        """A remembered value."""
        row = await self.first("SELECT value FROM facts WHERE name = ?", name)
        return None if row is None else str(row["value"])

    async def remember(self, name: str, value: str | None) -> None:
        """Remember a value; None forgets it."""
        if value is None:
            await self.run("DELETE FROM facts WHERE name = ?", name)
        else:
            await self.run("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", name, value)


def _connect(path: Path) -> sqlite3.Connection:
    # The file exists with its mode before SQLite first writes to it; WAL and shm files inherit the mode.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.fchmod(descriptor, 0o600)
    os.close(descriptor)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(f"PRAGMA wal_autocheckpoint={LONGEST_LOG_PAGES}")
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def fold_beside(path: Path) -> None:
    """Fold in what the write-ahead log holds, on a connection of its own: nobody waits for it."""
    try:
        address = f"{path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    except sqlite3.Error as error:
        # Nothing is lost: the log holds it, and is folded in the next time.
        logger.warning("journal's log not folded in", extra={"cause": str(error)})


def _migrate(connection: sqlite3.Connection) -> None:
    version = int(connection.execute("PRAGMA user_version").fetchone()["user_version"])
    if version > len(MIGRATIONS):
        raise JournalTooNew(f"the journal has schema {version}, this version knows {len(MIGRATIONS)}")
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN;{script}PRAGMA user_version={number};COMMIT;")


def now() -> float:
    """Seconds since the epoch, as the journal stores times."""
    return time.time()


def to_datetime(seconds: float) -> datetime:
    """A stored time as an aware datetime."""
    return datetime.fromtimestamp(seconds, UTC)


def marks(values: Iterable[Any]) -> str:
    """As many SQL placeholders as there are values."""
    return ",".join("?" for _ in values)
