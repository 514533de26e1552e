"""Chromium's process: started with a socket to speak through, ended with all that it started."""

import asyncio
import logging
import re
import shutil
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from tenant_runner.channels.whatsapp_web.devtools import BrowserError, Connection

logger = logging.getLogger(__name__)

# Looked for where none is named; a headless shell takes less memory, and Debian's is a script unless named like this.
PROGRAMS = (
    "/usr/lib/chromium/chromium-headless-shell",
    *("chrome-headless-shell", "chromium", "chromium-browser", "google-chrome-stable", "google-chrome"),
)
# Chromium reads from 3 and writes to 4. Only the shell can give out just those without code between fork and exec.
SHELL = ("/bin/sh", "-c", 'exec "$@" 3<&0 4>&0 </dev/null', "chromium")
LAST_WORDS_BYTES = 8192
END_S = 2.0

# Said with every start where there is no desktop.
_NOISE = re.compile(r":ERROR:dbus/")
_CAUSE = re.compile(r"error while loading|:FATAL:|: not found|: Permission denied|cannot execute|No usable sandbox")


class Chromium:
    """A running Chromium and the connection to it."""

    def __init__(self, process: asyncio.subprocess.Process, connection: Connection) -> None:
        self._process = process
        self._words = b""
        self._listening = asyncio.create_task(self._listen(), name="chromium-stderr")
        self.connection = connection

    @classmethod
    async def start(cls, program: Path | None, arguments: Iterable[str], on_end: Callable[[], None]) -> "Chromium":
        """Start it.

        Args:
            program: None takes the first that is installed.
            on_end: called once, when it ended.

        Raises:
            BrowserError: there is no Chromium.
        """
        ours, theirs = socket.socketpair()
        connection = await Connection.over(ours, on_end)
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *SHELL,
                    str(program or find_program()),
                    *arguments,
                    stdin=theirs.fileno(),
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.PIPE,
                    # What is meant for the runner's group is not meant for it: the runner closes it.
                    start_new_session=True,
                )
        except BaseException:
            connection.close()
            raise
        return cls(process, connection)

    async def last_words(self) -> str:
        """The line of what it printed that says best why it ended; waits a moment for it to end."""
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._listening), END_S)
        words = self._words.decode(errors="replace").splitlines()
        lines = [line.strip() for line in words if line.strip() and not _NOISE.search(line)]
        return next((line for line in lines if _CAUSE.search(line)), lines[-1] if lines else "it said nothing")

    async def wait(self) -> None:
        """Wait for its end."""
        await self._process.wait()

    async def kill(self) -> None:
        """End it and all that it started, and let go of everything."""
        family: list[psutil.Process] = []
        if self._process.returncode is None:
            with suppress(psutil.Error):
                family = await asyncio.to_thread(psutil.Process(self._process.pid).children, recursive=True)
            with suppress(ProcessLookupError):
                self._process.kill()
        for process in family:
            with suppress(psutil.Error):
                process.kill()
        self.connection.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await asyncio.gather(self._process.wait(), self._listening)
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self) -> None:
        # Read for ever: a browser whose words nobody takes would stop at a full pipe.
        while self._process.stderr is not None and (words := await self._process.stderr.read(LAST_WORDS_BYTES)):
            self._words = (self._words + words)[-LAST_WORDS_BYTES:]


def find_program() -> Path:
    """An installed Chromium.

    Raises:
        BrowserError: there is none.
    """
    found = next((path for path in map(shutil.which, PROGRAMS) if path), None)
    if found is None:
        raise BrowserError("no Chromium is installed; ./scripts/setup installs one, FLAME_CHROMIUM names one")
    return Path(found)
