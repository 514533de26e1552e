"""The stand-ins and a runner as processes of their own, and a phone to hold."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import psutil

from sandbox.settings import browser_arguments
from tenant_runner.contract import TOKEN_HEADER, SessionChanged
from tests.conftest import find_free_port, wait_for
from tests.tenant_runner.control_plane import FakeControlPlane

REPOSITORY = Path(__file__).resolve().parents[2]
CHROMIUM = Path(os.environ.get("FLAME_CHROMIUM") or "/usr/bin/chromium")


class Sandbox:
    """`python -m sandbox` on free ports."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.port, self.tls_port, self.smtp_port = find_free_port(), find_free_port(), find_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._http = httpx2.Client(base_url=self.url, timeout=30, trust_env=False)
        self._log = (directory / "sandbox.log").open("wb")
        values = {
            "FLAME_DATA_DIRECTORY": directory,
            "FLAME_SANDBOX_PORT": self.port,
            "FLAME_SANDBOX_TLS_PORT": self.tls_port,
            "FLAME_SANDBOX_SMTP_PORT": self.smtp_port,
            "FLAME_SANDBOX_SYNC_DELAY_MS": 300,
            # Later than a slow machine takes to hear that a message left: then "server" comes before "delivered".
            "FLAME_SANDBOX_RECEIPT_DELAY_S": 2,
            **{f"FLAME_SANDBOX_{name.upper()}": value for name, value in settings.items()},
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sandbox"],
            cwd=REPOSITORY,
            env={**os.environ, **{name: str(value) for name, value in values.items()}},
            stdout=self._log,
            stderr=self._log,
        )

    @property
    def browser_arguments(self) -> tuple[str, ...]:
        return browser_arguments("127.0.0.1", self.tls_port)

    async def wait_until_ready(self) -> None:
        def answers() -> bool:
            assert self._process.poll() is None, "the sandbox ended"
            try:
                return self._http.get("/health").status_code == 200
            except httpx2.HTTPError:
                return False

        await wait_for(answers, what="the sandbox answers")

    def call(self, method: str, path: str, **body: Any) -> Any:
        response = self._http.request(method, path, json=body or None)
        assert response.status_code < 300, response.text
        return response.json()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        response = self._http.post(path, json=body)
        assert response.status_code < 300, response.text
        return response.json()

    def pair(self, number: str, qr: str) -> bool:
        response = self._http.post("/phone/api/pair", json={"phone": number, "qr": qr})
        assert response.status_code in (200, 409), response.text
        return response.status_code == 200

    def phone(self, number: str) -> "Phone":
        self.call("POST", "/phone/api/phones", phone=number, name="Dueña")
        return Phone(self, number)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(60)
        self._http.close()
        self._log.close()


class Phone:
    """An owner's phone, by the sandbox's HTTP API."""

    def __init__(self, sandbox: Sandbox, number: str) -> None:
        self._sandbox = sandbox
        self.number = number

    def _call(self, method: str, path: str, **body: Any) -> Any:
        return self._sandbox.call(method, f"/phone/api/{self.number}/{path}", **body)

    def scan(self, qr: str) -> bool:
        """Scan a code; False when the page does not show it any more."""
        return self._sandbox.pair(self.number, qr)

    def incoming(self, sender: str, body: str, **facts: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._call("POST", "incoming", **{"from": sender, "body": body, **facts})
        return answer

    def own(self, to: str, body: str, **facts: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._call("POST", "own", to=to, body=body, **facts)
        return answer

    def raw(self, message: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._sandbox.post(f"/phone/api/{self.number}/raw", message)
        return answer

    def patch(self, message_id: str, **changes: Any) -> None:
        self._call("POST", "patch", id=message_id, set=changes)

    def refuse_sends(self, *, refuse: bool) -> None:
        self._call("POST", "refuse-sends", refuse=refuse)

    def does(self, action: str, **body: Any) -> Any:
        """Any other thing that a phone can do, by its name in the sandbox's API."""
        return self._call("POST", action, **body)

    def unlink(self) -> None:
        self._call("POST", "logout")

    def events(self, kind: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self._sandbox.call("GET", f"/phone/api/{self.number}/events?kind={kind}")
        return events

    def sent(self, to: str | None = None) -> list[str]:
        return [event["body"] for event in self.events("sent") if to in (None, event["number"])]


class RunnerProcess:
    """`python -m tenant_runner serve` for one client."""

    def __init__(self, directory: Path, client_id: str, control_plane: FakeControlPlane) -> None:
        self.port = find_free_port()
        self.client_id = client_id
        self.token = control_plane.token
        self.data_directory = directory
        self.directory = directory / "clients" / client_id
        self.directory.mkdir(mode=0o700, parents=True)
        self._control_plane = control_plane
        self.log = directory / f"{client_id}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.http = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={TOKEN_HEADER: self.token},
            timeout=60,
            trust_env=False,
        )

    @property
    def environment(self) -> dict[str, str]:
        mine = {"FLAME_DATA_DIRECTORY": str(self.data_directory), "PATH": os.environ["PATH"]}
        if CHROMIUM.exists():
            mine["FLAME_CHROMIUM"] = str(CHROMIUM)
        return {name: value for name, value in os.environ.items() if not name.startswith("FLAME_")} | mine

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tenant_runner", *arguments, "--client", self.client_id]

    async def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another process for the same client, to its end."""
        return await asyncio.to_thread(
            subprocess.run,
            self.command(*arguments),
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def _write_credentials(self, **changes: Any) -> None:
        config = self._control_plane.config
        credentials = self.directory / "runner.json"
        credentials.touch(0o600)
        credentials.write_text(
            json.dumps(
                {
                    "client_id": self.client_id,
                    "control_plane_url": self._control_plane.url,
                    "token": self.token,
                    "port": self.port,
                    "browser_arguments": config.channel.browser_arguments if config else None,
                    **changes,
                }
            )
        )

    def start(self, **credentials: Any) -> None:
        """Start it; `credentials` are written into its `runner.json` instead of what belongs there."""
        self._write_credentials(**credentials)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("serve"), cwd=REPOSITORY, env=self.environment, stdout=log, stderr=log
            )

    def browsers(self) -> list[psutil.Process]:
        wanted = f"--user-data-dir={self.directory / 'profile'}"
        found = []
        for process in psutil.process_iter():
            try:
                if wanted in process.cmdline() and not any("--type=" in part for part in process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(60)

    async def stop(self) -> int:
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            # Beside the event loop: the control plane lives in it and takes the runner's last words.
            return await asyncio.to_thread(self.process.wait, 60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    async def session(self) -> SessionChanged | None:
        try:
            response = await self.http.get("/status")
        except httpx2.HTTPError:
            return None
        assert response.status_code == 200, response.text
        return SessionChanged.model_validate(response.json()["session"])

    async def wait_for_session(self, state: str, reason: str | None = None, deadline_s: float = 90) -> SessionChanged:
        async def reached() -> Any:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            session = await self.session()
            return session if session and session.state == state and reason in (None, session.reason) else None

        try:
            session: SessionChanged = await wait_for(reached, deadline_s=deadline_s, interval_s=0.1)
        except AssertionError as error:
            raise AssertionError(f"{state} {reason} not reached; log:\n{self.log.read_text()[-3000:]}") from error
        return session

    async def link(self, phone: Phone) -> SessionChanged:
        async def scanned() -> bool:
            session = await self.session()
            # A code that was replaced between the look and the scan is looked for again.
            return bool(session and session.qr and await asyncio.to_thread(phone.scan, session.qr))

        await self.wait_for_session("SCAN_QR_CODE")
        await wait_for(scanned, deadline_s=90, what="the scan of a code that is shown")
        return await self.wait_for_session("WORKING")
