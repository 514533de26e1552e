"""Backup and restore without a browser: what is in the archive, and everything that can be wrong with it."""

import io
import json
import os
import sqlite3
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pymongo import MongoClient

from control_plane.backup import archive, database_copy
from control_plane.backup.archive import MANIFEST, BackupError
from control_plane.backup.create import create
from control_plane.backup.restore import restore
from control_plane.clients.stored_secrets import RUNNER_TOKEN
from control_plane.security import open_cipher, place
from control_plane.settings import REPOSITORY, Settings

CLIENT = "abc123"
SECRET = "the runner's token"
PLACE = place("clients", CLIENT, RUNNER_TOKEN)


@dataclass
class Home:
    """An installation with one client, its database in the test's server."""

    settings: Settings
    store: Any
    target: Path

    @property
    def keys(self) -> Path:
        return self.target.with_name("keys.elsewhere")

    @property
    def settings_file(self) -> Path:
        return self.settings.data_directory.parent / "settings.env"

    def back_up(self) -> archive.Manifest:
        return create(
            self.settings,
            self.target,
            self.keys,
            settings_file=self.settings_file,
            version="0.1.0",
            say=lambda text: None,
        )

    def restore(self, *, keys: Path | None = None, without_keys: bool = False, replace: bool = False) -> None:
        keys = None if without_keys else keys or self.keys
        restore(
            self.settings, self.target, keys, replace=replace, settings_file=self.settings_file, say=lambda text: None
        )


@pytest.fixture
def home(tmp_path: Path, mongodb_uri: str) -> Iterator[Home]:
    settings = Settings(
        data_directory=tmp_path / "var", mongodb_uri=SecretStr(mongodb_uri), database_name="backup_test"
    )
    settings.data_directory.mkdir()
    with MongoClient[dict[str, Any]](mongodb_uri, tz_aware=True) as client:
        store = client["backup_test"]
        empty(store)
        token = open_cipher(settings).encrypt(SECRET, PLACE)
        store["clients"].insert_one({"_id": CLIENT, "name": "La Espiga", "runner_token_encrypted": token})
        store["client_messages"].insert_many({"_id": number, "text": f"mensaje {number}"} for number in range(3))
        store["client_sessions"].insert_one({"_id": CLIENT, "accepted_through": 77})
        store["client_qr_codes"].insert_one({"_id": CLIENT, "text": "a credential"})
        directory = settings.clients_directory / CLIENT
        (directory / "profile" / "Default" / "Service Worker").mkdir(parents=True)
        (directory / "profile" / "Default" / "Cookies").write_text("the login")
        (directory / "profile" / "Default" / "Service Worker" / "cached").write_text("made again")
        (directory / "profile" / "SingletonLock").symlink_to("somewhere-123")
        with sqlite3.connect(directory / "journal.sqlite3") as journal:
            journal.execute("CREATE TABLE messages (text TEXT)")
            journal.execute("INSERT INTO messages VALUES ('hola')")
        journal.close()
        home = Home(settings, store, tmp_path / "elsewhere" / "backup.tar.gz")
        home.settings_file.write_text("FLAME_SMTP_HOST=mail.example.com\n")
        yield home


def empty(store: Any) -> None:
    """Making collections anew takes the server a second each: their documents go, they stay."""
    for name in store.list_collection_names():
        store[name].delete_many({})


def wipe(home: Home) -> None:
    subprocess.run(["rm", "-rf", home.settings.data_directory, home.settings_file], check=True)
    empty(home.store)


def rewrite(home: Home, *, add: dict[str, bytes] | None = None, manifest: dict[str, Any] | None = None) -> None:
    """Make the archive again with other members, or with a manifest that says something else."""
    with tarfile.open(home.target) as source:
        members = {info.name: source.extractfile(info).read() for info in source}  # type: ignore[union-attr]
    members = (add or {}) | members
    members[MANIFEST] = json.dumps(json.loads(members[MANIFEST]) | (manifest or {})).encode()
    with tarfile.open(home.target, "w:gz") as target:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            target.addfile(info, io.BytesIO(content))


def nothing_changed(home: Home) -> bool:
    return not home.settings.clients_directory.exists() and home.store["clients"].find_one() is None


# ---------------------------------------------------------------------------------------------------- both ways


def test_everything_comes_back_and_the_keys_travel_apart(home: Home) -> None:
    # More than are read and written at once.
    home.store["client_messages"].insert_many({"_id": number, "text": "más"} for number in range(3, 602))
    manifest = home.back_up()
    assert manifest.documents["client_messages"] == 602
    assert archive.verify(home.target) == manifest
    assert (home.target.stat().st_mode & 0o777, home.keys.stat().st_mode & 0o777) == (0o600, 0o600)
    assert sorted(path.name for path in home.target.parent.iterdir()) == ["backup.tar.gz", "keys.elsewhere"]
    key = home.keys.read_bytes().strip()
    with tarfile.open(home.target) as tar:
        contents = {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
    assert not any(key in content for content in contents.values())
    names = {name for name in contents if name.startswith("clients/")}
    assert names == {f"clients/{CLIENT}/journal.sqlite3", f"clients/{CLIENT}/profile/Default/Cookies"}
    assert not any("qr_codes" in name for name in contents)

    wipe(home)
    home.restore()
    client = home.store["clients"].find_one({"_id": CLIENT})
    assert open_cipher(home.settings).decrypt(client["runner_token_encrypted"], PLACE) == SECRET
    assert home.store["client_messages"].count_documents({}) == 602
    # The journal may be a moment older: its coming events must not pass for known ones.
    assert home.store["client_sessions"].find_one({"_id": CLIENT})["accepted_through"] == 0
    directory = home.settings.clients_directory / CLIENT
    assert (directory / "profile" / "Default" / "Cookies").read_text() == "the login"
    with sqlite3.connect(directory / "journal.sqlite3") as journal:
        assert journal.execute("SELECT text FROM messages").fetchall() == [("hola",)]
    journal.close()
    modes = {path.stat().st_mode & 0o777 for path in directory.rglob("*") if path.is_file()}
    assert (modes, directory.stat().st_mode & 0o777) == ({0o600}, 0o700)
    assert home.settings_file.read_text() == "FLAME_SMTP_HOST=mail.example.com\n"
    assert not list(home.settings.data_directory.glob(".restoring*"))


def test_what_is_there_is_refused_and_then_moved_aside_never_deleted(home: Home) -> None:
    home.back_up()
    home.store["clients"].update_one({"_id": CLIENT}, {"$set": {"name": "of today"}})
    (home.settings.clients_directory / CLIENT / "of-today").write_text("x")
    with pytest.raises(BackupError, match="--replace"):
        home.restore()
    assert home.store["clients"].find_one({"_id": CLIENT})["name"] == "of today"
    home.restore(replace=True)
    assert home.store["clients"].find_one({"_id": CLIENT})["name"] == "La Espiga"
    [aside] = home.settings.data_directory.glob("before-restore-*")
    assert (aside / "clients" / CLIENT / "of-today").exists()
    assert (aside / "keys").exists()
    former = {name for name in home.store.list_collection_names() if name.startswith("before_restore_")}
    [clients] = [name for name in former if name.endswith("_clients")]
    assert home.store[clients].find_one({"_id": CLIENT})["name"] == "of today"
    # A later backup leaves them where they are.
    assert not former & set(database_copy.collections(home.store))
    for name in former:
        home.store.drop_collection(name)


# ---------------------------------------------------------------------------------------------------- what can be wrong


@pytest.mark.parametrize("where", [0.1, 0.5, 0.95])
def test_a_damaged_archive_is_refused(home: Home, where: float) -> None:
    home.back_up()
    content = bytearray(home.target.read_bytes())
    at = int(len(content) * where)
    content[at : at + 8] = bytes(byte ^ 0xFF for byte in content[at : at + 8])
    home.target.write_bytes(content)
    wipe(home)
    with pytest.raises(BackupError, match=r"damaged|no backup"):
        home.restore()
    assert nothing_changed(home)


def test_half_an_archive_is_refused(home: Home) -> None:
    home.back_up()
    content = home.target.read_bytes()
    home.target.write_bytes(content[: len(content) // 2])
    wipe(home)
    with pytest.raises(BackupError, match=r"damaged|no backup"):
        home.restore()
    assert nothing_changed(home)


def test_a_file_that_was_changed_is_named(home: Home) -> None:
    home.back_up()
    rewrite(home, manifest={"files": {"settings.env": {"size": 1, "sha256": "0"}}})
    with pytest.raises(BackupError, match="differ from its list"):
        archive.verify(home.target)


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "/etc/outside",
        f"clients/{CLIENT}/profile/../../../../outside",
        "clients/../profile/outside",
        "clients/x/profile//outside",
        "database/../../outside.bson",
        "keys",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_written(home: Home, name: str) -> None:
    home.back_up()
    rewrite(home, add={name: b"bad"})
    wipe(home)
    with pytest.raises(BackupError, match="holds what no backup holds"):
        home.restore()
    assert nothing_changed(home)
    assert not list(home.target.parent.parent.rglob("outside*"))


def test_a_link_in_an_archive_is_refused(home: Home) -> None:
    home.back_up()
    with tarfile.open(home.target, "w:gz") as tar:
        info = tarfile.TarInfo("settings.env")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(BackupError, match="holds what no backup holds"):
        archive.verify(home.target)


def test_a_newer_versions_archive_asks_for_an_update(home: Home) -> None:
    home.back_up()
    rewrite(home, manifest={"format": archive.FORMAT + 1})
    wipe(home)
    with pytest.raises(BackupError, match="newer version: update the platform first"):
        home.restore()
    assert nothing_changed(home)


def test_keys_that_are_missing_or_others_are_found_out_before_anything_changes(home: Home, tmp_path: Path) -> None:
    home.back_up()
    wipe(home)
    with pytest.raises(BackupError, match="there is no keys file"):
        home.restore(keys=tmp_path / "lost")
    others = Settings(data_directory=tmp_path / "others")
    open_cipher(others)
    with pytest.raises(BackupError, match="does not open this backup"):
        home.restore(keys=tmp_path / "others" / "keys")
    assert nothing_changed(home)
    home.restore(without_keys=True)
    assert home.store["clients"].count_documents({}) == 1


def test_an_unwritable_target_and_one_that_is_there_are_said(home: Home) -> None:
    home.target.parent.write_text("a file where a directory is needed")
    with pytest.raises(BackupError, match="cannot be written"):
        home.back_up()
    home.target.parent.unlink()
    home.back_up()
    before = home.target.read_bytes()
    with pytest.raises(BackupError, match="is there already"):
        home.back_up()
    assert home.target.read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted")
def test_a_full_disk_leaves_nothing_behind(home: Home) -> None:
    (home.settings.clients_directory / CLIENT / "profile" / "large").write_bytes(os.urandom(4_000_000))
    home.target.parent.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(home.target.parent)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        with pytest.raises(BackupError, match=r"could not be copied|cannot be written"):
            home.back_up()
        assert list(home.target.parent.iterdir()) == []
    finally:
        subprocess.run(["umount", home.target.parent], check=True)


def test_an_interrupted_backup_leaves_no_file_under_the_final_name(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("control_plane.backup.database_copy.dump", interrupt)
    with pytest.raises(KeyboardInterrupt):
        home.back_up()
    assert list(home.target.parent.iterdir()) == []


def test_the_platform_must_not_run_while_it_is_restored(home: Home) -> None:
    home.back_up()
    wipe(home)
    home.store["leases"].insert_one({"_id": "scheduler", "until": datetime.now(UTC) + timedelta(seconds=15)})
    with pytest.raises(BackupError, match="the platform runs"):
        home.restore()
    assert nothing_changed(home)


def test_the_scripts_say_what_they_do() -> None:
    for name in ("backup", "restore"):
        text = (REPOSITORY / "scripts" / name).read_text()
        assert "control_plane.backup" in text
        assert os.access(REPOSITORY / "scripts" / name, os.X_OK)
