"""The memory of a runner's process tree: measured, told, and brought down when nobody waits."""

import os
import subprocess
import sys

import psutil
import pytest

from tenant_runner.memory import MEGABYTE, RECYCLE_GAP_S, MemoryWatch, measure_tree

EATER = "import sys, time; data = bytearray(b'x') * (80 * 1048576); print('ready', flush=True); time.sleep(300)"


class Runner:
    """What a memory watch has around it."""

    def __init__(self, limit_mb: int | None) -> None:
        self.limit_mb = limit_mb
        self.used_mb = 0
        self.idle = True
        self.recycled = 0
        self.watch = MemoryWatch(
            limit_mb=lambda: self.limit_mb,
            idle=self.is_idle,
            recycle=self.recycle,
            measure=lambda: self.used_mb * MEGABYTE,
        )

    async def is_idle(self) -> bool:
        return self.idle

    async def recycle(self) -> None:
        self.recycled += 1

    async def uses(self, megabytes: int, at: float) -> None:
        self.used_mb = megabytes
        await self.watch.look(at)


def test_the_whole_tree_is_measured() -> None:
    alone = measure_tree()
    with subprocess.Popen([sys.executable, "-c", EATER], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            both = measure_tree()
            assert both - alone > 80 * MEGABYTE
            assert abs(measure_tree(psutil.Process(os.getpid())) - both) < 20 * MEGABYTE
        finally:
            child.kill()


async def test_over_the_limit_the_browser_begins_anew_once_nobody_waits() -> None:
    runner = Runner(limit_mb=500)
    await runner.uses(499, at=0)
    assert (runner.recycled, runner.watch.bytes) == (0, 499 * MEGABYTE)
    runner.idle = False
    await runner.uses(600, at=30)
    assert runner.recycled == 0
    runner.idle = True
    await runner.uses(600, at=60)
    assert runner.recycled == 1


async def test_beginning_anew_happens_once_in_a_while_even_if_it_does_not_help() -> None:
    runner = Runner(limit_mb=500)
    for second in range(0, int(RECYCLE_GAP_S), 30):
        await runner.uses(600, at=second)
    assert runner.recycled == 1
    await runner.uses(600, at=RECYCLE_GAP_S + 1)
    assert runner.recycled == 2


@pytest.mark.parametrize("used_mb", [100, 100_000])
async def test_without_a_limit_memory_is_only_told(used_mb: int) -> None:
    runner = Runner(limit_mb=None)
    await runner.uses(used_mb, at=0)
    assert (runner.recycled, runner.watch.bytes) == (0, used_mb * MEGABYTE)
