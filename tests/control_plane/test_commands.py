"""`python -m control_plane …` as an operator types it, with its settings in a private file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from control_plane.accounts.api_keys import ApiKeys, authenticate_key
from control_plane.accounts.repository import Accounts
from control_plane.audit.models import ActorKind, AuditFilter, Outcome
from control_plane.audit.repository import AuditEvents
from control_plane.database import Database
from control_plane.settings import Settings


class Operator:
    """Types commands in the clone."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def type(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FLAME_", "MONGODB"))}
        return subprocess.run(
            [sys.executable, "-m", "control_plane", *arguments],
            env=inherited | {"FLAME_SETTINGS_FILE": str(self.file)} | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture
def operator(settings: Settings, tmp_path: Path) -> Operator:
    assert settings.mongodb_uri is not None
    file = tmp_path / "settings.env"
    file.touch(mode=0o600)
    file.write_text(
        f"MONGODB_URI='{settings.mongodb_uri.get_secret_value()}'\n"
        f"FLAME_DATABASE_NAME='{settings.database_name}'\n"
        f"FLAME_DATA_DIRECTORY='{settings.data_directory}'\n"
    )
    return Operator(file)


async def test_the_admin_and_a_key_are_made_and_shown_once(operator: Operator, database: Database) -> None:
    first = operator.type("create-admin")
    key = operator.type("create-api-key").stdout.split()[-1]
    password = first.stdout.split("Password")[1].split()[0]
    accounts = Accounts(database)
    account = await accounts.get_by_username("admin")
    assert first.returncode == 0, first.stderr
    assert account is not None
    assert account.must_change_password
    made = await authenticate_key(key, keys=ApiKeys(database))
    assert made is not None
    assert (made.scopes, made.client_id) == (None, None)
    await accounts.set_password(account.id, "chosen", must_change_password=False)
    again = operator.type("create-admin")
    assert again.returncode == 0
    assert password not in again.stdout
    assert "--reset" in again.stdout
    events = await AuditEvents(database).list(AuditFilter(), before=None, limit=10)
    acts = [(event.action, event.outcome, event.actor.kind) for event in reversed(events)]
    expected = ["operator.create-admin", "operator.create-api-key"]
    assert acts == [(action, Outcome.DONE, ActorKind.OPERATOR) for action in expected]
    assert all(event.actor.name and event.address for event in events)
    stored = str([document async for document in database["audit_events"].find()])
    assert password not in stored
    assert key not in stored


def test_a_settings_file_that_others_may_read_is_refused(operator: Operator) -> None:
    operator.file.chmod(0o644)
    refused = operator.type("create-admin")
    assert refused.returncode == 1
    assert f"chmod 600 {operator.file}" in refused.stderr


def test_a_setting_that_is_not_valid_is_named_and_not_shown(operator: Operator) -> None:
    refused = operator.type("create-admin", FLAME_PORT="a-secret-typed-in-the-wrong-place")
    assert refused.returncode == 1
    assert "PORT" in refused.stderr
    assert "a-secret" not in refused.stderr


def test_a_database_that_does_not_answer_is_said_without_its_password(operator: Operator) -> None:
    uri = "mongodb://flame:the-password@127.0.0.1:9/?directConnection=true"
    refused = operator.type("create-admin", MONGODB_URI=uri)
    assert refused.returncode == 1
    assert "does not answer" in refused.stderr
    assert "the-password" not in refused.stderr


def test_without_an_address_the_embedded_database_must_be_prepared(operator: Operator, tmp_path: Path) -> None:
    operator.file.write_text(f"FLAME_DATA_DIRECTORY='{tmp_path / 'empty'}'\n")
    refused = operator.type("create-admin")
    assert refused.returncode == 1
    assert "--prepare" in refused.stderr
