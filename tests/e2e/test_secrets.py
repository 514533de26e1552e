"""Secrets of a running installation are where they have to be and nowhere else."""

import os
import stat
from pathlib import Path

import httpx2
import psutil

from tests.conftest import wait_for
from tests.e2e.conftest import CreateTenant
from tests.e2e.installation import Installation
from tests.log_scan import find_kept_secrets


async def test_no_command_line_environment_or_supervisor_file_holds_a_secret(
    installation: Installation, api: httpx2.AsyncClient, create_tenant: CreateTenant
) -> None:
    tenant = await create_tenant()
    await wait_for(lambda: installation.browsers(tenant.id), what="the client's browser")
    secrets = {secret.value: secret.kind for secret in find_kept_secrets(installation.home / "var")}
    assert {"a runner's token", "an encryption key", "the database's password"} <= set(secrets.values())
    assert tenant.key is not None
    secrets |= {tenant.key: "an OpenAI key", tenant.slug: "a landing link", api.headers["X-Api-Key"]: "an API key"}

    def kinds(text: str) -> set[str]:
        return {kind for secret, kind in secrets.items() if secret in text}

    seen = 0
    for process in installation.processes():
        try:
            said = "\n".join([*process.cmdline(), *process.environ().values()])
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        seen += 1
        assert kinds(said) == set(), process.name()
    # Supervisord, web, scheduler, database, sandbox, the runner and its browser.
    assert seen >= 7
    # Not by `rglob`: it fails when a browser takes a directory away meanwhile.
    files = [Path(directory, name) for directory, _, names in os.walk(installation.home / "var") for name in names]
    for file in files:
        supervisors = "supervisor" in file.parts
        if file.is_file() and (supervisors or file.name in ("keys", "uri", "settings.env", "runner.json")):
            assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
            assert not supervisors or kinds(file.read_text(errors="replace")) == set(), file


async def test_the_database_holds_no_secret_in_plain_text(
    installation: Installation, create_tenant: CreateTenant
) -> None:
    tenant = await create_tenant()
    database = installation.database()
    secrets = {secret.value for secret in find_kept_secrets(installation.home / "var")} | {tenant.key or ""}
    stored = "\n".join(
        str(document) for name in database.list_collection_names() for document in database[name].find({})
    )
    assert tenant.slug in stored
    assert [secret for secret in secrets if secret in stored] == []
