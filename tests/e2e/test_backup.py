"""Backup, wipe, restore: the sessions work again without a QR code, and everything else is as it was."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.conftest import wait_for
from tests.e2e.installation import Installation
from tests.e2e.tenant import Tenant, make_number


def type_backup(installation: Installation, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Type `scripts/backup` or `scripts/restore`, which call this."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FLAME_", "MONGODB"))}
    return subprocess.run(
        [sys.executable, "-m", "control_plane.backup", *arguments],
        cwd=installation.home,
        env=environment | installation.settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


@pytest.mark.timeout(600)
async def test_sessions_work_again_after_backup_wipe_and_restore(tmp_path: Path, chromium: str) -> None:
    installation = Installation(tmp_path / "flame", chromium)
    backup = tmp_path / "elsewhere" / "backup.tar.gz"
    installation.start()
    try:
        headers = {"X-Api-Key": installation.command("create-api-key").split()[-1]}
        async with httpx2.AsyncClient(base_url=installation.portal, headers=headers, timeout=60) as api:
            tenants = [await Tenant.create(installation, api), await Tenant.create(installation, api, kind="automatic")]
            asking, simple = tenants
            customer = make_number()
            for tenant in tenants:
                await tenant.link()
                await tenant.receive(customer, "¿Cuál es el horario?")
            for tenant in tenants:
                await tenant.answers(customer)
                await tenant.wait_until_stored(2)
            links = [await tenant.linked() for tenant in tenants]
            stored = [[message["text"] for message in tenant.stored()] for tenant in tenants]

            done = type_backup(installation, "create", str(backup))
            assert done.returncode == 0, done.stderr
            assert "ANOTHER place" in done.stdout
            # Nobody noticed: the browsers stood still for a moment only.
            await simple.receive(customer, "¿Siguen ahí?")
            await simple.answers(customer, 2)

            refused = type_backup(installation, "restore", str(backup))
            assert (refused.returncode, "stop it first" in refused.stderr) == (1, True)
            installation.stop()
            # The phones and WhatsApp itself are not ours to lose.
            for path in (installation.home / "var").iterdir():
                if path.name != "sandbox":
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            done = type_backup(installation, "restore", str(backup))
            assert done.returncode == 0, done.stderr

            installation.start()
            for tenant in tenants:
                await tenant.wait_until("WORKING")
            assert [await tenant.linked() for tenant in tenants] == links
            for tenant, texts in zip(tenants, stored, strict=True):
                assert {message["text"] for message in tenant.stored()} >= set(texts)
            # The key opens: the assistant at the provider answers with what it knew.
            await asking.receive(customer, "¿Cuál es la dirección?")
            await wait_for(
                lambda: answered(asking, customer), deadline_s=90, interval_s=0.3, what="an answer after the restore"
            )
            view = (await api.get(f"/api/admin/clients/{asking.id}")).json()
            assert asking.key
            assert view["assistant"]["api_key_hint"].endswith(asking.key[-4:])
            for tenant in tenants:
                await tenant.close()
    finally:
        installation.stop()


async def answered(tenant: Tenant, customer: str) -> bool:
    return any("Belgrano" in event["body"] for event in await tenant.sent(customer))
