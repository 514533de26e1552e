"""A stand-in for a runner: behaves as the file `<directory>/<client id>` says (`steady` if there is none).

Called as `program.py serve|purge <directory> <client id> [--before ISO | --everything] [--chats]`.
"""

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


def serve(directory: Path, client_id: str) -> None:
    file = directory / client_id
    behaviour = file.read_text() if file.exists() else "steady"
    for number in (signal.SIGTERM, signal.SIGWINCH):
        signal.signal(number, signal.SIG_IGN if behaviour == "stubborn" else lambda *_: sys.exit(0))
    sys.stdout.write(f"started as {behaviour}\n")
    sys.stdout.flush()
    with (directory / f"{client_id}.starts").open("a") as starts:
        starts.write(f"{os.getpid()}\n")
    if behaviour.startswith("exit "):
        status, _, seconds = behaviour.removeprefix("exit ").partition(" after ")
        time.sleep(float(seconds or 0))
        sys.exit(int(status))
    if behaviour.startswith("crash after "):
        time.sleep(float(behaviour.removeprefix("crash after ")))
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour.startswith("take "):
        time.sleep(0.3)
        taken = b"x" * (int(behaviour.removeprefix("take ")) << 20)
        sys.stdout.write(f"took {len(taken)} bytes\n")
    if behaviour.startswith("listen "):
        answer(int(behaviour.removeprefix("listen ")), client_id)
    while True:
        time.sleep(0.5)


def answer(port: int, client_id: str) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(200, {"status": "ok"})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["X-Api-Key"] != f"token-{client_id}":
                self.reply(401, {"detail": "a valid token is needed"})
            else:
                self.reply(200, {"messages": 7})

        def reply(self, status: int, document: dict[str, object]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    HTTPServer(("127.0.0.1", port), Handler).serve_forever()


def purge(directory: Path, client_id: str, scope: list[str]) -> None:
    file = directory / client_id
    behaviour = file.read_text() if file.exists() else "steady"
    if behaviour == "purge hangs":
        time.sleep(600)
    if behaviour == "purge fails":
        sys.exit(3)
    with (directory / f"{client_id}.purges").open("a") as purges:
        named = sys.stdin.read().split() if "--chats" in scope else []
        purges.write(" ".join([*scope, *named]) + "\n")
    sys.stdout.write("a line before the report\n" + json.dumps({"messages": 3, "threads": 1}) + "\n")


if __name__ == "__main__":
    where = Path(sys.argv[2])
    if sys.argv[1] == "serve":
        serve(where, sys.argv[3])
    else:
        purge(where, sys.argv[3], sys.argv[4:])
