"""A stand-in for a runner behind its walls: `walled.py --client <id>` tries what it must not, and says how that went.

The paths that it tries are in `attempts.json` of its directory, the first argument's; the outcomes go beside it.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path


def attempt(kind: str, target: str) -> str:
    try:
        if kind == "read":
            Path(target).read_bytes()
        elif kind == "list":
            return "listed " + " ".join(sorted(os.listdir(target)))  # noqa: PTH208 - names are enough
        elif kind == "write":
            Path(target).write_text("x")
        elif kind == "connect":
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(target)
        elif kind == "kill":
            os.kill(int(target), 0)
    except OSError as error:
        return type(error).__name__
    return "done"


if __name__ == "__main__":
    home, client_id = Path(sys.argv[1]), sys.argv[3]
    own = home / client_id
    signal.signal(signal.SIGWINCH, lambda *_: sys.exit(0))
    # What a browser does: a process in a session of its own, which no signal to the group reaches.
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", str(own)], start_new_session=True)
    report = {f"{k} {t}": attempt(k, t) for k, t in json.loads((own / "attempts.json").read_text())}
    report["processes"] = " ".join(sorted(name for name in os.listdir("/proc") if name.isdigit()))  # noqa: PTH208
    report["uid"] = str(os.getuid())
    (own / "report.new").write_text(json.dumps(report))
    (own / "report.new").rename(own / "report.json")
    while True:
        time.sleep(0.2)
