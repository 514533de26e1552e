"""A benchmark that is told to end takes along what it started, whoever tells it and however often."""

import signal
import subprocess
import sys

import pytest

from tests.e2e.installation import REPOSITORY

BENCHMARK = """
import asyncio
from bench import __main__ as bench

async def measure():
    try:
        print("begun", flush=True)
        await asyncio.Event().wait()
    finally:
        print("ending", flush=True)
        await asyncio.to_thread(input)
        print("ended", flush=True)

bench.run = lambda name, options: asyncio.run(measure())
bench.main(["many"])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_benchmark_that_is_told_to_end_cleans_up(number: signal.Signals) -> None:
    process = subprocess.Popen(
        # As a shell's background job, which is born deaf to Ctrl-C.
        ["/bin/sh", "-c", 'trap "" INT; exec "$0" -c "$1"', sys.executable, BENCHMARK],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(number)
    assert process.stdout.readline() == "ending\n"
    if number is signal.SIGTERM:
        process.send_signal(number)
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "ended\n"
    process.communicate(timeout=60)
    assert process.returncode != 0
