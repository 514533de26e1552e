"""In the place of a runner: says that its session works, says so again every ten seconds, and ends when it is told to.

While there is a file `quiet` in the data directory it says nothing once it was heard.

`bench.many` puts this file where its copy of the platform has `tenant_runner/__main__.py`; the platform knows nothing.
"""

import http.client
import json
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

HEARTBEAT_S = 10.0
SAID = "said"
QUIET = "quiet"


def end(_number: int, _frame: FrameType | None) -> None:
    """As a runner ends."""
    sys.exit(0)


def main() -> None:
    """Serve one client; `purge` has nothing to do."""
    command, client_id = sys.argv[1], sys.argv[sys.argv.index("--client") + 1]
    if command != "serve":
        print("{}")
        return
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGWINCH):
        signal.signal(number, end)
    directory = Path(os.environ["FLAME_DATA_DIRECTORY"]) / "clients" / client_id
    credentials = json.loads((directory / "runner.json").read_text())
    address = credentials["control_plane_url"].removeprefix("http://")
    headers = {"X-Api-Key": credentials["token"], "Content-Type": "application/json"}
    started_at = datetime.now(UTC).isoformat()
    delivery = {
        "instance": str(os.getpid()),
        "started_at": started_at,
        "journal_id": "trivial",
        "config_revision": 1,
        "session": {"state": "WORKING", "reason": "connected", "since": started_at, "phone": "549115555000"},
        "fence": 0,
    }
    quiet = Path(os.environ["FLAME_DATA_DIRECTORY"]) / QUIET
    while True:
        while quiet.exists() and (directory / SAID).exists():
            time.sleep(HEARTBEAT_S / 4)
        try:
            connection = http.client.HTTPConnection(address, timeout=15)
            if not delivery["fence"]:
                connection.request("POST", "/internal/runner/start", headers=headers)
                delivery["fence"] = json.load(connection.getresponse())["fence"]
            connection.request("POST", "/internal/runner/events", json.dumps(delivery), headers)
            answer = connection.getresponse()
            answer.read()
            connection.close()
            if answer.status == 200:
                (directory / SAID).touch()
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            pass
        time.sleep(HEARTBEAT_S)


if __name__ == "__main__":
    main()
