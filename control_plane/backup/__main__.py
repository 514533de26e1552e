"""`python -m control_plane.backup create|verify|restore`; `scripts/backup` and `scripts/restore` call it."""

import argparse
import os
import signal
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from types import FrameType

from pydantic import ValidationError

from control_plane.backup import archive
from control_plane.backup.archive import BackupError
from control_plane.backup.create import create
from control_plane.backup.restore import restore
from control_plane.settings import REPOSITORY, SettingsFileReadable, load_settings

SETTINGS_FILE = REPOSITORY / "settings.env"


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def _version() -> str:
    try:
        return version_of("flame-assistant")
    except PackageNotFoundError:
        return "0.1.0"


def _end(number: int, _frame: FrameType | None) -> None:
    # As an exception, so that what is half written is removed.
    raise KeyboardInterrupt(signal.Signals(number).name)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/backup", description="Back up and restore this installation.")
    commands = parser.add_subparsers(dest="command", required=True)
    creating = commands.add_parser("create", help="write a backup; the platform may run")
    creating.add_argument("file", nargs="?", type=Path, help="default: backups/flame-<moment>.tar.gz")
    creating.add_argument("--keys", type=Path, help="where the keys go (default: beside the file, with .keys)")
    verifying = commands.add_parser("verify", help="read a backup and compare it with its own list")
    verifying.add_argument("file", type=Path)
    restoring = commands.add_parser("restore", help="put a backup in place; the platform must be stopped")
    restoring.add_argument("file", type=Path)
    keys = restoring.add_mutually_exclusive_group()
    keys.add_argument("--keys", type=Path, help="the keys file (default: beside the file, with .keys)")
    keys.add_argument("--without-keys", action="store_true", help="the keys are lost, or come from the environment")
    restoring.add_argument("--replace", action="store_true", help="move what is there aside first")
    return parser.parse_args()


def _default_keys(file: Path) -> Path:
    return file.with_name(file.name + ".keys")


def _create(given: argparse.Namespace) -> None:
    settings = load_settings()
    file = given.file or REPOSITORY / "backups" / f"flame-{datetime.now(UTC):%Y%m%d-%H%M%S}.tar.gz"
    keys = given.keys or _default_keys(file)
    manifest = create(settings, file, keys, settings_file=SETTINGS_FILE, version=_version(), say=_say)
    archive.verify(file)
    _say(f"\nBackup      {file} ({file.stat().st_size / 1e6:.1f} MB, {len(manifest.files)} files, read back and whole)")
    _say("            It holds conversations and WhatsApp log-ins: keep it as safe as the phones themselves.")
    if keys.exists():
        _say(f"Keys        {keys}")
        _say(
            "            Keep this file in ANOTHER place than the backup. Without it the secrets in the backup (OpenAI"
        )
        _say("            keys, runner tokens) are lost for good; with it, whoever has the backup can read them.")
    else:
        _say(f"Keys        none: there is no {settings.keys_file}. Keep those of the environment yourself: without")
        _say("            them the secrets in the backup are lost for good.")


def _verify(given: argparse.Namespace) -> None:
    manifest = archive.verify(given.file)
    clients = {name.split("/")[1] for name in manifest.files if name.startswith("clients/")}
    _say(f"{given.file} is whole: made at {manifest.made_at:%Y-%m-%d %H:%M} UTC by version {manifest.version},")
    _say(f"{len(manifest.files)} files, {len(clients)} clients, {sum(manifest.documents.values())} documents.")


def _restore(given: argparse.Namespace) -> None:
    if not (REPOSITORY / "var" / "settings.env").exists() and SETTINGS_FILE.exists():
        os.environ.setdefault("FLAME_SETTINGS_FILE", str(SETTINGS_FILE))
    settings = load_settings()
    keys = None if given.without_keys else given.keys or _default_keys(given.file)
    manifest = restore(settings, given.file, keys, replace=given.replace, settings_file=SETTINGS_FILE, say=_say)
    _say(f"\nRestored what there was at {manifest.made_at:%Y-%m-%d %H:%M} UTC. Start the platform: ./scripts/start")
    if keys is None:
        _say("Without keys: type every client's OpenAI key again, and restart its runner (docs/backup.md).")
    _say("Data that was erased after that moment is back: erase it again (docs/backup.md).")


def main() -> int:
    """Run one command; 0 when it did what it should, 1 with the reason on standard error otherwise."""
    given = _parse()
    signal.signal(signal.SIGTERM, _end)
    os.umask(0o077)
    try:
        {"create": _create, "verify": _verify, "restore": _restore}[given.command](given)
    except (BackupError, SettingsFileReadable) as error:
        print(f"{given.command}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except ValidationError as error:
        causes = "; ".join(f"{'.'.join(map(str, item['loc'])).upper()} {item['msg']}" for item in error.errors())
        print(f"{given.command}: a setting is not valid: {causes}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        print(f"{given.command}: interrupted; nothing was written under the final name", file=sys.stderr)  # noqa: T201
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
