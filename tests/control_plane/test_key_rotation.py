"""New keys on top, old ones dropped, lost ones named: on the database, and as the operator types it."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

import control_plane
from control_plane import key_rotation
from control_plane.clients import service
from control_plane.clients.models import Client, NewClient
from control_plane.clients.repository import Clients
from control_plane.clients.stored_secrets import API_KEY, RUNNER_TOKEN, read_api_key, read_runner_token
from control_plane.database import Database, ensure_indexes
from control_plane.files import make_private_directory, write_private
from control_plane.key_rotation import SECRET_FIELDS, KeyNotDropped
from control_plane.keys import Key, Keys, KeysFileUnusable
from control_plane.security import CannotDecrypt, Cipher, hash_token, open_cipher
from control_plane.settings import Environment, Settings
from tenant_runner.contract import RunnerCredentials
from tests.control_plane.site import change
from tests.control_plane.test_commands import Operator, operator

__all__ = ["operator"]

API_KEYS = ("sk-one-aaaabbbbccccdddd", "sk-two-aaaabbbbccccdddd")


@pytest.fixture
def house_settings(settings: Settings) -> Settings:
    # Nobody listens there: the key is stored unchecked.
    nowhere = Environment(name="nowhere", label="Nowhere", openai_base_url="http://127.0.0.1:9/v1")
    return change(settings, environments=(nowhere,))


class House:
    """An installation's database and keys, with two clients."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        self.cipher = open_cipher(settings)
        self.clients = Clients(database)
        self.tokens: list[str] = []
        self.ids: list[str] = []

    async def furnish(self) -> None:
        for name, api_key in zip(("Uno", "Dos"), API_KEYS, strict=True):
            assistant: Any = {"kind": "openai", "api_key": api_key}
            new = NewClient(name=name, email="ana@example.com", assistant=assistant)
            client = await service.create_client(new, clients=self.clients, cipher=self.cipher, settings=self.settings)
            self.ids.append(client.id)
            self.tokens.append(read_runner_token(client, self.cipher))

    async def stored(self) -> list[Client]:
        clients = [await self.clients.get(client_id) for client_id in self.ids]
        assert None not in clients
        return [client for client in clients if client is not None]

    async def rotate(self) -> key_rotation.Rotation:
        return await key_rotation.rotate(self.database, open_cipher(self.settings), self.settings)

    async def survey(self) -> key_rotation.Survey:
        return await key_rotation.survey(self.database, open_cipher(self.settings))

    async def check_secrets(self, cipher: Cipher) -> None:
        stored = await self.stored()
        assert [read_runner_token(client, cipher) for client in stored] == self.tokens
        assert [read_api_key(client, cipher) for client in stored] == list(API_KEYS)

    def lose_the_keys(self) -> None:
        self.settings.keys_file.unlink()

    def write_runner_file(self, number: int) -> None:
        directory = self.settings.clients_directory / self.ids[number]
        make_private_directory(directory)
        document = {"client_id": self.ids[number], "control_plane_url": "http://127.0.0.1:1", "port": 3001}
        write_private(
            directory / "runner.json",
            RunnerCredentials(token=SecretStr(self.tokens[number]), **document)
            .model_dump_json()
            .replace("**********", self.tokens[number]),
        )


@pytest.fixture
async def house(house_settings: Settings, database: Database) -> House:
    await ensure_indexes(database)
    house = House(house_settings, database)
    await house.furnish()
    return house


async def test_everything_goes_under_a_new_key_and_running_processes_read_it(house: House) -> None:
    old = house.cipher.keys.list()[0].id
    done = await house.rotate()
    found = await house.survey()
    assert (done.renewed, done.kept, found.lost) == (4, 0, [])
    assert done.added not in (None, old)
    assert found.protected == {done.added: 4}
    # The cipher of a process that was running all the time, and one that has the new key alone.
    await house.check_secrets(house.cipher)
    await key_rotation.drop(old, house.database, open_cipher(house.settings))
    assert [key.id for key in house.cipher.keys.list()] == [done.added]
    await house.check_secrets(open_cipher(house.settings))


async def test_a_rotation_that_was_interrupted_is_finished_and_not_begun_anew(house: House) -> None:
    await house.rotate()
    keys = Keys(house.settings)
    with keys.changing():
        added = keys.add().id
    # It died after the first of four.
    first = (await house.stored())[0]
    renewed = open_cipher(house.settings).renew(first.runner_token_encrypted, f"clients/{first.id}/{RUNNER_TOKEN}")
    await house.database["clients"].update_one({"_id": first.id}, {"$set": {RUNNER_TOKEN: renewed}})
    done = await house.rotate()
    assert (done.added, done.renewed, done.kept) == (None, 3, 1)
    assert (await house.survey()).protected == {added: 4}
    await house.check_secrets(house.cipher)


async def test_a_key_that_something_needs_is_not_dropped(house: House) -> None:
    old = house.cipher.keys.list()[0].id
    keys = Keys(house.settings)
    with keys.changing():
        added = keys.add().id
    for key_id, reason in [(old, "protects 4 secrets"), (added, "encrypts"), ("00000000", "there is no key")]:
        with pytest.raises(KeyNotDropped, match=reason):
            await key_rotation.drop(key_id, house.database, open_cipher(house.settings))
    await house.check_secrets(house.cipher)


async def test_what_an_older_version_stored_is_bound_to_its_place_by_a_rotation(house: House) -> None:
    fernet = Fernet(house.settings.keys_file.read_text().strip())
    for client_id, token, api_key in zip(house.ids, house.tokens, API_KEYS, strict=True):
        old = {
            RUNNER_TOKEN: fernet.encrypt(token.encode()).decode(),
            API_KEY: fernet.encrypt(api_key.encode()).decode(),
        }
        await house.database["clients"].update_one({"_id": client_id}, {"$set": old})
    await house.check_secrets(house.cipher)
    assert (await house.survey()).old_form == 4
    assert (await house.rotate()).renewed == 4
    assert (await house.survey()).old_form == 0
    await house.check_secrets(house.cipher)
    # One client's key in the other's record opens nothing.
    one, two = await house.stored()
    swapped = {"$set": {API_KEY: one.assistant.api_key_encrypted}}  # type: ignore[union-attr]
    await house.database["clients"].update_one({"_id": two.id}, swapped)
    with pytest.raises(CannotDecrypt):
        read_api_key((await house.stored())[1], house.cipher)


async def test_a_secret_that_is_written_during_a_rotation_is_not_overwritten(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = house.ids[0]
    written = house.cipher.encrypt("sk-new-aaaabbbb", f"clients/{one}/{API_KEY}")
    replace = key_rotation._replace

    async def replace_late(secret: Any, values: dict[str, Any], database: Database, **more: Any) -> bool:
        if (secret.id, secret.field.path) == (one, API_KEY):
            await database["clients"].update_one({"_id": one}, {"$set": {API_KEY: written}})
        return await replace(secret, values, database, **more)

    monkeypatch.setattr(key_rotation, "_replace", replace_late)
    assert (await house.rotate()).renewed == 3
    assert read_api_key((await house.stored())[0], house.cipher) == "sk-new-aaaabbbb"


async def test_a_lost_key_is_said_with_what_is_lost_and_tokens_are_mended(house: House) -> None:
    house.write_runner_file(0)
    house.lose_the_keys()
    fresh = open_cipher(house.settings)
    lost = await key_rotation.survey(house.database, fresh)
    said = "\n".join(key_rotation.say_survey(lost, fresh, house.settings))
    assert len(lost.lost) == 4
    for client_id, name in zip(house.ids, ("Uno", "Dos"), strict=True):
        assert f"{client_id} ({name}): its OpenAI key; write it again at " in said
        assert f"/admin/clients/{client_id}/edit" in said
    done = await house.rotate()
    one, two = await house.stored()
    cipher = open_cipher(house.settings)
    assert {secret.id for secret in done.mended} == set(house.ids)
    # The first runner's file still has its token: nothing happens to the runner. The second gets a new one.
    assert read_runner_token(one, cipher) == house.tokens[0]
    assert one.restarts == 0
    assert read_runner_token(two, cipher) != house.tokens[1]
    assert (hash_token(read_runner_token(two, cipher)), two.restarts) == (two.runner_token_hash, 1)
    assert [secret.field.path for secret in (await house.survey()).lost] == [API_KEY, API_KEY]
    # Safe to repeat: nothing is mended twice.
    assert (await house.rotate()).mended == []


async def test_the_old_keys_line_makes_everything_readable_again(house: House) -> None:
    kept = house.settings.keys_file.read_text()
    house.lose_the_keys()
    open_cipher(house.settings)
    write_private(house.settings.keys_file, house.settings.keys_file.read_text() + kept)
    assert (await house.survey()).lost == []
    await house.check_secrets(open_cipher(house.settings))


async def test_keys_of_the_environment_are_the_operators_to_change(house: House) -> None:
    old, new = house.settings.keys_file.read_text().strip(), Fernet.generate_key().decode()
    elsewhere = change(house.settings, encryption_keys=SecretStr(f"{new},{old}"))
    cipher = open_cipher(elsewhere)
    done = await key_rotation.rotate(house.database, cipher, elsewhere)
    said = "\n".join(
        key_rotation.say_rotation(done, await key_rotation.survey(house.database, cipher), cipher, elsewhere)
    )
    assert (done.added, done.renewed) == (None, 4)
    assert f"The database needs these keys no longer: {Key.parse(old).id}" in said
    assert "FLAME_ENCRYPTION_KEYS" in said
    assert (old in said, new in said) == (False, False)
    with pytest.raises(KeysFileUnusable, match="FLAME_ENCRYPTION_KEYS"):
        await key_rotation.drop(Key.parse(old).id, house.database, cipher)
    await house.check_secrets(cipher)


async def test_the_operator_walks_the_runbook(house: House, operator: Operator, tmp_path: Path) -> None:
    old = house.cipher.keys.list()[0]
    backup = tmp_path / "keys.copy"
    shutil.copy2(house.settings.keys_file, backup)
    before = operator.type("rotate-keys", "--check")
    assert before.returncode == 0, before.stderr
    assert f"{old.id}  encrypts; protects 4 secrets" in before.stdout
    done = operator.type("rotate-keys")
    new = house.cipher.keys.list()[0]
    assert f"The new key {new.id} is on top of {house.settings.keys_file}" in done.stdout
    assert f"rotate-keys --drop {old.id}" in done.stdout
    dropped = operator.type("rotate-keys", "--drop", old.id)
    assert dropped.stdout == f"Keys in {house.settings.keys_file}:\n  {new.id}  encrypts; protects 4 secrets\n"
    refused = operator.type("rotate-keys", "--drop", new.id)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "put a new one on top first" in refused.stderr
    # The copy of before the rotation, put back by mistake.
    shutil.copy2(backup, house.settings.keys_file)
    lost = operator.type("rotate-keys", "--check")
    assert lost.returncode == 1
    assert "LOST: 4 secrets that none of the keys decrypts" in lost.stdout
    for answer in (before, done, dropped, refused, lost):
        for secret in (old.text, new.text, *API_KEYS, *house.tokens):
            assert secret not in answer.stdout + answer.stderr


def test_every_encrypted_field_takes_part() -> None:
    listed = {field.path.split(".")[-1] for field in SECRET_FIELDS}
    sources = Path(control_plane.__path__[0]).rglob("*.py")
    stored = {name for source in sources for name in re.findall(r"\w+_encrypted\b", source.read_text())}
    assert stored == listed
