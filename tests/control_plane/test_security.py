"""Keys and passwords."""

import base64
import os
import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr, ValidationError

from control_plane.keys import Keys, KeysFileUnusable
from control_plane.security import (
    CannotDecrypt,
    Cipher,
    hash_password,
    hint,
    open_cipher,
    place,
    verify_password,
)
from control_plane.settings import Settings
from tests.control_plane.site import change

HERE = place("clients", "abc", "api_key")


@pytest.fixture
def plain(tmp_path: Path) -> Settings:
    """Settings of an installation that has no keys yet; no database is asked."""
    return Settings(data_directory=tmp_path / "var")


def with_keys(settings: Settings, *keys: str) -> Cipher:
    return Cipher(Keys(change(settings, encryption_keys=SecretStr(", ".join(keys)))))


def test_the_key_is_made_once_and_only_its_owner_reads_it(plain: Settings) -> None:
    encrypted = open_cipher(plain).encrypt("the secret", HERE)
    assert stat.S_IMODE(plain.keys_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(plain.data_directory.stat().st_mode) == 0o700
    assert open_cipher(plain).decrypt(encrypted, HERE) == "the secret"
    assert [path.name for path in plain.data_directory.iterdir()] == ["keys"]


def test_a_stored_text_names_its_key_and_repeats_nothing(plain: Settings) -> None:
    cipher = open_cipher(plain)
    one, two = cipher.encrypt("the secret", HERE), cipher.encrypt("the secret", HERE)
    assert one.split(".")[:2] == two.split(".")[:2] == ["v2", cipher.keys.list()[0].id]
    assert not set(one.split(".")[2:]) & set(two.split(".")[2:])
    assert "secret" not in one
    assert cipher.keys.list()[0].text not in repr(cipher.keys.list())


def test_a_text_that_was_copied_to_another_place_or_changed_does_not_decrypt(plain: Settings) -> None:
    cipher = open_cipher(plain)
    encrypted = cipher.encrypt("the secret", HERE)
    form, key_id, wrapped, sealed = encrypted.split(".")
    other = cipher.encrypt("another", HERE).split(".")
    changed = base64.urlsafe_b64encode(bytes([base64.urlsafe_b64decode(sealed)[0] ^ 1])).decode() + sealed[4:]
    for text, where in [
        (encrypted, place("clients", "xyz", "api_key")),
        (encrypted, place("clients", "abc", "runner_token")),
        (f"{form}.{key_id}.{other[2]}.{sealed}", HERE),
        (f"{form}.{key_id}.{wrapped}.{changed}", HERE),
        (f"{form}.{key_id}.{wrapped}", HERE),
        (f"{form}.{key_id}.{wrapped}.no Base64!", HERE),
        (f"{form}.00000000.{wrapped}.{sealed}", HERE),
        ("nonsense", HERE),
        ("", HERE),
    ]:
        with pytest.raises(CannotDecrypt):
            cipher.decrypt(text, where)
        assert not cipher.can_decrypt(text, where)
    assert cipher.decrypt(encrypted, HERE) == "the secret"


def test_what_an_older_version_stored_is_read_and_renewed(plain: Settings) -> None:
    old = Fernet.generate_key().decode()
    stored = Fernet(old).encrypt(b"the secret").decode()
    cipher = with_keys(plain, old)
    renewed = cipher.renew(stored, HERE)
    assert cipher.is_old_form(stored)
    assert not cipher.is_old_form(renewed)
    assert cipher.decrypt(stored, HERE) == cipher.decrypt(renewed, HERE) == "the secret"
    with pytest.raises(CannotDecrypt):
        with_keys(plain, Fernet.generate_key().decode()).decrypt(stored, HERE)


def test_a_new_key_on_top_encrypts_and_the_old_one_still_decrypts(plain: Settings) -> None:
    # The form of `openssl rand -base64 32`, with the signs that addresses do not have.
    old, new = Fernet.generate_key().decode(), base64.b64encode(b"\xfb\xff" + os.urandom(30)).decode()
    before = with_keys(plain, old).encrypt("the secret", HERE)
    both = with_keys(plain, new, old)
    renewed = both.renew(before, HERE)
    assert both.decrypt(before, HERE) == "the secret"
    # Only the data key was wrapped anew; under the first key already, nothing changes.
    assert renewed.split(".")[3] == before.split(".")[3]
    assert both.renew(renewed, HERE) == renewed
    assert with_keys(plain, new).decrypt(renewed, HERE) == "the secret"
    assert with_keys(plain, new).decrypt(both.encrypt("another", HERE), HERE) == "another"
    with pytest.raises(CannotDecrypt):
        with_keys(plain, new).decrypt(before, HERE)


def test_a_process_that_runs_uses_a_new_key_at_once(plain: Settings) -> None:
    running, operator = open_cipher(plain), open_cipher(plain)
    before = running.encrypt("the secret", HERE)
    with operator.keys.changing():
        added = operator.keys.add()
    assert running.encrypt("another", HERE).split(".")[1] == added.id
    assert running.decrypt(operator.renew(before, HERE), HERE) == "the secret"


def test_a_process_that_runs_is_not_stopped_by_a_file_that_went_away(
    plain: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    running = open_cipher(plain)
    encrypted = running.encrypt("the secret", HERE)
    plain.keys_file.unlink()
    assert running.decrypt(encrypted, HERE) == "the secret"
    assert "keys file became unusable" in caplog.text


def test_two_do_not_change_the_file_at_once(plain: Settings) -> None:
    one, two = open_cipher(plain).keys, open_cipher(plain).keys
    with one.changing(), pytest.raises(KeysFileUnusable, match="another rotate-keys"), two.changing():
        pass
    with two.changing():
        two.add()
    assert len(one.list()) == 2


@pytest.mark.parametrize(("text", "mode"), [("", 0o600), ("no key\n", 0o600), ("c2hvcnQ=\n", 0o600), (None, 0o644)])
def test_a_keys_file_that_is_no_good_is_refused(plain: Settings, text: str | None, mode: int) -> None:
    open_cipher(plain)
    if text is not None:
        plain.keys_file.write_text(text)
    plain.keys_file.chmod(mode)
    with pytest.raises(KeysFileUnusable, match=str(plain.keys_file)):
        open_cipher(plain)


def test_the_keys_are_in_one_place_alone(plain: Settings, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="not in both"):
        change(plain, encryption_keys=SecretStr("x"), encryption_keys_file=tmp_path / "keys")
    with pytest.raises(KeysFileUnusable, match="FLAME_ENCRYPTION_KEYS"):
        open_cipher(change(plain, encryption_keys=SecretStr("no key")))
    assert not plain.keys_file.exists()


async def test_a_password_fits_its_hash_alone() -> None:
    hashed = await hash_password("correct horse")
    assert hashed.startswith("$argon2id$")
    assert await verify_password(hashed, "correct horse")
    assert not await verify_password(hashed, "wrong horse")
    assert not await verify_password(None, "correct horse")
    assert not await verify_password("not a hash", "correct horse")


def test_a_hint_shows_nothing_of_a_short_secret() -> None:
    assert hint("sk-aaaabbbbcccc4f2a") == "sk-…4f2a"
    assert hint("sk-short") == "…"
