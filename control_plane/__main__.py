"""`python -m control_plane COMMAND`: the processes, and the commands that an operator types."""

import argparse
import asyncio
import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError
from pymongo.errors import PyMongoError

from control_plane import embedded_database
from control_plane.key_rotation import KeyNotDropped
from control_plane.keys import KeysFileUnusable
from control_plane.settings import DatabaseNotPrepared, Settings, SettingsFileReadable, load_settings
from control_plane.telemetry import configure_logging
from control_plane.web import TextsNotCompiled

if TYPE_CHECKING:
    from control_plane.database import Database

logger = logging.getLogger(__name__)
T = TypeVar("T")

# What an operator can mend; each message says how.
EXPECTED = (
    DatabaseNotPrepared,
    SettingsFileReadable,
    KeysFileUnusable,
    KeyNotDropped,
    TextsNotCompiled,
    embedded_database.EmbeddedDatabaseError,
)


def _serve(settings: Settings) -> None:
    import uvicorn

    from control_plane.app import create_app
    from control_plane.http.server import server_config

    server = uvicorn.Server(server_config(create_app(settings), settings, timeout_graceful_shutdown=5))
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(1)


def _schedule(settings: Settings) -> None:
    from control_plane.scheduler import run

    run(settings)


def _database(settings: Settings, *, prepare: bool) -> None:
    if prepare:
        embedded_database.prepare(settings.database_directory, port=settings.database_port)
    else:
        embedded_database.run(settings.database_directory)


async def _with_database(settings: Settings, command: str, action: Callable[["Database"], Awaitable[T]]) -> T:
    from control_plane.audit.service import as_operator
    from control_plane.database import connect, ensure_indexes

    async with connect(settings) as client:
        database = client[settings.database_name]
        await ensure_indexes(database)
        async with as_operator(command, database=database) as act:
            result = await action(database)
            if result is None:
                # There was nothing to do: `scripts/start` asks each time.
                act.ignore()
            return result


def _create_admin(settings: Settings, *, reset: bool) -> None:
    from control_plane.accounts.repository import Accounts
    from control_plane.accounts.service import ADMIN, create_admin

    async def create(database: "Database") -> str | None:
        return await create_admin(accounts=Accounts(database), reset=reset)

    password = asyncio.run(_with_database(settings, "create-admin", create))
    print(f"User        {ADMIN}")  # noqa: T201
    if password is None:
        print("Password    the one you chose; forgotten: .venv/bin/python -m control_plane create-admin --reset")  # noqa: T201
    else:
        print(f"Password    {password}   (for one log-in: you choose your own then)")  # noqa: T201


def _create_api_key(settings: Settings) -> None:
    from control_plane.accounts.api_keys import ApiKeys, create_api_key

    async def create(database: "Database") -> str:
        return await create_api_key(keys=ApiKeys(database))

    key = asyncio.run(_with_database(settings, "create-api-key", create))
    print("An API key of the agency for everything, for the header X-Api-Key; it is shown this once:")  # noqa: T201
    print(key)  # noqa: T201


def _rotate_keys(settings: Settings, *, check: bool, drop: str | None) -> bool:
    """Returns whether every secret is readable."""
    from control_plane import key_rotation
    from control_plane.database import connect
    from control_plane.security import Cipher, open_cipher

    async def work(cipher: Cipher) -> tuple[list[str], bool]:
        async with connect(settings) as client:
            database = client[settings.database_name]
            if drop is not None:
                await key_rotation.drop(drop, database, cipher)
            done = None if check or drop else await key_rotation.rotate(database, cipher, settings)
            found = await key_rotation.survey(database, cipher)
        if done is None:
            return key_rotation.say_survey(found, cipher, settings), not found.lost
        return key_rotation.say_rotation(done, found, cipher, settings), not found.lost

    lines, whole = asyncio.run(work(open_cipher(settings)))
    print(*lines, sep="\n")  # noqa: T201
    return whole


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
    commands.add_parser("create-api-key", help="make a key of the agency, for everything, for the JSON API")
    rotation = commands.add_parser("rotate-keys", help="put a new encryption key on top and every secret under it")
    what = rotation.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="only say what each key protects and what is lost")
    what.add_argument("--drop", metavar="KEYID", help="take a key out that protects nothing any more")
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
            case "rotate-keys":
                return 0 if _rotate_keys(settings, check=given.check, drop=given.drop) else 1
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
