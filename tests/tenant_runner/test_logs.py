"""Lines that are written together: soon, in their order, and none is lost."""

import asyncio
import io
import json
import logging
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from tenant_runner.logs import GatheringHandler
from tests.conftest import wait_for


@pytest.fixture
def pipe() -> io.StringIO:
    """What supervisord would read."""
    return io.StringIO()


@pytest.fixture
def logger(pipe: io.StringIO) -> Iterator[logging.Logger]:
    handler = GatheringHandler(logging.StreamHandler(pipe))
    logger = logging.getLogger("tests.gathered")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)
    handler.close()


async def test_lines_are_written_a_moment_later_in_their_order(logger: logging.Logger, pipe: io.StringIO) -> None:
    logger.info("one")
    logger.info("two")
    assert pipe.getvalue() == ""
    await wait_for(lambda: pipe.getvalue() == "one\ntwo\n")
    logger.info("three")
    await wait_for(lambda: pipe.getvalue() == "one\ntwo\nthree\n")


async def test_a_warning_is_written_at_once_with_what_came_before_it(logger: logging.Logger, pipe: io.StringIO) -> None:
    logger.info("before")
    logger.warning("what is wrong")
    assert pipe.getvalue() == "before\nwhat is wrong\n"


async def test_what_a_thread_says_takes_along_what_was_said_before(logger: logging.Logger, pipe: io.StringIO) -> None:
    logger.info("from the loop")
    await asyncio.to_thread(logger.info, "from a thread")
    await wait_for(lambda: pipe.getvalue() == "from the loop\nfrom a thread\n")


def test_without_an_event_loop_nothing_is_kept(logger: logging.Logger, pipe: io.StringIO) -> None:
    logger.info("started")
    assert pipe.getvalue() == "started\n"


@pytest.mark.parametrize("ending", ["return", "raise SystemExit(3)", "raise RuntimeError('broken')"])
def test_the_last_lines_of_a_process_are_written_however_it_ends(ending: str) -> None:
    program = textwrap.dedent(f"""
        import asyncio, logging, sys
        from tenant_runner.logs import configure_logs

        async def main():
            logging.getLogger("runner").info("the last line")
            {ending}

        configure_logs("INFO", "acme", sys.stdout)
        asyncio.run(main())
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    [line] = [json.loads(line) for line in done.stdout.splitlines()]
    assert (line["message"], line["client_id"], line["level"]) == ("the last line", "acme", "INFO")
