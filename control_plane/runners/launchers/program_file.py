"""What supervisord is told of one client's runner: nothing of the client but its id."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from control_plane.runners.launchers.base import LauncherRefused

CLIENT_ID = re.compile(r"[a-z0-9]{1,32}")
# Exit statuses that are answers, not crashes: done, wrong configuration, replaced by another process of the client.
# After these supervisord leaves it stopped.
ANSWERS = (0, 78, 79)

# autostart=false: after a restart of supervisord the reconciler starts them, a few at a time, and only the wanted ones.
# stopsignal: bubblewrap dies of SIGTERM and kills all behind it, and ignores SIGWINCH, which runners take as SIGTERM.
# startsecs: with 1 an instant crash counts as a start, and the retries never end.
PROGRAM = """\
; Written by the scheduler and overwritten by it.
[program:{name}]
command={command}
autostart=false
autorestart=unexpected
exitcodes={answers}
startsecs={start_seconds}
startretries={start_retries}
stopsignal=WINCH
stopwaitsecs={stop_seconds}
stopasgroup=true
killasgroup=true
priority=100
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=2MB
stdout_logfile_backups=1
"""


def name_program(client_id: str) -> str:
    """Name of a client's program.

    Raises:
        ValueError: `client_id` could break out of the file that the name is written to.
    """
    if not CLIENT_ID.fullmatch(client_id):
        raise ValueError("a client's id has lower-case letters and digits only")
    return f"tenant-{client_id}"


def render_program(
    client_id: str, *, command: Sequence[str], log: Path, start_seconds: int, start_retries: int, stop_seconds: int
) -> str:
    """The text of a client's file.

    Raises:
        ValueError: not a client's id.
        LauncherRefused: `command` or `log` has what supervisord would read as something else.
    """
    return PROGRAM.format(
        name=name_program(client_id),
        command=_escape(shlex.join(command)),
        log=_escape(str(log)),
        answers=",".join(map(str, ANSWERS)),
        start_seconds=start_seconds,
        start_retries=start_retries,
        stop_seconds=stop_seconds,
    )


def _escape(value: str) -> str:
    if re.search(r"[\r\n]|\s[;#]", value):
        raise LauncherRefused("a path or command has a line break, ' ;' or ' #': supervisord would cut it off there")
    return value.replace("%", "%%")
