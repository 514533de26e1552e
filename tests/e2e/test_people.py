"""Where people step in: a code that is typed, an owner who answers, an admin who gives a chat back, another phone."""

import secrets

import httpx2

from tests.conftest import wait_for
from tests.e2e.conftest import CreateTenant
from tests.e2e.installation import Installation
from tests.e2e.tenant import Tenant, make_number


async def link_by_code(tenant: Tenant) -> None:
    """Ask for a code on the landing page and type it on the owner's phone."""
    await tenant.wait_until("SCAN_QR_CODE")
    async with httpx2.AsyncClient(base_url=tenant.installation.portal, timeout=60) as visitor:
        answer = await visitor.post(f"/api/client/{tenant.slug}/link-code", json={"phone": tenant.owner})
    assert answer.status_code == 200, answer.text
    typed = {"code": answer.json()["code"], "phone": tenant.owner, "name": "Dueña"}
    paired = await tenant.phone.post("/pair", json=typed)
    assert paired.status_code == 200, paired.text
    await tenant.wait_until("WORKING")


async def test_an_owner_takes_a_chat_over_until_an_admin_gives_it_back(
    installation: Installation, api: httpx2.AsyncClient, create_tenant: CreateTenant
) -> None:
    tenant, customer = await create_tenant(), make_number()
    await link_by_code(tenant)
    await tenant.receive(customer, "¿Cuál es el horario?")
    assert "9 a 18" in (await tenant.answers(customer))[0]
    chat_id = (await tenant.wait_until_stored(2))[0]["chat_id"]

    wrote = await tenant.phone.post(f"/{tenant.owner}/own", json={"to": customer, "body": "Te atiendo yo."})
    assert wrote.status_code == 200, wrote.text
    await tenant.wait_until_stored(3)
    await tenant.receive(customer, "¿Cuál es la dirección?")
    stored = await tenant.wait_until_stored(4)
    told = {message["text"]: (message["author"], message.get("outcome")) for message in stored}
    assert told["Te atiendo yo."] == ("owner", None)
    assert told["¿Cuál es la dirección?"] == ("contact", "taken_over")

    given_back = await api.post(f"/api/clients/{tenant.id}/conversation", json={"chat_id": chat_id, "automatic": True})
    assert given_back.status_code == 202, given_back.text
    await tenant.receive(customer, "¿Cuánto tarda el envío?")
    answers = await tenant.answers(customer, 2)
    assert "dos días" in answers[1]
    assert len(answers) == 2


async def test_a_released_phone_makes_room_for_another_one(
    installation: Installation, api: httpx2.AsyncClient, create_tenant: CreateTenant
) -> None:
    email = f"{secrets.token_hex(6)}@example.com"
    tenant = await create_tenant(kind="automatic", email=email)
    await tenant.link()
    former, tenant.owner = tenant.owner, make_number()
    released = await api.post(f"/api/admin/clients/{tenant.id}/release-phone")
    assert released.status_code == 200, released.text

    async def unlinked() -> list[dict[str, object]]:
        events: list[dict[str, object]] = (
            await tenant.phone.get(f"/{former}/events", params={"kind": "unlinked"})
        ).json()
        return events

    assert len(await wait_for(unlinked)) == 1
    await tenant.wait_until("SCAN_QR_CODE")
    await tenant.link()
    clients = installation.database()["clients"]
    # The session is stored before its phone is bound.
    await wait_for(lambda: clients.find_one({"_id": tenant.id, "bound_phone": tenant.owner}))

    async def mails() -> list[str]:
        async with httpx2.AsyncClient(base_url=f"{installation.sandbox}/mail/api", timeout=30) as mailbox:
            found = (await mailbox.get("/messages", params={"to": email})).json()["messages"]
        return [mail["subject"] for mail in found if mail["subject"].startswith("Se vinculó un teléfono")]

    async def both() -> list[str] | None:
        return found if len(found := await mails()) >= 2 else None

    assert len(await wait_for(both, interval_s=0.3, what="a mail to the owner for each link")) == 2
