"""Every secret that the database holds: which key protects it, how all go under a new key, what a lost key means."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from control_plane.accounts import access_tokens, second_factor
from control_plane.clients.stored_secrets import API_KEY, RUNNER_TOKEN, encrypt_runner_token
from control_plane.database import Database, Document
from control_plane.security import CannotDecrypt, Cipher, hash_token, new_token, place
from control_plane.settings import Settings
from tenant_runner.contract import RunnerCredentials


@dataclass(frozen=True)
class SecretField:
    """One field of a collection that holds encrypted text.

    Attributes:
        path: the field, with dots.
        what: what is lost with it, for people.
        remedy: what to do when it is lost; `{url}` is the portal's address, `{id}` the document's.
    """

    collection: str
    path: str
    what: str
    remedy: str


_RESET = "reset it at {url}/admin/people, the owner's by `create-admin --reset`"
RUNNER_TOKENS = SecretField("clients", RUNNER_TOKEN, "the token of its process", "rotate-keys mends it")
# A test fails until every field whose name ends in `_encrypted` is here.
SECRET_FIELDS = (
    RUNNER_TOKENS,
    SecretField("clients", API_KEY, "its OpenAI key", "write it again at {url}/admin/clients/{id}/edit"),
    SecretField("accounts", second_factor.SECRET, "the second factor of their log-in", _RESET),
    SecretField("accounts", second_factor.PENDING, "a second factor that was never confirmed", "nothing is to be done"),
    SecretField("signing_keys", access_tokens.KEY, "what signs access tokens", "made anew at the next log-in"),
)


class KeyNotDropped(Exception):
    """The key stays; the message says why."""


@dataclass(frozen=True)
class StoredSecret:
    """One secret as it is stored."""

    field: SecretField
    id: str
    name: str
    text: str

    @property
    def context(self) -> str:
        """Where it is stored, as its context."""
        return place(self.field.collection, self.id, self.field.path)


@dataclass
class Survey:
    """What protects what.

    Attributes:
        protected: secrets by the id of the key that they need.
        old_form: how many of them are stored as older versions did.
        lost: those that no key decrypts.
    """

    protected: Counter[str] = field(default_factory=Counter)
    old_form: int = 0
    lost: list[StoredSecret] = field(default_factory=list)


@dataclass
class Rotation:
    """What `rotate` did.

    Attributes:
        added: id of the new key; None when an earlier run is finished first, or the keys are in the environment.
        renewed: secrets that went under the first key; `kept` were there already.
        mended: clients whose runner's token was lost and is stored again.
    """

    added: str | None = None
    renewed: int = 0
    kept: int = 0
    mended: list[StoredSecret] = field(default_factory=list)


async def survey(database: Database, cipher: Cipher) -> Survey:
    """Look at every stored secret; changes nothing."""
    found = Survey()
    async for secret in _read_all(database):
        key = cipher.find_key(secret.text)
        if key is None or not cipher.can_decrypt(secret.text, secret.context):
            found.lost.append(secret)
            continue
        found.protected[key.id] += 1
        found.old_form += cipher.is_old_form(secret.text)
    return found


async def rotate(database: Database, cipher: Cipher, settings: Settings) -> Rotation:
    """Put a new key on top and everything under it. Safe to repeat and to interrupt: the old keys stay.

    Raises:
        KeysFileUnusable: another one works now.
    """
    done = Rotation()
    if cipher.keys.file is None:
        return await _renew_all(done, database, cipher, settings)
    with cipher.keys.changing():
        first = cipher.keys.list()[0].id
        # What an interrupted run left is finished first: two runs need not mean two new keys.
        if not (await survey(database, cipher)).protected.keys() - {first}:
            done.added = cipher.keys.add().id
        return await _renew_all(done, database, cipher, settings)


async def drop(key_id: str, database: Database, cipher: Cipher) -> None:
    """Take a key out of the keys file.

    Raises:
        KeyNotDropped: something needs it, or there is no such key.
        KeysFileUnusable: the keys are in the environment, or another rotation works now.
    """
    with cipher.keys.changing():
        ids = [key.id for key in cipher.keys.list()]
        if key_id not in ids:
            raise KeyNotDropped(f"there is no key {key_id}; there are {', '.join(ids)}")
        if key_id == ids[0]:
            raise KeyNotDropped(f"{key_id} is the key that encrypts; put a new one on top first: rotate-keys")
        if needed := (await survey(database, cipher)).protected[key_id]:
            raise KeyNotDropped(f"{key_id} still protects {needed} secrets; put them under the first key: rotate-keys")
        cipher.keys.drop(key_id)


async def _renew_all(done: Rotation, database: Database, cipher: Cipher, settings: Settings) -> Rotation:
    async for secret in _read_all(database):
        try:
            text = cipher.renew(secret.text, secret.context)
        except CannotDecrypt:
            if secret.field is RUNNER_TOKENS and await _mend_token(secret, database, cipher, settings):
                done.mended.append(secret)
            continue
        if text == secret.text:
            done.kept += 1
        else:
            done.renewed += await _replace(secret, {secret.field.path: text}, database)
    return done


async def _mend_token(secret: StoredSecret, database: Database, cipher: Cipher, settings: Settings) -> bool:
    """Store the token that the runner's own file has; without one, a new one, and have the runner restarted."""
    document = await database["clients"].find_one({"_id": secret.id}, {"runner_token_hash": 1})
    file = settings.clients_directory / secret.id / "runner.json"
    try:
        token = RunnerCredentials.model_validate_json(file.read_text()).token.get_secret_value()
    except (OSError, ValidationError):
        token = None
    if document and token and hash_token(token) == document["runner_token_hash"]:
        return await _replace(secret, {RUNNER_TOKEN: encrypt_runner_token(token, secret.id, cipher)}, database)
    token = new_token()
    stored = {
        RUNNER_TOKEN: encrypt_runner_token(token, secret.id, cipher),
        "runner_token_hash": hash_token(token),
    }
    return await _replace(secret, stored, database, restart=True)


async def _replace(secret: StoredSecret, values: dict[str, Any], database: Database, *, restart: bool = False) -> bool:
    """Store the values, unless somebody stored another secret in the meantime."""
    update: dict[str, Any] = {"$set": values} | ({"$inc": {"restarts": 1}} if restart else {})
    query = {"_id": secret.id, secret.field.path: secret.text}
    return (await database[secret.field.collection].update_one(query, update)).modified_count == 1


async def _read_all(database: Database) -> AsyncIterator[StoredSecret]:
    for known in SECRET_FIELDS:
        shown = {known.path: 1, "name": 1, "username": 1}
        cursor = database[known.collection].find({known.path: {"$type": "string"}}, shown)
        for document in await cursor.to_list():
            name = document.get("name") or document.get("username", "")
            yield StoredSecret(known, str(document["_id"]), str(name), _dig(document, known.path))


def _dig(document: Document, path: str) -> str:
    value: Any = document
    for part in path.split("."):
        value = value[part]
    return str(value)


# ------------------------------------------------------------------------------------------------ said to the operator


def say_survey(found: Survey, cipher: Cipher, settings: Settings) -> list[str]:
    """What each key protects, and what is lost."""
    lines = [f"Keys in {cipher.keys.source}:"]
    for number, key in enumerate(cipher.keys.list()):
        role = "encrypts; " if number == 0 else ""
        count = found.protected[key.id]
        spare = "" if number == 0 or count else "; no longer needed by the database"
        lines.append(f"  {key.id}  {role}protects {_count(count)}{spare}")
    if found.old_form:
        lines.append(f"{_count(found.old_form)} stored in the form of an older version: rotate-keys renews that")
    return lines + say_lost(found.lost, settings)


def say_lost(lost: list[StoredSecret], settings: Settings) -> list[str]:
    """What no key decrypts, whose it is, and what to do."""
    if not lost:
        return []
    lines = [f"LOST: {_count(len(lost))} that none of the keys decrypts:"]
    for secret in lost:
        remedy = secret.field.remedy.format(url=settings.base_url, id=secret.id)
        lines.append(f"  {secret.id} ({secret.name}): {secret.field.what}; {remedy}")
    return [*lines, "If you still have the old key, add its line below the others instead: all is readable again."]


def say_rotation(done: Rotation, after: Survey, cipher: Cipher, settings: Settings) -> list[str]:
    """What was done, and which old keys may go."""
    first, *others = [key.id for key in cipher.keys.list()]
    lines = [_say_first(done, first, cipher)]
    lines.append(f"{_count(done.renewed)} put under it, {done.kept} under it already.")
    lines += [f"{secret.id} ({secret.name}): the lost token of its process was mended." for secret in done.mended]
    spare = [key_id for key_id in others if not after.protected[key_id]]
    if spare:
        lines.append(f"The database needs these keys no longer: {', '.join(spare)}. Backups made before now still do.")
        if cipher.keys.file:
            lines.append(f"1. Copy {cipher.keys.source} to where you keep it safe.")
            lines += [f"2. Then, if you want: python -m control_plane rotate-keys --drop {key_id}" for key_id in spare]
        else:
            lines.append(f"Take them out of {cipher.keys.source} and restart web and scheduler.")
    return lines + say_lost(after.lost, settings)


def _say_first(done: Rotation, first: str, cipher: Cipher) -> str:
    if done.added:
        return f"The new key {done.added} is on top of {cipher.keys.source}; running processes use it at once."
    if cipher.keys.file:
        return f"An earlier rotation to {first} was not finished: no key was added."
    return (
        f"The first key of {cipher.keys.source} is {first}. To add one, put it in front and restart web and scheduler."
    )


def _count(number: int) -> str:
    return "1 secret" if number == 1 else f"{number} secrets"
