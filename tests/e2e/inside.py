"""Run inside a running runner's walls: try what a runner that was taken over would try; print each outcome as JSON.

The argument is what to try it on, as JSON; the code that this process starts in is the runner's own surroundings.
"""

import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from pymongo import MongoClient

GIVEN = json.loads(sys.argv[1])
HOME, OWN, OTHER = Path(GIVEN["home"]), GIVEN["own"], GIVEN["other"]
CLIENTS = HOME / "var" / "clients"


def token() -> str:
    found: str = json.loads((CLIENTS / OWN / "runner.json").read_text())["token"]
    return found


def ask(url: str, method: str = "GET", body: bytes | None = None) -> str:
    headers = {"X-Api-Key": token(), "Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as response:
        return str(response.read(2000))


def connect(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
    return "connected"


def see_processes() -> str:
    # Its own command line has the names of all that it tries.
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.parent.name != str(os.getpid())]
    seen = [line for line in lines if OTHER.encode() in line or b"control_plane" in line or b"supervisord" in line]
    if not seen:
        raise PermissionError("none of others")
    return str(seen[0])


def query_database() -> str:
    client: MongoClient[dict[str, object]] = MongoClient("127.0.0.1", GIVEN["database_port"])
    return str(client["flame"]["clients"].find_one())


PORTAL = f"http://127.0.0.1:{GIVEN['portal_port']}"
ATTEMPTS: dict[str, Callable[[], object]] = {
    "read another client's credentials": lambda: (CLIENTS / OTHER / "runner.json").read_text(),
    "list another client's directory": lambda: list((CLIENTS / OTHER).iterdir()),
    "list the other clients": lambda: [p for p in CLIENTS.iterdir() if p.name != OWN][0],  # noqa: RUF015
    "write beside its own directory": lambda: (CLIENTS / "planted").write_text("x"),
    "see others' processes": see_processes,
    "signal another client's runner": lambda: os.kill(GIVEN["other_pid"], 0),
    "read another runner's memory": lambda: Path(f"/proc/{GIVEN['other_pid']}/maps").read_text(),
    "use another runner's port": lambda: ask(f"http://127.0.0.1:{GIVEN['other_port']}/status"),
    "talk to supervisord": lambda: connect(Path(GIVEN["supervisor_socket"])),
    "read supervisord's programs": lambda: list((HOME / "var" / "supervisor" / "conf.d").iterdir()),
    "read the settings": lambda: (HOME / "var" / "settings.env").read_text(),
    "read the keys": lambda: (HOME / "var" / "keys").read_bytes(),
    "read the database's address": lambda: (HOME / "var" / "database" / "uri").read_text(),
    "query the database without a password": query_database,
    "read the platform's logs": lambda: list((HOME / "var" / "logs").iterdir()),
    "list the clients by the API": lambda: ask(f"{PORTAL}/api/admin/clients"),
    "change another client by the API": lambda: ask(f"{PORTAL}/api/admin/clients/{OTHER}/toggle", "POST", b""),
    "send as another client by the API": lambda: ask(
        f"{PORTAL}/api/clients/{OTHER}/send", "POST", b'{"chat_id": "549@c.us", "text": "x"}'
    ),
    "replace its own code": lambda: (HOME / "tenant_runner" / "planted.py").write_text("x"),
    "replace a program": lambda: Path("/usr/bin/planted").write_text("x"),
}


def attempt(work: Callable[[], object]) -> str:
    try:
        return f"REACHED {work()!r}"[:300]
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]


if __name__ == "__main__":
    outcomes = {name: attempt(work) for name, work in ATTEMPTS.items()}
    outcomes["whose configuration"] = ask(f"{PORTAL}/internal/runner/config")
    outcomes["uid"] = str(os.getuid())
    sys.stdout.write(json.dumps(outcomes))
