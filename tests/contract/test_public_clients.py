"""The stand-in's WhatsApp is held to what independent public clients expect of the real one."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[2] / "sandbox" / "acceptance" / "run"
DEADLINE_S = 270


@pytest.mark.parametrize("client", ["whatsapp-web.js", "wppconnect"])
async def test_an_unmodified_client_logs_in_receives_sends_reconnects_and_logs_out(client: str) -> None:
    process = await asyncio.create_subprocess_exec(
        RUN, client, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    said = output.decode()
    assert process.returncode == 0, said
    for step in (
        "logged in by QR code",
        "received",
        "downloaded a file",
        "sent",
        "reconnected without a QR code",
        "logged out",
    ):
        assert f"{client}: {step}" in said
