"""Erasing a contact: at once here, then in the runner; nothing comes back; the record proves it, not whose it was."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from control_plane.clients.models import Client
from control_plane.clients.removal import finish_deletion
from control_plane.data_rights import service
from control_plane.data_rights.models import Erasure, hash_address
from control_plane.data_rights.repository import ClientData, Erasures
from control_plane.runners.gateway import RunnerUnreachable
from tenant_runner.contract import PurgeReport, PurgeRequest
from tests.control_plane.site import Site, event, message

PHONE, OTHER = "5491122223333", "5491100009999"
CHAT, LID, OTHERS_CHAT = f"{PHONE}@c.us", "99887766@lid", f"{OTHER}@c.us"
REPORT = PurgeReport(messages=4, threads=1, remote_conversations=1)


class RunnersSide:
    """Answers purges as it is told to, and remembers them."""

    def __init__(self, *answers: PurgeReport | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[PurgeRequest] = []

    async def purge(self, client: Client, request: PurgeRequest) -> PurgeReport:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def fill(site: Site, client: Client) -> None:
    at = datetime.now(UTC) - timedelta(minutes=5)
    chats = ((CHAT, PHONE), (LID, PHONE), (OTHERS_CHAT, OTHER))
    events = [
        message(number, f"m{number}", chat_id=chat, contact_phone=phone, contact_name="Ana", sent_at=at.isoformat())
        for number, (chat, phone) in enumerate(chats, start=1)
    ]
    for chat, _ in chats:
        told = {"chat_id": chat, "conversation_id": f"conv-{chat}", "last_activity_at": at.isoformat()}
        events.append(event(len(events) + 1, event="thread.changed", **told))
        waiting = {"chat_id": chat, "status": "waiting_for_human", "reason": "handed_over"}
        events.append(event(len(events) + 1, event="conversation.status_changed", **waiting))
    assert (await site.runner(client).deliver(*events)).json()["accepted_through"] == 9


async def left(site: Site, client: Client) -> dict[str, set[str]]:
    """Chats of which there is anything, by collection."""
    names = ("client_messages", "client_threads", "client_conversations")
    return {name: {d["chat_id"] async for d in site.database[name].find({"client_id": client.id})} for name in names}


async def ask(site: Site, client: Client, chat: str = LID, typed: str = "3333") -> dict[str, Any]:
    path = f"/api/admin/clients/{client.id}/contacts/{chat}/erase"
    answer = await site.api.post(path, json={"confirmation": typed})
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


async def carry_out(site: Site, side: RunnersSide) -> list[Erasure]:
    """What the scheduler does, as if the time to settle were over."""
    await site.database["erasures"].update_many({}, {"$set": {"next_attempt_at": datetime.now(UTC)}})
    return await service.carry_out(
        erasures=Erasures(site.database),
        clients=site.clients,
        data_of=lambda client_id: ClientData(site.database, client_id),
        purge=side.purge,
    )


async def test_every_chat_of_one_person_goes_and_nothing_else(site: Site) -> None:
    client, neighbour = await site.create(), await site.create("Vecina")
    for each in (client, neighbour):
        await fill(site, each)
    record = await ask(site, client)
    assert set().union(*(await left(site, client)).values()) == {OTHERS_CHAT}
    assert set().union(*(await left(site, neighbour)).values()) == {CHAT, LID, OTHERS_CHAT}
    assert record["state"] == "requested"
    assert record["before"] == {"messages": 2, "threads": 2, "chat_statuses": 2, "mails": 0}

    side = RunnersSide(REPORT)
    [done] = await carry_out(site, side)
    [request] = side.asked
    assert set(request.chat_ids) == {CHAT, LID}
    assert request.before == done.requested_at
    assert (done.state, done.deleted.journal_messages, done.deleted.remote_conversations) == ("done", 4, 1)
    assert await carry_out(site, RunnersSide()) == []


async def test_the_record_proves_it_and_says_nothing_of_whom(site: Site) -> None:
    client = await site.create()
    await fill(site, client)
    await ask(site, client)
    [done] = await carry_out(site, RunnersSide(REPORT))
    stored = await site.database["erasures"].find_one({"_id": done.id})
    shown = (await site.api.get(f"/api/admin/erasures/{done.id}")).json()
    for text in (json.dumps(stored, default=str), json.dumps(shown)):
        assert not any(personal in text for personal in (PHONE, LID.split("@")[0], "Ana"))
    assert shown["hint"] == "3333"
    assert shown["requested_by"]
    assert shown["after"] == {"messages": 0, "threads": 0, "chat_statuses": 0, "mails": 0}
    # Whoever knows the address can check that the record is about it.
    assert hash_address(shown["salt"], CHAT) in shown["contact_hashes"]
    assert hash_address(shown["salt"], OTHERS_CHAT) not in shown["contact_hashes"]


async def test_events_on_their_way_bring_nothing_back_and_a_new_message_is_a_new_contact(site: Site) -> None:
    client = await site.create()
    runner = site.runner(client)
    await fill(site, client)
    late = message(10, "late", chat_id=CHAT, contact_phone=PHONE, text="mi secreto")
    await ask(site, client)
    await runner.deliver(late)
    assert CHAT not in (await left(site, client))["client_messages"]
    await carry_out(site, RunnersSide(REPORT))
    await runner.deliver({**late, "sequence": 11, "id": "again"})
    assert CHAT not in (await left(site, client))["client_messages"]
    await runner.deliver(message(12, "new", chat_id=CHAT, contact_phone=PHONE, text="hola de nuevo"))
    assert CHAT in (await left(site, client))["client_messages"]


async def test_what_fails_is_said_and_tried_again_until_it_is_done(site: Site) -> None:
    client = await site.create()
    await fill(site, client)
    await ask(site, client)
    failing = PurgeReport(messages=4, threads=1, failed=1, detail="the provider did not answer in time")
    side = RunnersSide(RunnerUnreachable(), failing, REPORT)
    [first] = await carry_out(site, side)
    assert (first.state, first.attempts) == ("waiting", 1)
    assert "could not do it" in (first.detail or "")
    due = (await site.database["erasures"].find_one({"_id": first.id}) or {})["next_attempt_at"]
    assert due > datetime.now(UTC)
    [second] = await carry_out(site, side)
    assert (second.state, second.detail) == ("waiting", "the provider did not answer in time")
    [third] = await carry_out(site, side)
    assert (third.state, third.detail, third.attempts) == ("done", None, 3)
    assert side.asked[0] == side.asked[2]


async def test_asking_twice_is_one_erasure_and_a_wrong_confirmation_is_none(site: Site) -> None:
    client = await site.create()
    await fill(site, client)
    path = f"/api/admin/clients/{client.id}/contacts/{CHAT}/erase"
    for wrong in ("0000", "333", PHONE):
        assert (await site.api.post(path, json={"confirmation": wrong})).status_code == 409
    assert CHAT in (await left(site, client))["client_messages"]
    first, second = await ask(site, client, CHAT), await ask(site, client, CHAT)
    assert first["id"] == second["id"]
    assert [erasure["id"] for erasure in (await site.api.get("/api/admin/erasures")).json()] == [first["id"]]
    assert (await site.api.get("/api/admin/erasures/none")).status_code == 404


async def test_a_deleted_client_leaves_a_record_of_it(site: Site) -> None:
    client = await site.create()
    await fill(site, client)
    await ask(site, client)
    answer = await site.api.request("DELETE", f"/api/admin/clients/{client.id}", json={"name": client.name})
    assert answer.status_code == 202
    await finish_deletion(client.id, database=site.database)
    await finish_deletion(client.id, database=site.database)
    records = {erasure["subject"]: erasure for erasure in (await site.api.get("/api/admin/erasures")).json()}
    assert {erasure["state"] for erasure in records.values()} == {"done"}
    whole = records["client"]
    assert (whole["client_id"], whole["before"]["messages"], whole["before"]["mails"]) == (client.id, 1, 1)
    assert whole["requested_by"]
    assert whole["after"] == {"messages": 0, "threads": 0, "chat_statuses": 0, "mails": 0}
    assert (await site.database["erasures"].find_one({"chat_ids": {"$exists": True}})) is None
