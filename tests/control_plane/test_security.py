"""Keys and passwords."""

import stat

import pytest
from cryptography.fernet import Fernet

from control_plane.security import (
    CannotDecrypt,
    Cipher,
    KeysFileUnusable,
    hash_password,
    hint,
    open_cipher,
    verify_password,
)
from control_plane.settings import Settings


def test_the_key_is_made_once_and_only_its_owner_reads_it(settings: Settings) -> None:
    encrypted = open_cipher(settings).encrypt("the secret")
    file = settings.data_directory / "keys"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.data_directory.stat().st_mode) == 0o700
    assert open_cipher(settings).decrypt(encrypted) == "the secret"
    assert [path.name for path in settings.data_directory.iterdir()] == ["keys"]


def test_a_new_key_on_top_encrypts_and_the_old_one_still_decrypts() -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    before = Cipher([old]).encrypt("the secret")
    both = Cipher([new, old])
    assert both.decrypt(before) == "the secret"
    assert Cipher([new]).decrypt(both.encrypt("another")) == "another"
    with pytest.raises(CannotDecrypt):
        Cipher([new]).decrypt(before)


@pytest.mark.parametrize(("text", "mode"), [("", 0o600), ("no key\n", 0o600), (None, 0o644)])
def test_a_keys_file_that_is_no_good_is_refused(settings: Settings, text: str | None, mode: int) -> None:
    open_cipher(settings)
    file = settings.data_directory / "keys"
    if text is not None:
        file.write_text(text)
    file.chmod(mode)
    with pytest.raises(KeysFileUnusable, match=str(file)):
        open_cipher(settings)


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
