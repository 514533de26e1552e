"""`python -m tenant_runner serve|purge|backup --client <id>`.

What is loaded here is little: all else takes the better part of a second, and the browser starts meanwhile.
"""

import signal
import sys

if __name__ == "__main__":
    # supervisord's word to stop (see `serve`) would be lost during the second that the imports take.
    signal.signal(signal.SIGWINCH, lambda *_: sys.exit(0))

import argparse
import gc
import json
import logging
import os
import re
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from tenant_runner.channels.whatsapp_web.browser import PROFILE, Begun, ProfileInUse, begin
from tenant_runner.channels.whatsapp_web.devtools import BrowserError
from tenant_runner.logs import configure_logs
from tenant_runner.only_process import AlreadyRunning, CannotStart, only_process
from tenant_runner.settings import CREDENTIALS_FILE, RunnerSettings

logger = logging.getLogger(__name__)

EXIT_CANNOT_START = 1
EXIT_ALREADY_RUNNING = 3
# A predecessor that was told to stop takes up to ten seconds.
LOCK_WAIT_S = {"serve": 10.0, "purge": 1.0}


def _client_id(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]{1,32}", text):
        raise argparse.ArgumentTypeError("1 to 32 of a-z and 0-9")
    return text


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tenant_runner", description="One client's runner.")
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="run until told to stop")
    purging = commands.add_parser("purge", help="delete what is past its time; for when the runner does not run")
    copying = commands.add_parser("backup", help="copy journal and profile, also while the runner runs")
    copying.add_argument("--to", required=True, type=Path, help="a new directory")
    for command in (serving, purging, copying):
        command.add_argument("--client", required=True, type=_client_id, help="the client's id")
    what = purging.add_mutually_exclusive_group(required=True)
    what.add_argument("--before", type=_time, help="ISO time; what was last active before it is deleted")
    what.add_argument("--everything", action="store_true", help="delete all")
    purging.add_argument("--chats", action="store_true", help="only the chats whose ids are lines of standard input")
    return parser.parse_args(arguments)


def _begin_browser(directory: Path, chromium: Path | None) -> Begun | None:
    """Start the browser that the channel will open, if `runner.json` has what that takes.

    What is wrong with the file, the profile or the browser is found again, and said, by who needs them.
    """
    try:
        arguments = json.loads((directory / CREDENTIALS_FILE).read_bytes()).get("browser_arguments")
        return None if arguments is None else begin(directory / PROFILE, chromium=chromium, arguments=tuple(arguments))
    except (OSError, ValueError, AttributeError, TypeError, ProfileInUse, BrowserError):
        return None


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    given = _parse(arguments)
    # The browser's profile is as good as a password; nothing that this process writes is for anybody else.
    os.umask(0o077)
    # The purge's standard output is its report and nothing else.
    stream = sys.stdout if given.command == "serve" else sys.stderr
    configure_logs("INFO", given.client, stream)
    try:
        settings = RunnerSettings.read()
        logging.getLogger().setLevel(settings.log_level)
        directory = settings.client_directory(given.client)
        with ExitStack() as held:
            if given.command in LOCK_WAIT_S:
                held.enter_context(only_process(directory, LOCK_WAIT_S[given.command]))
            begun = _begin_browser(directory, settings.chromium) if given.command == "serve" else None
            if begun is not None:
                held.callback(begun.launched.abandon)
            from tenant_runner.commands import run

            return run(given, settings, begun)
    except AlreadyRunning as error:
        logger.error("client has a runner already", extra={"cause": str(error)})
        return EXIT_ALREADY_RUNNING
    except CannotStart as error:
        logger.error("runner cannot start", extra={"cause": str(error)})
        return EXIT_CANNOT_START


if __name__ == "__main__":
    code = main()
    # Looking through everything that is loaded once more takes 0.2 s, in which a successor waits.
    gc.freeze()
    sys.exit(code)
