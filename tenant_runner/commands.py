"""What a runner's process can be told to do."""

import argparse
import asyncio
import logging
import sqlite3
import sys
from datetime import datetime

from tenant_runner.assistants import ASSISTANTS
from tenant_runner.assistants.base import Assistant
from tenant_runner.backup import copy_files
from tenant_runner.channels.whatsapp_web.browser import Begun
from tenant_runner.channels.whatsapp_web.profile_copy import CopyFailed
from tenant_runner.contract import PurgeReport, RunnerCredentials
from tenant_runner.control_plane_client import ControlPlaneAway, ControlPlaneClient, Replaced
from tenant_runner.credentials import read_credentials
from tenant_runner.journal import Journal
from tenant_runner.only_process import CannotStart
from tenant_runner.purge import erase, purge
from tenant_runner.serve import JOURNAL_FILE, serve
from tenant_runner.settings import RunnerSettings

logger = logging.getLogger(__name__)

EXIT_CANNOT_COPY = 1
# For supervisord an end like that of a wrong configuration (78): two processes must not push each other out for ever.
EXIT_REPLACED = 79
PURGE_BUDGET_S = 120.0


def run(given: argparse.Namespace, settings: RunnerSettings, begun: Begun | None) -> int:
    """Run a command; returns the exit code.

    Args:
        given: the command line.
        begun: the browser that was started for `serve`, if any.

    Raises:
        CannotStart: nothing was done.
    """
    directory = settings.client_directory(given.client)
    try:
        if given.command == "backup":
            copy_files(directory, given.to)
            return 0
        credentials = read_credentials(directory, given.client)
        if given.command == "serve":
            asyncio.run(serve(settings, credentials, begun))
            return 0
        # Ids are phone numbers: a command line is for everybody on the machine to read.
        chat_ids = tuple(sys.stdin.read().split()) if given.chats else ()
        if given.chats and not chat_ids:
            raise CannotStart("no chat was named: nothing is erased")
        report = asyncio.run(_purge(settings, credentials, given.before, chat_ids))
        sys.stdout.write(report.model_dump_json() + "\n")
    except (OSError, sqlite3.Error, CopyFailed) as error:
        logger.error("files not copied", extra={"cause": str(error) or type(error).__name__})
        return EXIT_CANNOT_COPY
    except Replaced as error:
        logger.warning("runner was replaced", extra={"cause": str(error)})
        return EXIT_REPLACED
    return 0


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
