"""How fast a long piece of work may go on so that everybody else has their turn."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# What others may have to wait for. Where the database is quick, a step is much, where it is slow, little.
STEP_S = 0.1
REST = 0.5
FIRST, SMALLEST, LARGEST = 100, 20, 5_000


class Pace:
    """Steps of work as large as fit into `STEP_S`, each followed by a rest half as long.

    Attributes:
        size: how many the next step should take, found from the steps before.
    """

    def __init__(self) -> None:
        self.size = FIRST

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Work inside; it ends after the rest."""
        began = time.monotonic()
        yield
        await asyncio.sleep((time.monotonic() - began) * REST)

    @asynccontextmanager
    async def step(self, count: int) -> AsyncIterator[None]:
        """The same, of `count`, from which the next size is found."""
        async with self.turn():
            began = time.monotonic()
            yield
            took_s = time.monotonic() - began
        if took_s > STEP_S:
            self.size = max(self.size // 2, SMALLEST)
        elif took_s < STEP_S / 2 and count >= self.size:
            self.size = min(self.size * 2, LARGEST)
