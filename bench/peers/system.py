"""What every compared system can be told, whatever it is made of."""

from pathlib import Path
from typing import Protocol

import psutil

DEADLINE_S = 180.0
"""For a code, a log-in or a restart; who takes longer is reported as failed."""


class SystemFailed(Exception):
    """It did not do what it was told; says what."""


class System(Protocol):
    """A system under measurement, with a sandbox of its own. Clients are known by names that the bench gives them.

    Attributes:
        name: in results and reports.
        sandbox: address of its sandbox's HTTP side.
    """

    name: str

    @property
    def sandbox(self) -> str: ...

    async def open(self) -> None:
        """Start what is there before the first client."""

    async def close(self) -> None:
        """End everything; no process is left."""

    async def start(self, client: str) -> None:
        """Have a new client started, without waiting for anything."""

    async def wait_for_code(self, client: str) -> str:
        """Wait until its user can see a QR code; returns what it says."""

    async def wait_until_working(self, client: str) -> None:
        """Wait until its user is told that it works, after `start` or `restart`."""

    async def restart(self, client: str) -> None:
        """Have a client that works restarted in the orderly way."""

    def began_at(self, client: str) -> float:
        """When the process of a client that works (where clients share one: its session) began; seconds since 1970."""

    def processes(self) -> list[psutil.Process]:
        """Every process of the system, its sandbox perhaps among them."""

    def directory(self, client: str) -> Path:
        """Where everything is that the client keeps on disk."""
