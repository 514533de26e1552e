"""Files that are written whole or not at all, readable by us alone; also where a runner can plant links."""

import os
import stat
from pathlib import Path


def write_private(path: Path, text: str) -> bool:
    """Replace the file by `text` with mode 0600, unless it holds that already.

    A reader sees the old text or the new one, never a part, whenever the writer dies. The file belongs to whom its
    directory belongs to.

    Returns:
        Whether the file was written.
    """
    owner = path.parent.stat()
    if _is_as_written(path, text, owner.st_uid):
        return False
    # The name must not match the `*.conf` that supervisord includes.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), 0o600)
            if os.geteuid() == 0:
                os.fchown(stream.fileno(), owner.st_uid, owner.st_gid)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _is_as_written(path: Path, text: str, uid: int) -> bool:
    """Whether it is a plain file with that text, ours to read alone; never waits for another process's pipe."""
    wanted = text.encode()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        private = stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o600 and found.st_uid == uid
        return private and stream.read(len(wanted) + 1) == wanted


def read_text(path: Path) -> str | None:
    """The file's text; None when there is no such file or it is not text."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def read_end(path: Path, max_bytes: int) -> str:
    """The last whole lines of a file, at most `max_bytes` of them; empty when there is no such file."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - max_bytes))
            text = stream.read(max_bytes).decode(errors="replace")
    except FileNotFoundError:
        return ""
    return text if size <= max_bytes else text.partition("\n")[2]


def make_private_directory(path: Path) -> None:
    """Make the directory and those above it that are missing; it is ours alone (0700), also if it was there before."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
