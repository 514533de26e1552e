"""What a client has differently from the installation, and what its runner is told in the end."""

from typing import Any

import pytest

from control_plane.settings import Settings
from tenant_runner.contract import RunnerConfig
from tests.control_plane.site import AUTOMATIC, Site, change


async def config(site: Site, client_id: str) -> RunnerConfig:
    client = await site.clients.get(client_id)
    assert client is not None
    return RunnerConfig.model_validate_json((await site.runner(client).config()).content)


async def test_a_runner_is_told_the_installations_settings_unless_the_client_has_its_own(site: Site) -> None:
    site.app.state.settings = change(
        site.settings, takeover_minutes=10, opt_out_words="BAJA, no más", sends_per_hour=50, memory_limit_mb=800
    )
    client = await site.create(language="en", overrides={"sends_per_hour": 7, "too_old_minutes": 3})
    path = f"/api/admin/clients/{client.id}"

    told = await config(site, client.id)
    assert (told.takeover_s, told.too_old_s, told.memory_limit_mb) == (600, 180, 800)
    assert (told.pacing.per_minute, told.pacing.per_hour, told.pacing.per_day) == (20, 7, 2_000)
    assert told.opt_out_words == ("BAJA", "no más")
    assert told.channel.page_version is None
    for text in (told.unsupported_text, told.apology_text, told.opt_out_text):
        assert text.isascii()
        assert text

    own = {"memory_limit_mb": 0, "opt_out_words": [], "whatsapp_web_version": "2.3000.1023204257-alpha"}
    answer = await site.api.patch(path, json={"overrides": {**own, "too_old_minutes": None}})
    assert answer.json()["overrides"]["sends_per_hour"] == 7
    now = await config(site, client.id)
    assert now.revision == 2
    assert (now.memory_limit_mb, now.opt_out_words, now.pacing.per_hour) == (None, (), 7)
    assert (now.too_old_s, now.channel.page_version) == (900, "2.3000.1023204257-alpha")
    await site.api.patch(path, json={"overrides": own})
    assert (await config(site, client.id)).revision == 2


async def test_customers_are_told_in_the_clients_language(site: Site) -> None:
    spanish = await config(site, (await site.create()).id)

    assert "por escrito" in spanish.unsupported_text
    assert "Perdón por la demora" in spanish.apology_text
    assert "respuestas automáticas" in spanish.opt_out_text


@pytest.mark.parametrize(
    "wrong",
    [
        {"takeover_minutes": -1},
        {"sends_per_day": 0},
        {"opt_out_words": ["x" * 41]},
        {"whatsapp_web_version": "../../etc/passwd"},
        {"unknown": 1},
    ],
)
async def test_what_cannot_be_is_refused(site: Site, wrong: dict[str, Any]) -> None:
    body = {"name": "x", "email": "a@example.com", "assistant": AUTOMATIC, "overrides": wrong}
    assert (await site.api.post("/api/admin/clients", json=body)).status_code == 422


def test_the_environment_gives_words_with_commas_and_an_empty_version_pins_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLAME_OPT_OUT_WORDS", "baja, stop,,no más ")
    monkeypatch.setenv("FLAME_WHATSAPP_WEB_VERSION", "")

    settings = Settings()

    assert (settings.opt_out_words, settings.whatsapp_web_version) == (("baja", "stop", "no más"), None)
