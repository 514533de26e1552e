"""The audit log read: its sentences, its filters over the API, and who may."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from control_plane.accounts.roles import Role
from control_plane.audit.act import Act, Withheld
from control_plane.audit.actions import name_action
from control_plane.audit.models import Actor, ActorKind, AuditEvent, Outcome
from control_plane.audit.repository import AuditEvents, new_id
from control_plane.audit.service import make_event
from control_plane.dependencies import SESSION_COOKIE
from control_plane.permissions import RULES
from control_plane.portal.audit_texts import ACTS, FIELDS
from control_plane.portal.audit_views import make_audit_line
from control_plane.retention.models import Counts
from tests.control_plane.site import Site
from tests.control_plane.test_permissions import enrol

ANA = Actor(kind=ActorKind.PERSON, id="1", name="Ana", role="manager", via="cookie")
SOL = {"client_id": "sol", "client_name": "Panadería Sol"}
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def event(action: str = "client.edit", outcome: Outcome = Outcome.DONE, **values: object) -> AuditEvent:
    """Something that Ana did."""
    act = Act(action, ANA, dict(SOL))
    act.changed({"assistant.model": "gpt-5"}, {"assistant.model": "gpt-6"})
    at = values.get("at", NOON)
    assert isinstance(at, datetime)
    return make_event(act, outcome).model_copy(update={"id": new_id(at), "at": at, **values})


def test_every_act_and_field_has_its_words() -> None:
    acts = {name_action(rule.method, rule.path) for rule in RULES if rule.leaves_a_record}
    acts |= {"client.removed", "cleanup.run", "operator.create-admin", "operator.create-api-key"}
    assert acts - set(ACTS) == set(), "give each a line in control_plane/portal/audit_texts.py"
    assert set(Counts.model_fields) <= set(FIELDS)


def test_events_read_as_sentences_in_both_languages() -> None:
    sentence = {
        outcome: [make_audit_line(event(outcome=outcome), language, {}).sentence for language in ("es", "en")]
        for outcome in Outcome
    }
    assert sentence[Outcome.DONE] == [
        "Ana editó Panadería Sol: modelo gpt-5 → gpt-6",
        "Ana edited Panadería Sol: model gpt-5 → gpt-6",
    ]
    refused = "Ana quiso editar un cliente y no se le permitió (Panadería Sol)"
    assert sentence[Outcome.REFUSED][0].startswith(refused)
    assert sentence[Outcome.FAILED][1].startswith("Ana tried to edit a client and it failed (Panadería Sol)")
    unheard = make_audit_line(event("people.lock", changes=()), "en", {})
    assert unheard.sentence == "Ana did this: people.lock (Panadería Sol)"
    nobody = event("cleanup.run", actor=Actor(kind=ActorKind.SYSTEM), target={}, changes=())
    assert make_audit_line(nobody, "es", {}).sentence == "La plataforma hizo la limpieza"


def test_of_secrets_and_long_texts_the_change_is_told_and_nothing_else() -> None:
    act = Act()
    act.changed(
        {"assistant.api_key": Withheld("one", "secret"), "assistant.instructions": Withheld("abc", "characters")},
        {"assistant.api_key": Withheld("two", "secret"), "assistant.instructions": Withheld("abcde", "characters")},
    )
    line = make_audit_line(event(changes=tuple(act.changes)), "es", {})
    assert line.sentence == "Ana editó Panadería Sol: clave de OpenAI cambiada, instrucciones 3 → 5 caracteres"
    act.changed({"same": Withheld("x", "secret")}, {"same": Withheld("x", "secret")})
    assert len(act.changes) == 2


async def fill(log: AuditEvents) -> dict[str, AuditEvent]:
    """Events that differ in what they are asked for by."""
    luna = {"client_id": "luna", "client_name": "Heladería Luna"}
    made = {
        "edit": event(address="203.0.113.7"),
        "refused": event("client.delete", Outcome.REFUSED, at=NOON + timedelta(days=1), changes=()),
        "luna": event("client.restart", at=NOON + timedelta(days=2), target=luna, changes=()),
        "beto": event(at=NOON + timedelta(days=3), actor=ANA.model_copy(update={"name": "Beto"})),
        "system": event("cleanup.run", at=NOON + timedelta(days=4), actor=Actor(kind=ActorKind.SYSTEM), target={}),
    }
    for one in made.values():
        await log.add(one)
    return made


FOUND = {
    "who=Beto": ["beto"],
    "who=:system": ["system"],
    "client=luna": ["luna"],
    "action=client.edit&who=Ana": ["edit"],
    "outcome=refused": ["refused"],
    "from=2026-03-11&to=2026-03-12": ["luna", "refused"],
    "to=2026-03-10": ["edit"],
    "q=panaderia+SOL": ["beto", "refused", "edit"],
    "q=gpt-6+ana": ["edit"],
    "q=203.0.113.7": ["edit"],
    "q=panad": [],
    "q=%7B%22%24ne%22%3Anull%7D": [],
    "who[$ne]=Ana&who=Beto": ["beto"],
    "who=&client=&outcome=&from=&to=&q=": ["system", "beto", "luna", "refused", "edit"],
}


async def test_the_filters_find_what_they_say(site: Site) -> None:
    made = await fill(AuditEvents(site.database))
    names = {one.id: name for name, one in made.items()}
    found = {}
    for query in FOUND:
        # Asking leaves no record: it only reads.
        answer = (await site.api.get(f"/api/admin/audit?{query}")).json()
        found[query] = [names[one["id"]] for one in answer["events"]]
    assert found == FOUND


async def test_pages_of_the_api_follow_each_other_without_a_gap(site: Site) -> None:
    log = AuditEvents(site.database)
    for minute in range(7):
        await log.add(event(at=NOON + timedelta(minutes=minute)))
    found: list[str] = []
    cursor = ""
    while True:
        page = (await site.api.get(f"/api/admin/audit?limit=3{cursor}")).json()
        found += [one["id"] for one in page["events"]]
        if page["before"] is None:
            break
        cursor = f"&before={page['before']}"
    assert len(found) == 7
    assert found == sorted(found, reverse=True)
    for wrong in ("before=nothing", "outcome=perhaps", "from=yesterday", "limit=0"):
        assert (await site.api.get(f"/api/admin/audit?{wrong}")).status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert (await site.visitor.get("/api/admin/audit")).status_code == HTTPStatus.UNAUTHORIZED


async def test_only_owners_and_admins_see_it_or_are_led_to_it(site: Site) -> None:
    client = await site.create()
    async with site.browser() as browser:
        for role in Role:
            person = await enrol(site, role, client)
            cookie = {"Cookie": f"{SESSION_COOKIE}={person.cookie}"}
            page = await browser.get(f"/admin/clients/{client.id}", headers=cookie)
            log = await browser.get("/admin/audit", headers=cookie)
            export = await browser.get("/admin/audit/export", headers=cookie)
            allowed = role in (Role.OWNER, Role.ADMIN)
            assert ("/admin/audit" in page.text) is allowed, role
            expected = HTTPStatus.OK if allowed else HTTPStatus.FORBIDDEN
            assert (log.status_code, export.status_code) == (expected, expected), role
    refused = await site.database["audit_events"].count_documents({"action": "audit.export", "outcome": "refused"})
    assert refused == len(Role) - 2
