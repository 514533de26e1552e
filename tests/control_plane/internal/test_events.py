"""What runners are told and what they tell: each event once, whatever happens to the delivery."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
import zxingcpp
from fastapi import FastAPI, Request
from PIL import Image

from control_plane.conversations.repository import Conversations
from control_plane.sessions import service
from control_plane.sessions.models import Session
from control_plane.sessions.repository import ClientSession, FenceOutdated
from tenant_runner.contract import REPLACED_PROBLEM, RunnerConfig
from tests.control_plane.portal.site import serve
from tests.control_plane.site import Site, event, message

CHAT = "5491122223333@c.us"


def scan(version: int = 1, qr: str = "2@the-code,with,commas", **values: Any) -> dict[str, Any]:
    expires = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
    shown = {"version": version, "state": "SCAN_QR_CODE", "reason": "code_shown", "qr": qr, "qr_expires_at": expires}
    return shown | values


def working(version: int = 2, phone: str = "5491122223333") -> dict[str, Any]:
    return {"version": version, "state": "WORKING", "reason": "connected", "phone": phone}


async def session_of(site: Site, client_id: str) -> Session:
    return await ClientSession(site.database, client_id).get()


@contextlib.asynccontextmanager
async def answering(port: int, answer: dict[str, Any]) -> AsyncIterator[list[Any]]:
    """A runner that answers everything the same; what it was asked."""
    app, asked = FastAPI(), list[Any]()

    @app.post("/{path:path}")
    async def take(request: Request) -> dict[str, Any]:
        asked.append(await request.json() if await request.body() else None)
        return answer

    async with serve(app, port):
        yield asked


def receipt(response: httpx2.Response) -> dict[str, int]:
    assert response.status_code == 200, response.text
    found: dict[str, int] = response.json()
    return found


# ------------------------------------------------------------------------------------------------ configuration


async def test_a_runner_gets_its_own_configuration_with_the_key_in_the_clear(site: Site) -> None:
    key = "sk-test-aaaabbbbcccc0007"
    client = await site.create(assistant={"kind": "openai", "api_key": key, "instructions": "Breve."}, language="en")
    response = await site.runner(client).config()
    config = RunnerConfig.model_validate_json(response.content)
    assert response.headers["cache-control"] == "no-store"
    assert (config.client_id, config.language, config.revision) == (client.id, "en", 1)
    assert config.assistant.kind == "openai"
    assert config.assistant.api_key.get_secret_value() == key
    assert config.assistant.base_url == site.settings.all_environments[0].openai_base_url
    assert config.fallback_text.startswith("We got your message")


async def test_a_wrong_token_gets_nothing(site: Site) -> None:
    client = await site.create()
    runner = site.runner(client)
    for headers in ({}, {"X-Api-Key": "wrong"}, {"X-Api-Key": client.runner_token_hash}):
        runner.headers = headers
        for response in (await runner.config(), await runner.deliver(message(1, "a"))):
            assert (response.status_code, response.json()["type"]) == (401, "/problems/wrong-token")
    assert await site.database["client_messages"].count_documents({}) == 0


async def test_a_token_writes_only_its_own_clients_data(site: Site) -> None:
    one, two = await site.create("Uno"), await site.create("Dos")
    await site.runner(one).deliver(message(1, "same-id", text="de uno"))
    await site.runner(two).deliver(message(1, "same-id", text="de dos"))
    texts = {document["client_id"]: document["text"] async for document in site.database["client_messages"].find()}
    assert texts == {one.id: "de uno", two.id: "de dos"}


async def test_a_client_that_is_being_deleted_still_answers_its_runner(site: Site) -> None:
    client = await site.create()
    await site.clients.mark_deleting(client.id)
    assert (await site.runner(client).config()).status_code == 200


# ------------------------------------------------------------------------------------------------ events


async def test_a_delivery_that_comes_twice_is_recorded_once(site: Site) -> None:
    runner = site.runner(await site.create())
    events = (message(1, "a"), message(2, "b"))
    first = receipt(await runner.deliver(*events))
    again = receipt(await runner.deliver(*events))
    assert first["accepted_through"] == again["accepted_through"] == 2
    assert await site.database["client_messages"].count_documents({}) == 2


async def test_deliveries_that_overlap_record_each_message_once(site: Site) -> None:
    runner = site.runner(await site.create())
    await runner.start()
    events = [message(number, f"id-{number}") for number in range(1, 21)]
    receipts = await asyncio.gather(*(runner.deliver(*events) for _ in range(4)))
    assert {receipt(response)["accepted_through"] for response in receipts} == {20}
    assert await site.database["client_messages"].count_documents({}) == 20


async def test_a_slow_database_takes_what_it_can_in_time_and_the_rest_with_the_next_deliveries(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Conversations.record

    async def record_slowly(self: Conversations, *arguments: Any, **named: Any) -> None:
        await asyncio.sleep(0.2)
        await record(self, *arguments, **named)

    monkeypatch.setattr(Conversations, "record", record_slowly)
    monkeypatch.setattr(service, "APPLIED_AT_ONCE", 4)
    monkeypatch.setattr(service, "ACCEPT_BUDGET_S", 0.3)
    runner = site.runner(await site.create())
    events = [message(number, f"id-{number}") for number in range(1, 21)]
    through: list[int] = []
    while not through or through[-1] < 20:
        through.append(receipt(await runner.deliver(*events))["accepted_through"])
        assert len(through) < 2 or through[-1] > through[-2]
    assert len(through) > 1
    assert await site.database["client_messages"].count_documents({}) == 20


async def test_a_new_journal_starts_again_and_the_old_one_is_known_by_its_messages(site: Site) -> None:
    runner = site.runner(await site.create())
    await runner.deliver(message(1, "a"), message(2, "b"))
    answer = receipt(await runner.deliver(message(1, "b"), message(2, "c"), journal_id="another"))
    stored = [document["message_id"] async for document in site.database["client_messages"].find()]
    assert answer["accepted_through"] == 2
    assert sorted(stored) == ["a", "b", "c"]


async def test_an_empty_delivery_is_a_heartbeat(site: Site) -> None:
    client = await site.create()
    runner = site.runner(client)
    await runner.deliver(message(1, "a"))
    before = await session_of(site, client.id)
    assert receipt(await runner.deliver())["accepted_through"] == 1
    after = await session_of(site, client.id)
    assert before.heard_at is not None
    assert after.heard_at is not None
    assert after.heard_at > before.heard_at
    # Pages are not woken by a heartbeat.
    assert after.updated_at == before.updated_at


async def test_acknowledgements_only_go_forward(site: Site) -> None:
    runner = site.runner(await site.create())
    await runner.deliver(message(1, "a", author="assistant"))
    acks = [
        event(2 + i, event="message.ack", message_id="a", chat_id=CHAT, ack=ack)
        for i, ack in enumerate(("server", "read", "delivered", "pending"))
    ]
    await runner.deliver(*acks)
    # The same message told again leaves the acknowledgement as it is.
    await runner.deliver(message(6, "a", author="assistant", outcome="sent"))
    stored = await site.database["client_messages"].find_one({"message_id": "a"})
    assert stored is not None
    assert (stored["ack"], stored["outcome"]) == ("read", "sent")


async def test_a_message_brings_its_acknowledgement_along_and_a_repetition_does_not_bring_it_back(site: Site) -> None:
    runner = site.runner(await site.create())

    def ack(sequence: int, message_id: str, ack: str) -> dict[str, Any]:
        return event(sequence, event="message.ack", message_id=message_id, chat_id=CHAT, ack=ack)

    async def stored(message_id: str) -> Any:
        document = await site.database["client_messages"].find_one({"message_id": message_id})
        return document and document["ack"]

    told = [message(1, "a", author="assistant"), ack(2, "a", "server"), ack(3, "a", "delivered"), ack(4, "a", "server")]
    await runner.deliver(*told)
    assert await stored("a") == "delivered"
    # One that is known, told with one that is not: each gets its own.
    again = message(5, "a", author="assistant"), message(6, "b", author="assistant")
    await runner.deliver(*again, ack(7, "a", "read"), ack(8, "b", "failed"), ack(9, "nobody", "read"))
    assert [await stored("a"), await stored("b"), await stored("nobody")] == ["read", "failed", None]
    await runner.deliver(message(10, "a", author="assistant"), ack(11, "a", "server"))
    assert await stored("a") == "read"


async def test_a_thread_is_stored_replaced_and_forgotten(site: Site) -> None:
    runner = site.runner(await site.create())
    now = datetime.now(UTC)

    def thread(sequence: int, conversation_id: str | None, at: datetime) -> dict[str, Any]:
        return event(
            sequence,
            event="thread.changed",
            chat_id=CHAT,
            conversation_id=conversation_id,
            generation=sequence,
            last_activity_at=at.isoformat(),
        )

    async def stored() -> list[str]:
        return [document["conversation_id"] async for document in site.database["client_threads"].find()]

    await runner.deliver(thread(1, "conv_1", now), thread(2, "conv_2", now + timedelta(seconds=1)))
    assert await stored() == ["conv_2"]
    # A late copy of the older event, by a journal that the control plane does not know.
    await runner.deliver(thread(1, "conv_1", now), thread(2, None, now), journal_id="copy")
    assert await stored() == ["conv_2"]
    await runner.deliver(thread(3, None, now + timedelta(seconds=1)), journal_id="copy")
    assert await stored() == []


async def test_who_answers_and_whether_the_assistant_can_is_stored(site: Site) -> None:
    client = await site.create()
    runner = site.runner(client)
    status = {"event": "conversation.status_changed", "status": "suspended"}
    problem = {"event": "assistant.status_changed", "problem": "no_quota", "detail": "You exceeded your quota"}
    await runner.deliver(event(1, chat_id=CHAT, **status), event(2, chat_id=None, **status), event(3, **problem))
    troubled = await session_of(site, client.id)
    stored = await site.database["client_conversations"].find_one({"client_id": client.id})
    assert stored is not None
    assert (stored["chat_id"], stored["status"]) == (CHAT, "suspended")
    assert (troubled.automatic, troubled.assistant_problem) == (False, "no_quota")
    assert troubled.assistant_problem_since is not None
    await runner.deliver(
        event(4, chat_id=None, **(status | {"status": "automatic"})), event(5, **(problem | {"problem": None}))
    )
    mended = await session_of(site, client.id)
    assert (mended.automatic, mended.assistant_problem, mended.assistant_problem_since) == (True, None, None)


async def test_a_delivery_that_is_not_valid_is_refused_whole_and_echoes_nothing(site: Site) -> None:
    runner = site.runner(await site.create())
    response = await runner.deliver(message(1, "a"), message(2, "b", author="the secret author", text="secreto"))
    assert response.status_code == 422
    assert "secret" not in response.text
    assert await site.database["client_messages"].count_documents({}) == 0


# ------------------------------------------------------------------------------------------------ sessions


async def test_the_code_is_shown_while_it_can_be_scanned_and_gone_afterwards(site: Site) -> None:
    client = await site.create()
    runner = site.runner(client)
    path = f"/api/client/{client.slug}"
    assert (await site.visitor.get(f"{path}/qr")).status_code == 404

    await runner.deliver(session=scan())
    shown = await site.visitor.get(f"{path}/qr")
    status = await site.visitor.get(f"{path}/status")
    found = zxingcpp.read_barcodes(Image.open(io.BytesIO(shown.content)))
    assert shown.headers["content-type"] == "image/png"
    assert "no-store" in shown.headers["cache-control"]
    assert [code.text for code in found] == ["2@the-code,with,commas"]
    assert status.json()["state"] == "SCAN_QR_CODE"
    assert "2@the-code" not in status.text
    # The session's own document holds no credential.
    assert "2@the-code" not in str(await site.database["client_sessions"].find_one({"_id": client.id}))

    await runner.deliver(session=working())
    status = await site.visitor.get(f"{path}/status")
    assert (await site.visitor.get(f"{path}/qr")).status_code == 404
    assert await site.database["client_qr_codes"].count_documents({}) == 0
    assert status.json()["state"] == "WORKING"
    assert status.json()["phone"].endswith("3333")
    assert "5491122223333" not in status.text


async def test_a_code_past_its_time_is_not_shown(site: Site) -> None:
    client = await site.create()
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    await site.runner(client).deliver(session=scan(qr_expires_at=past))
    assert (await site.visitor.get(f"/api/client/{client.slug}/qr")).status_code == 404


async def test_a_code_to_type_is_kept_apart_while_it_works_and_removed_on_linking(site: Site) -> None:
    client = await site.create()
    runner = site.runner(client)
    expires = (datetime.now(UTC) + timedelta(seconds=180)).isoformat()
    shown = {"reason": "link_code_shown", "link_code": "WXYZ6789", "link_code_expires_at": expires}

    await runner.deliver(session=scan() | shown)

    status = await site.visitor.get(f"/api/client/{client.slug}/status")
    assert status.json()["reason"] == "link_code_shown"
    assert status.json()["link_code_expires_at"]
    assert "WXYZ" not in status.text
    assert "WXYZ" not in str(await site.database["client_sessions"].find_one({"_id": client.id}))
    kept = await site.database["client_link_codes"].find_one({"_id": client.id})
    assert kept is not None
    assert kept["text"] == "WXYZ6789"
    await runner.deliver(session=working())
    assert await site.database["client_link_codes"].count_documents({}) == 0


async def test_a_code_to_type_is_made_by_the_runner_and_never_logged(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    client = await site.create()
    caplog.set_level("DEBUG", logger="control_plane")
    path = f"/api/client/{client.slug}/link-code"
    wrong = await site.visitor.post(path, json={"phone": "no number"})
    async with answering(client.port, {"code": "WXYZ6789", "expires_at": datetime.now(UTC).isoformat()}) as asked:
        made = await site.visitor.post(path, json={"phone": "+54 9 11 5555 1234"})
        many = [(await site.visitor.post(path, json={"phone": "5491155551234"})).status_code for _ in range(7)]

    assert (made.status_code, made.json()["code"], made.headers["cache-control"]) == (200, "WXYZ-6789", "no-store")
    assert asked[0] == {"phone": "5491155551234"}
    assert (wrong.status_code, many[-1]) == (422, 429)
    assert "no number" not in wrong.text
    for record in caplog.records:
        if record.name.startswith("control_plane"):
            assert "WXYZ" not in str(vars(record))
            assert "5491155551234" not in str(vars(record))


async def test_a_paused_client_shows_no_code(site: Site) -> None:
    client = await site.create()
    await site.runner(client).deliver(session=scan())
    await site.api.post(f"/api/admin/clients/{client.id}/toggle")
    assert (await site.visitor.get(f"/api/client/{client.slug}/qr")).status_code == 404
    assert (await site.visitor.get(f"/api/client/{client.slug}/status")).json()["state"] == "STOPPED"


async def test_an_older_snapshot_does_not_replace_a_newer_one(site: Site) -> None:
    client = await site.create()
    runner = site.runner(client)
    await runner.deliver(session=working(version=5))
    await runner.deliver(session=scan(version=4))
    assert (await session_of(site, client.id)).state == "WORKING"
    assert await site.database["client_qr_codes"].count_documents({}) == 0


async def test_each_start_of_a_runner_gets_a_greater_number(site: Site) -> None:
    client, other = await site.create(), await site.create("Ferretería Sur")
    runner = site.runner(client)
    numbers = [(await runner.start()).json()["fence"] for _ in range(3)]
    assert numbers == [1, 2, 3]
    assert (await site.runner(other).start()).json() == {"fence": 1}
    assert (await site.runner(client).start()).json() == {"fence": 4}


async def test_an_older_process_is_refused_with_its_events_and_its_session(site: Site) -> None:
    client = await site.create()
    older, newer = site.runner(client), site.runner(client)
    await older.deliver(message(1, "early"), session=working(version=5))
    await newer.start()
    late = await older.deliver(message(2, "late"), session=scan(version=9))
    assert late.status_code == 409
    assert late.json()["type"] == REPLACED_PROBLEM
    assert "must stop" in late.json()["detail"]
    assert {m["message_id"] async for m in site.database["client_messages"].find()} == {"early"}
    assert (await session_of(site, client.id)).state == "WORKING"
    taken = await newer.deliver(message(2, "late"), session={"version": 0}, instance="second")
    now = await session_of(site, client.id)
    assert receipt(taken)["accepted_through"] == 2
    assert (now.state, now.instance, now.fence) == ("STARTING", "second", 2)


async def test_a_write_that_was_under_way_when_a_later_process_started_is_refused(site: Site) -> None:
    client = await site.create()
    runner = site.runner(client)
    await runner.deliver(session=working())
    under_way = ClientSession(site.database, client.id, fence=runner.fence)
    await site.runner(client).start()
    with pytest.raises(FenceOutdated):
        await under_way.set(state="FAILED")
    assert (await session_of(site, client.id)).state == "WORKING"


async def test_a_database_that_was_restored_learns_the_running_process_number(site: Site) -> None:
    client = await site.create()
    runner = site.runner(client)
    await runner.start()
    assert receipt(await runner.deliver(session=working(), fence=9))["accepted_through"] == 0
    assert (await site.runner(client).start()).json() == {"fence": 10}


async def test_a_clock_that_was_set_back_does_not_silence_a_new_process(site: Site) -> None:
    client = await site.create()
    runner = site.runner(client)
    await runner.deliver(session=scan())
    await runner.start()
    runner.started_at -= timedelta(hours=1)
    await runner.deliver(session=working(version=1), instance="second")
    assert (await session_of(site, client.id)).state == "WORKING"


async def test_the_first_phone_is_bound_once_and_the_runner_learns_of_it(site: Site) -> None:
    client = await site.create()
    runner = site.runner(client)
    waiting = receipt(await runner.deliver(session=scan()))
    linked = receipt(await runner.deliver(session=working()))
    assert (waiting["config_revision"], linked["config_revision"]) == (1, 2)
    config = RunnerConfig.model_validate_json((await runner.config()).content)
    assert config.channel.bound_phone == "5491122223333"
    other = receipt(await runner.deliver(session=working(version=3, phone="5491199998888")))
    now = await site.clients.get(client.id)
    assert now is not None
    assert (other["config_revision"], now.bound_phone) == (2, "5491122223333")


async def test_each_new_link_is_told_to_the_owner_once_with_the_number_masked(site: Site) -> None:
    client = await site.create()
    runner = site.runner(client)
    await runner.deliver(session=scan())
    await runner.deliver(session=working())
    # Told again, and connected again after a restart: the same link.
    await runner.deliver(session=working())
    await runner.deliver(session=working(version=3) | {"state": "STARTING", "reason": "reconnecting"})
    await runner.deliver(session=working(version=4))
    [mail] = await site.database["emails"].find({"client_id": client.id, "kind": "linked"}).to_list()
    assert mail["to"] == "ana@example.com"
    assert mail["facts"]["phone"].endswith("3333")
    assert "5491122223333" not in str(mail)

    await runner.deliver(session=scan(version=5))
    later = {"since": (datetime.now(UTC) + timedelta(seconds=1)).isoformat()}
    await runner.deliver(session=working(version=6) | later)
    assert await site.database["emails"].count_documents({"kind": "linked"}) == 2


async def test_a_released_phone_is_logged_out_and_the_next_one_is_bound(site: Site) -> None:
    client = await site.create()
    runner = site.runner(client)
    path = f"/api/admin/clients/{client.id}/release-phone"
    await runner.deliver(session=scan())
    await runner.deliver(session=working())
    away = await site.api.post(path)
    kept = await site.clients.get(client.id)
    async with answering(client.port, {}) as asked:
        released = await site.api.post(path)
    # A delivery that was under way while it was logged out binds it no more.
    await runner.deliver(session=working(version=3))
    free = await site.clients.get(client.id)
    await runner.deliver(session=scan(version=4))
    again = await site.api.post(path)
    await runner.deliver(session=working(version=5, phone="5491199998888"))
    other = await site.clients.get(client.id)

    assert (away.status_code, away.json()["type"]) == (503, "/problems/runner-unreachable")
    assert (released.status_code, released.json()["bound_phone"], len(asked)) == (200, None, 1)
    assert again.status_code == 200
    assert kept is not None
    assert free is not None
    assert other is not None
    assert (kept.bound_phone, free.bound_phone, other.bound_phone) == ("5491122223333", None, "5491199998888")


async def test_an_admins_change_reaches_the_runner_by_the_next_receipt(site: Site) -> None:
    client = await site.create()
    await site.api.patch(f"/api/admin/clients/{client.id}", json={"name": "Otro nombre"})
    assert receipt(await site.runner(client).deliver())["config_revision"] == 2


async def test_an_unknown_link_is_one_same_404(site: Site) -> None:
    client = await site.create()
    await site.clients.mark_deleting(client.id)
    gone = await site.visitor.get(f"/api/client/{client.slug}/status")
    never = await site.visitor.get("/api/client/nothing/status")
    assert gone.status_code == never.status_code == 404
    assert gone.json() == never.json()


async def test_new_codes_can_be_asked_for_only_so_often(site: Site) -> None:
    client = await site.create()
    statuses = [(await site.visitor.post(f"/api/client/{client.slug}/refresh")).status_code for _ in range(7)]
    assert statuses[-1] == 429
