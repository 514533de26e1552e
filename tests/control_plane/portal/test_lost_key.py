"""The installation lost its encryption key: people read what that means and what to do, never a failure of ours."""

import pytest

from control_plane.clients.models import Client
from control_plane.clients.stored_secrets import read_api_key, read_runner_token
from control_plane.key_rotation import rotate
from control_plane.security import hash_token, open_cipher
from tests.control_plane.portal.site import Site

NOTICE = "La clave de OpenAI guardada no se puede leer"
FORM = {"name": "La Espiga", "email": "ana@example.com", "language": "es", "kind": "openai", "environment": "trial"}


@pytest.fixture
async def robbed(portal: Site) -> tuple[Site, Client]:
    """A client with a key of OpenAI, and the keys file of somebody else."""
    client = await portal.add_client()
    await portal.add_client("Sin clave")
    saved = await portal.post(
        f"/admin/clients/{client.id}/edit", {**FORM, "api_key": "sk-good-first", "retention_hours": "24"}
    )
    assert saved.status_code == 303, saved.text
    assert NOTICE not in (await portal.get("/admin")).text
    with portal.settings.keys_file.open("r+") as file:
        file.truncate()
        file.write("MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA=\n")
    return portal, client


async def test_the_list_and_the_clients_page_say_what_to_do(robbed: tuple[Site, Client]) -> None:
    portal, client = robbed
    listed, page = await portal.get("/admin"), await portal.get(f"/admin/clients/{client.id}")
    assert listed.text.count(NOTICE) == 1
    assert NOTICE in page.text
    assert "Escribí de nuevo la clave de OpenAI" in page.text
    assert NOTICE in (await portal.get(f"/admin/clients/{client.id}/fragment")).text
    tried = await portal.post(f"/admin/clients/{client.id}/key-check", FORM)
    assert "escribila de nuevo" in tried.text


async def test_what_needs_the_secret_is_refused_with_its_cause(robbed: tuple[Site, Client]) -> None:
    portal, client = robbed
    base = f"/admin/clients/{client.id}"
    trial = await portal.post(f"{base}/try", {"text": "hola"})
    assert trial.status_code == 200
    assert "Un dato secreto guardado no se puede leer" in trial.text
    unlinked = await portal.post(f"{base}/unlink")
    assert unlinked.status_code == 303
    refreshed = await portal.browser.post(f"/api/client/{client.slug}/refresh")
    assert refreshed.status_code == 503
    assert refreshed.json()["type"] == "/problems/secret-unreadable"


async def test_writing_the_key_again_and_the_command_mend_it(robbed: tuple[Site, Client]) -> None:
    portal, client = robbed
    cipher = open_cipher(portal.settings)
    await rotate(portal.database, cipher, portal.settings)
    saved = await portal.post(
        f"/admin/clients/{client.id}/edit", {**FORM, "api_key": "sk-good-again", "retention_hours": "24"}
    )
    assert saved.status_code == 303, saved.text
    stored = await portal.clients.get(client.id)
    assert stored is not None
    assert read_api_key(stored, cipher) == "sk-good-again"
    assert NOTICE not in (await portal.get("/admin")).text
    assert hash_token(read_runner_token(stored, cipher)) == stored.runner_token_hash
