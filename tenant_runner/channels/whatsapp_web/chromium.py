"""Chromium's process: started with a socket to speak through, ended with all that it started."""

import asyncio
import logging
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Launched:
    """A Chromium that was started, and our end of the socket to it."""

    process: subprocess.Popen[bytes]
    socket: socket.socket

    def end(self) -> None:
        """End it and all that it started; blocks for a moment. Nothing happens where that was done before."""
        family: list[psutil.Process] = []
        if self.process.returncode is None:
            with suppress(psutil.Error):
                family = psutil.Process(self.process.pid).children(recursive=True)
            self.process.kill()
        for process in family:
            with suppress(psutil.Error):
                process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(END_S)

    def abandon(self) -> None:
        """End it if nobody spoke to it."""
        self.end()
        self.socket.close()
        if self.process.stderr is not None:
            self.process.stderr.close()


def launch(program: Path | None, arguments: Iterable[str]) -> Launched:
    """Start Chromium.

    Args:
        program: None takes the first that is installed.

    Raises:
        BrowserError: there is no Chromium.
    """
    found = program or find_program()
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(
                [*SHELL, str(found), *arguments],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                # What is meant for the runner's group is not meant for it: the runner closes it.
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
    return Launched(process, ours)


class Chromium:
    """A running Chromium and the connection to it."""

    def __init__(
        self, launched: Launched, connection: Connection, stderr: asyncio.StreamReader, pipe: asyncio.BaseTransport
    ) -> None:
        self._launched = launched
        self._stderr = stderr
        self._pipe = pipe
        self._words = b""
        self._listening = asyncio.create_task(self._listen(), name="chromium-stderr")
        self.connection = connection

    @classmethod
    async def take_over(cls, launched: Launched, on_end: Callable[[], None]) -> "Chromium":
        """Speak to one that was started; `on_end` is called once, when it ended."""
        stderr = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(stderr)
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, launched.process.stderr)
        # Whoever started it has nothing to close any more.
        ours = socket.socket(fileno=launched.socket.detach())
        return cls(launched, await Connection.over(ours, on_end), stderr, pipe)

    async def last_words(self) -> str:
        """The line of what it printed that says best why it ended; waits a moment for it to end."""
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._listening), END_S)
        words = self._words.decode(errors="replace").splitlines()
        lines = [line.strip() for line in words if line.strip() and not _NOISE.search(line)]
        return next((line for line in lines if _CAUSE.search(line)), lines[-1] if lines else "it said nothing")

    async def wait(self) -> None:
        """Wait for its end."""
        await asyncio.to_thread(self._launched.process.wait)

    async def kill(self) -> None:
        """End it and all that it started, and let go of everything."""
        await asyncio.to_thread(self._launched.end)
        self.connection.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._listening, END_S)
        self._pipe.close()

    async def _listen(self) -> None:
        # Read for ever: a browser whose words nobody takes would stop at a full pipe.
        while words := await self._stderr.read(LAST_WORDS_BYTES):
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
