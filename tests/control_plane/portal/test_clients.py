import re
from datetime import UTC, datetime, timedelta

import pytest

from control_plane.clients.models import StoredAutomaticAssistant, StoredOpenAIAssistant, Wanted
from control_plane.clients.service import landing_url
from control_plane.portal import clients_list
from control_plane.portal.overview import keep_overview
from control_plane.runners.models import Runner
from control_plane.runners.repository import Runners
from tenant_runner.contract import SessionReason
from tests.control_plane.portal.site import Site, open_runner

OPENAI = {
    "action": "save",
    "name": "Panadería La Espiga",
    "email": "ana@example.com",
    "language": "es",
    "kind": "openai",
    "api_key": "sk-good-abcdefgh4f2a",
    "model": "",
    "instructions": "Sos el asistente.",
    "expected_phone": "",
    "retention_hours": "24",
    "environment": "trial",
}
AUTOMATIC = {
    **OPENAI,
    "kind": "automatic",
    "api_key": "",
    "keywords": ["hours, open", "", "price"],
    "answer": ["From 8 to 20.", "", "Ask us."],
    "default_answer": "Thanks!",
}


async def test_an_empty_list_says_what_to_do(portal: Site) -> None:
    page = await portal.get("/admin")

    assert "Todavía no hay clientes." in page.text
    assert "Creá el primero y le enviamos el enlace." in page.text
    assert page.headers["cache-control"] == "no-store"


async def test_a_client_is_created_without_scripts_and_its_page_has_the_link(portal: Site) -> None:
    answer = await portal.post("/admin/clients/new", OPENAI)

    assert answer.status_code == 303
    page = await portal.get(answer.headers["location"])
    (client,) = await portal.clients.list()
    assert answer.headers["location"] == f"/admin/clients/{client.id}"
    assert landing_url(client, portal.settings) in page.text
    assert "El cliente se creó." in page.text
    assert "En la cola" in page.text
    assert "Preparando la conexión" in page.text
    assert "sk-…4f2a" in page.text
    assert "sk-good-abcdefgh4f2a" not in page.text
    assert await portal.database["emails"].count_documents({"client_id": client.id}) == 1
    assert "El cliente se creó." not in (await portal.get(f"/admin/clients/{client.id}")).text


async def test_errors_stand_beside_their_fields_and_what_was_typed_stays_but_the_key(portal: Site) -> None:
    wrong = {
        **OPENAI,
        "name": '"><script>alert(1)</script>',
        "email": "no-mail",
        "expected_phone": "12",
        "retention_hours": "many",
        "instructions": "Keep <this>",
    }

    page = await portal.post("/admin/clients/new", wrong)

    assert page.status_code == 422
    for text in (
        "Eso no es una dirección de correo.",
        "Escribí el número con su código de país",
        "Escribí un número entero de horas",
        "Escribí de nuevo la clave de OpenAI",
    ):
        assert text in page.text
    assert "Keep &lt;this&gt;" in page.text
    assert 'value="no-mail"' in page.text
    assert 'value="many"' in page.text
    assert "<script>alert(1)" not in page.text
    assert "sk-good" not in page.text
    assert await portal.clients.list() == []


async def test_an_empty_form_names_every_field_that_is_missing(portal: Site) -> None:
    page = await portal.post("/admin/clients/new", {"action": "save", "kind": "openai", "language": "es"})

    for text in ("Escribí el nombre del cliente.", "Escribí el correo del cliente.", "Escribí la clave de OpenAI."):
        assert text in page.text


async def test_a_key_that_openai_refuses_is_said_at_its_field(portal: Site) -> None:
    page = await portal.post("/admin/clients/new", {**OPENAI, "api_key": "sk-bad-abcdefgh"})

    assert page.status_code == 422
    assert "OpenAI rechazó esta clave." in page.text
    assert "sk-bad-abcdefgh" not in page.text


async def test_a_key_is_tried_with_and_without_scripts(portal: Site) -> None:
    scripted = {"HX-Request": "true"}
    expected = {"sk-good-1": "La clave funciona.", "sk-bad-1": "OpenAI rechazó la clave.", "": "Escribí una clave"}
    for key, text in expected.items():
        fragment = await portal.post("/admin/clients/key-check", {**OPENAI, "api_key": key}, headers=scripted)
        assert text in fragment.text
        assert "<html" not in fragment.text
    page = await portal.post("/admin/clients/new", {**OPENAI, "action": "check_key", "api_key": "sk-empty-1"})
    assert "su cuenta no tiene crédito" in page.text
    assert "sk-empty-1" not in page.text
    assert 'value="Panadería La Espiga"' in page.text
    assert await portal.clients.list() == []


async def test_rules_are_rows_that_grow_without_scripts(portal: Site) -> None:
    more = await portal.post("/admin/clients/new", {**AUTOMATIC, "action": "add_rules"})

    assert more.text.count('name="keywords"') == 6
    assert "From 8 to 20." in more.text
    answer = await portal.post("/admin/clients/new", AUTOMATIC)
    assert answer.status_code == 303
    (client,) = await portal.clients.list()
    assert isinstance(client.assistant, StoredAutomaticAssistant)
    assert [rule.keywords for rule in client.assistant.rules] == [("hours", "open"), ("price",)]


async def test_half_a_rule_is_pointed_out(portal: Site) -> None:
    page = await portal.post("/admin/clients/new", {**AUTOMATIC, "answer": ["", "", "Ask us."]})

    assert page.status_code == 422
    assert page.text.count("Una regla necesita al menos una palabra y una respuesta.") == 1


async def test_editing_keeps_the_stored_key_unless_another_is_written(portal: Site) -> None:
    await portal.post("/admin/clients/new", OPENAI)
    (client,) = await portal.clients.list()
    assert isinstance(client.assistant, StoredOpenAIAssistant)

    form = await portal.get(f"/admin/clients/{client.id}/edit")
    assert "sk-…4f2a" in form.text
    assert client.assistant.api_key_encrypted not in form.text
    answer = await portal.post(f"/admin/clients/{client.id}/edit", {**OPENAI, "api_key": "", "name": "Otra"})

    assert answer.status_code == 303
    (changed,) = await portal.clients.list()
    assert isinstance(changed.assistant, StoredOpenAIAssistant)
    assert changed.name == "Otra"
    assert changed.assistant.api_key_encrypted == client.assistant.api_key_encrypted


async def test_the_same_list_shows_names_as_text_and_what_needs_attention_first(portal: Site) -> None:
    await portal.add_client("Tranquila")
    troubled = await portal.add_client("<img src=x onerror=alert(1)>")
    await portal.report(troubled, SessionReason.RESTRICTED, phone="5491155554821")
    await portal.add_client("Nueva")

    page = (await portal.get("/admin")).text

    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert page.index("onerror") < page.index("Tranquila")
    assert "Restringido por WhatsApp" in page
    assert "WhatsApp restringió esta cuenta" in page


async def test_a_client_that_waits_for_its_turn_says_how_many_start_before_it(portal: Site) -> None:
    client = await portal.add_client()
    runners = Runners(portal.database)
    await runners.show_waiting(Runner(client_id=client.id), 3, datetime.now(UTC))

    page = (await portal.get(f"/admin/clients/{client.id}")).text

    assert "Espera su turno para arrancar: 3 clientes antes." in page


async def test_connecting_disconnecting_and_restarting_change_what_is_wanted(portal: Site) -> None:
    client = await portal.add_client()
    page = f"/admin/clients/{client.id}"

    for action, flash in (
        ("disconnect", "Desconectando"),
        ("connect", "Conectando"),
        ("restart", "Reiniciando"),
    ):
        answer = await portal.post(f"{page}/{action}")
        assert answer.headers["location"] == page
        assert flash in (await portal.get(page)).text
        if action == "disconnect":
            (paused,) = await portal.clients.list()
            assert paused.wanted is Wanted.DISCONNECTED
            assert "Lo desconectó un administrador" in (await portal.get(page)).text
    (current,) = await portal.clients.list()
    assert (current.wanted, current.restarts) == (Wanted.CONNECTED, 1)


async def test_a_click_on_a_plain_link_changes_nothing(portal: Site) -> None:
    client = await portal.add_client()

    for action in ("connect", "disconnect", "restart", "unlink", "invitation", "try"):
        assert (await portal.get(f"/admin/clients/{client.id}/{action}")).status_code == 405


async def test_logging_the_phone_out_says_when_it_could_not(portal: Site) -> None:
    client = await portal.add_client()
    page = f"/admin/clients/{client.id}"

    await portal.post(f"{page}/unlink")
    assert "No se pudo cerrar la sesión ahora" in (await portal.get(page)).text
    async with open_runner(portal, client) as runner:
        await portal.post(f"{page}/unlink")
    assert "Se cerró la sesión del teléfono." in (await portal.get(page)).text
    assert runner.asked == [("session/logout", None)]


async def test_the_assistant_is_tried_with_and_without_scripts(portal: Site) -> None:
    client = await portal.add_client()
    address = f"/admin/clients/{client.id}/try"

    down = await portal.post(address, {"text": "Hola"})
    assert "El proceso del cliente no contesta" in down.text
    async with open_runner(portal, client) as runner:
        page = await portal.post(address, {"text": "¿Abren?"})
        fragment = await portal.post(address, {"text": "¿Abren?"}, headers={"HX-Request": "true"})

    assert "Abrimos a las &lt;b&gt;ocho&lt;/b&gt;." in page.text
    assert "¿Abren?" in page.text
    assert "<html" in page.text
    assert "Abrimos a las" in fragment.text
    assert "<html" not in fragment.text
    assert {path for path, _ in runner.asked} == {"process-message"}


async def test_a_client_is_deleted_only_when_its_name_is_typed(portal: Site) -> None:
    client = await portal.add_client("La Espiga & Cía")
    address = f"/admin/clients/{client.id}/delete"

    wrong = await portal.post(address, {"name": "la espiga"})
    assert wrong.status_code == 422
    assert "Ese no es el nombre; no se borró nada." in wrong.text
    (kept,) = await portal.clients.list()
    assert kept.deleting_since is None
    right = await portal.post(address, {"name": "La Espiga & Cía"})
    assert right.headers["location"] == "/admin"
    (going,) = await portal.clients.list()
    assert going.deleting_since is not None
    assert "Borrando" in (await portal.get("/admin")).text


async def test_a_problem_of_the_assistant_says_what_to_do(portal: Site) -> None:
    client = await portal.add_client()
    detail = "You exceeded your current quota <plan>"
    await portal.report(
        client,
        SessionReason.CONNECTED,
        assistant_problem="no_quota",
        assistant_problem_detail=detail,
        phone="549115555",
    )

    page = (await portal.get(f"/admin/clients/{client.id}")).text

    assert "La cuenta de OpenAI se quedó sin crédito" in page
    assert "Cargá crédito" in page
    assert "You exceeded your current quota &lt;plan&gt;" in page


async def test_a_clients_own_limits_are_typed_in_its_form_and_empty_is_the_installations(portal: Site) -> None:
    own = {"takeover_minutes": "45", "opt_out_words": "baja, chau", "sends_per_day": "99"}
    wrong = await portal.post("/admin/clients/new", {**AUTOMATIC, **own, "sends_per_minute": "many"})
    assert "Escribí un número entero de 1 a 1000." in wrong.text
    assert 'advanced" open' in wrong.text

    await portal.post("/admin/clients/new", {**AUTOMATIC, **own})
    (client,) = await portal.clients.list()
    assert (client.overrides.takeover_minutes, client.overrides.too_old_minutes) == (45, None)
    assert client.overrides.opt_out_words == ("baja", "chau")
    form = (await portal.get(f"/admin/clients/{client.id}/edit")).text
    assert 'value="baja, chau"' in form
    assert 'placeholder="2000"' in form
    await portal.post(f"/admin/clients/{client.id}/edit", {**AUTOMATIC, "sends_per_day": "98"})
    (changed,) = await portal.clients.list()
    assert (changed.overrides.takeover_minutes, changed.overrides.sends_per_day) == (None, 98)


async def test_a_bound_number_is_released_by_a_button_and_an_absent_runner_is_told(portal: Site) -> None:
    client = await portal.add_client()
    address = f"/admin/clients/{client.id}"
    await portal.clients.bind_phone(client.id, "5491155554821")
    await portal.report(client, SessionReason.CONNECTED, phone="5491155554821", linked_phone="5491155554821")
    assert "Liberar el número" in (await portal.get(address)).text

    await portal.post(f"{address}/release-phone")
    assert "El número no se liberó" in (await portal.get(address)).text
    async with open_runner(portal, client) as runner:
        await portal.post(f"{address}/release-phone")

    assert runner.asked == [("session/logout", None)]
    page = (await portal.get(address)).text
    assert "El número quedó libre" in page
    assert "Liberar el número" not in page


async def test_an_unknown_client_is_a_page_that_leads_back(portal: Site) -> None:
    page = await portal.get("/admin/clients/nobody")

    assert page.status_code == 404
    assert "No existe ese cliente" in page.text
    assert 'href="/admin"' in page.text


async def test_banners_of_environments_are_on_every_page(portal: Site) -> None:
    client = await portal.add_client()

    for path in ("/admin", "/admin/cleanup", f"/admin/clients/{client.id}"):
        page = (await portal.get(path)).text
        assert "Nothing here is real &lt;really&gt;" in page
        assert 'href="http://localhost:1/phone"' in page


async def test_a_mail_that_failed_shows_why_and_can_be_sent_again(portal: Site) -> None:
    client = await portal.add_client()
    page = f"/admin/clients/{client.id}"
    now = datetime.now(UTC)
    mail = {"_id": "m1", "client_id": client.id, "kind": "invitation", "to": "ana@example.com", "created_at": now}
    failed = {"state": "failed", "last_error": "550 unknown user", "next_attempt_at": now}
    await portal.database["emails"].insert_one({**mail, **failed})

    assert "No se entregó" in (await portal.get(page)).text
    assert "550 unknown user" in (await portal.get(page)).text
    waiting = {"state": "waiting_for_smtp", "last_error": None, "created_at": now + timedelta(seconds=1)}
    await portal.database["emails"].update_one({"_id": "m1"}, {"$set": waiting})
    assert "No hay un servidor SMTP configurado" in (await portal.get(page)).text
    await portal.post(f"{page}/invitation")
    assert "En la cola" in (await portal.get(page)).text


async def test_a_process_that_stops_again_and_again_shows_its_cause(portal: Site) -> None:
    client = await portal.add_client()
    await portal.report(client, SessionReason.CONNECTED, phone="5491155554821")
    crashed = {"state": "crash_loop", "message": "it ended 5 times; the next start is in 8 minutes"}
    await portal.database["runners"].insert_one({"_id": client.id, **crashed})

    page = (await portal.get(f"/admin/clients/{client.id}")).text

    assert "El proceso del asistente se cae una y otra vez" in page
    assert crashed["message"] in page
    assert "Se cae una y otra vez" in (await portal.get("/admin")).text


async def test_a_long_list_goes_on_page_by_page_and_shows_each_client_once(
    portal: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients_list, "PAGE_SIZE", 3)
    names = [f"Cliente {number:02}" for number in range(5)]
    clients = [await portal.add_client(name) for name in names]

    async def read() -> list[str]:
        first = (await portal.get("/admin")).text
        assert '/admin/events"' in first
        assert "Primeros clientes" not in first
        after = re.search(r"/admin\?after=(\w+)", first)
        assert after, first
        second = (await portal.get(f"/admin?after={after[1]}")).text
        assert f'/admin/events?after={after[1]}"' in second
        assert "Más clientes" not in second
        return re.findall(r">(Cliente \d\d)</a>", first) + re.findall(r">(Cliente \d\d)</a>", second)

    newest_first = [*reversed(names)]
    assert await read() == newest_first
    # With the scheduler's overview too, to which those are added that were made since.
    await keep_overview(
        [*reversed(clients[:-1])],
        {},
        read_at=clients[-1].created_at,
        database=portal.database,
        settings=portal.settings,
        cipher=portal.cipher,
    )
    assert await read() == newest_first
    assert (await portal.get("/admin?after=nobody")).status_code == 404
