"""`python -m control_plane COMMAND`: the processes, and the commands that an operator types."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import ValidationError
from pymongo.errors import PyMongoError

from control_plane import embedded_database
from control_plane.security import KeysFileUnusable
from control_plane.settings import DatabaseNotPrepared, Settings, SettingsFileReadable, load_settings
from control_plane.telemetry import configure_logging
from control_plane.web import TextsNotCompiled

logger = logging.getLogger(__name__)
T = TypeVar("T")

# What an operator can mend; each message says how.
EXPECTED = (
    DatabaseNotPrepared,
    SettingsFileReadable,
    KeysFileUnusable,
    TextsNotCompiled,
    embedded_database.EmbeddedDatabaseError,
)


def _serve(settings: Settings) -> None:
    import uvicorn

    from control_plane.app import create_app

    # The request log is ours: uvicorn's would hold landing links.
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )


def _schedule(settings: Settings) -> None:
    from control_plane.scheduler import run

    run(settings)


def _database(settings: Settings, *, prepare: bool) -> None:
    if prepare:
        embedded_database.prepare(settings.database_directory, port=settings.database_port)
    else:
        embedded_database.run(settings.database_directory)


async def _with_accounts(settings: Settings, action: Callable[..., Awaitable[T]], **arguments: object) -> T:
    from control_plane.accounts.repository import Accounts
    from control_plane.audit.service import as_operator
    from control_plane.database import connect, ensure_indexes

    async with connect(settings) as client:
        database = client[settings.database_name]
        await ensure_indexes(database)
        async with as_operator(action.__name__.replace("_", "-"), database=database) as act:
            result = await action(accounts=Accounts(database), **arguments)
            if result is None:
                # There was nothing to do: `scripts/start` asks each time.
                act.ignore()
            return result


def _create_admin(settings: Settings, *, reset: bool) -> None:
    from control_plane.accounts.service import ADMIN, create_admin

    password = asyncio.run(_with_accounts(settings, create_admin, reset=reset))
    print(f"User        {ADMIN}")  # noqa: T201
    if password is None:
        print("Password    the one you chose; forgotten: .venv/bin/python -m control_plane create-admin --reset")  # noqa: T201
    else:
        print(f"Password    {password}   (for one log-in: you choose your own then)")  # noqa: T201


def _create_api_key(settings: Settings) -> None:
    from control_plane.accounts.service import create_api_key

    print("An API key for the header X-Api-Key; it is shown this once:")  # noqa: T201
    print(asyncio.run(_with_accounts(settings, create_api_key)))  # noqa: T201


def _print_permissions() -> None:
    from control_plane.permissions import describe

    print(describe(), end="")  # noqa: T201


def main() -> int:
    """Run one command; 0 when it did what it should, 1 with the reason on standard error otherwise."""
    parser = argparse.ArgumentParser(prog="python -m control_plane", description="Flame Assistant's control plane.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("serve", help="the portal, the landing pages and the APIs")
    commands.add_parser("scheduler", help="starts and stops runners, sends mail, cleans up")
    database = commands.add_parser("database", help="the embedded database, to try the platform with")
    database.add_argument("--prepare", action="store_true", help="only make its user and address")
    admin = commands.add_parser("create-admin", help="make the admin's account with a one-time password")
    admin.add_argument("--reset", action="store_true", help="give it a new one-time password")
    commands.add_parser("create-api-key", help="make a key for the admin's JSON API")
    commands.add_parser("permissions", help="print the table of who may do what, as docs/permissions.md")
    given = parser.parse_args()

    try:
        settings = load_settings()
        if given.command in {"serve", "scheduler", "database"}:
            configure_logging(settings.log_level)
        match given.command:
            case "serve":
                _serve(settings)
            case "scheduler":
                _schedule(settings)
            case "database":
                _database(settings, prepare=given.prepare)
            case "create-admin":
                _create_admin(settings, reset=given.reset)
            case "create-api-key":
                _create_api_key(settings)
            case "permissions":
                _print_permissions()
    except EXPECTED as error:
        print(f"{given.command}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except ValidationError as error:
        # Which setting and why, never its value: it may be a password.
        causes = "; ".join(
            f"{'.'.join(map(str, item['loc'])).upper()} {item['msg']}".strip() for item in error.errors()
        )
        print(f"{given.command}: a setting is not valid: {causes}", file=sys.stderr)  # noqa: T201
        return 1
    except PyMongoError as error:
        print(f"{given.command}: the database does not answer ({type(error).__name__})", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
