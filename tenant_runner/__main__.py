"""`python -m tenant_runner serve|purge|backup --client <id>`."""

import signal
import sys

if __name__ == "__main__":
    # supervisord's word to stop (see `serve`) would be lost during the second that the imports take.
    signal.signal(signal.SIGWINCH, lambda *_: sys.exit(0))

import argparse
import asyncio
import logging
import os
import re
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from tenant_runner.assistants import ASSISTANTS
from tenant_runner.assistants.base import Assistant
from tenant_runner.backup import copy_files
from tenant_runner.channels.whatsapp_web.profile_copy import CopyFailed
from tenant_runner.contract import PurgeReport, RunnerCredentials
from tenant_runner.control_plane_client import ControlPlaneAway, ControlPlaneClient, Replaced
from tenant_runner.credentials import AlreadyRunning, CannotStart, only_process, read_credentials
from tenant_runner.journal import Journal
from tenant_runner.logs import configure_logs
from tenant_runner.purge import erase, purge
from tenant_runner.serve import JOURNAL_FILE, serve
from tenant_runner.settings import RunnerSettings

logger = logging.getLogger(__name__)

EXIT_CANNOT_START = 1
EXIT_ALREADY_RUNNING = 3
# For supervisord an end like that of a wrong configuration (78): two processes must not push each other out for ever.
EXIT_REPLACED = 79
PURGE_BUDGET_S = 120.0
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


async def _purge(
    settings: RunnerSettings, credentials: RunnerCredentials, before: datetime | None, chat_ids: tuple[str, ...]
) -> PurgeReport:
    path = settings.client_directory(credentials.client_id) / JOURNAL_FILE
    if not await asyncio.to_thread(path.exists):
        return PurgeReport()
    journal = await Journal.open(path)
    client = ControlPlaneClient(credentials)
    assistant: Assistant | None = None
    try:
        try:
            config = await client.fetch_config()
            assistant = ASSISTANTS[config.assistant.kind](config.assistant, journal.threads)
        except ControlPlaneAway as error:
            logger.warning("provider's key not received", extra={"cause": str(error)})
        if chat_ids:
            return await erase(journal, assistant, chat_ids, before, budget_s=PURGE_BUDGET_S)
        return await purge(journal, assistant, before, budget_s=PURGE_BUDGET_S)
    finally:
        if assistant is not None:
            await assistant.close()
        await client.close()
        await journal.close()


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    given = _parse(arguments)
    # The browser's profile is as good as a password; nothing that this process writes is for anybody else.
    os.umask(0o077)
    settings = RunnerSettings()
    directory = settings.client_directory(given.client)
    # The purge's standard output is its report and nothing else.
    configure_logs(settings.log_level, given.client, sys.stdout if given.command == "serve" else sys.stderr)
    try:
        if given.command == "backup":
            copy_files(directory, given.to)
            return 0
        credentials = read_credentials(directory, given.client)
        with only_process(directory, LOCK_WAIT_S[given.command]):
            if given.command == "serve":
                asyncio.run(serve(settings, credentials))
            else:
                # Ids are phone numbers: a command line is for everybody on the machine to read.
                chat_ids = tuple(sys.stdin.read().split()) if given.chats else ()
                if given.chats and not chat_ids:
                    raise CannotStart("no chat was named: nothing is erased")
                report = asyncio.run(_purge(settings, credentials, given.before, chat_ids))
                sys.stdout.write(report.model_dump_json() + "\n")
    except AlreadyRunning as error:
        logger.error("client has a runner already", extra={"cause": str(error)})
        return EXIT_ALREADY_RUNNING
    except (OSError, sqlite3.Error, CopyFailed) as error:
        logger.error("files not copied", extra={"cause": str(error) or type(error).__name__})
        return EXIT_CANNOT_START
    except Replaced as error:
        logger.warning("runner was replaced", extra={"cause": str(error)})
        return EXIT_REPLACED
    except CannotStart as error:
        logger.error("runner cannot start", extra={"cause": str(error)})
        return EXIT_CANNOT_START
    return 0


if __name__ == "__main__":
    sys.exit(main())
