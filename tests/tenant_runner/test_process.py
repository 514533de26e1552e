"""The runner as a process, against the WhatsApp stand-in in a real browser: crashes, outages, restarts."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import pytest
from pydantic import SecretStr

from tenant_runner.contract import OpenAIAssistant, PurgeReport
from tenant_runner.only_process import AlreadyRunning, only_process
from tests.conftest import wait_for
from tests.tenant_runner.control_plane import FakeControlPlane
from tests.tenant_runner.installation import Phone, RunnerProcess, Sandbox
from tests.tenant_runner.openai_stand_in import OpenAIStandIn

CUSTOMER = "5491155550001"
OTHER_CUSTOMER = "5491155550777"
HOURS = "Abrimos de 9 a 18."
DEFAULT = "Gracias por escribir."
KEY = "sk-test-0000000000000000001a"


def openai_assistant(api: OpenAIStandIn, key: str = KEY) -> OpenAIAssistant:
    return OpenAIAssistant(
        api_key=SecretStr(key),
        base_url=api.base_url,
        model="gpt-6-luna",
        instructions="Sos la panadería. El horario es de 9 a 18.",
    )


def has_sent(phone: Phone, count: int) -> bool:
    return len(phone.sent(CUSTOMER)) == count


def qr_codes_shown(control_plane: FakeControlPlane) -> set[str | None]:
    return {session.qr for session in control_plane.sessions} - {None}


async def test_a_scanned_runner_answers_tells_and_stops_cleanly(
    runner: RunnerProcess, phone: Phone, control_plane: FakeControlPlane
) -> None:
    runner.start()
    session = await runner.link(phone)
    assert session.phone == phone.number
    phone.incoming(CUSTOMER, "¿A qué hora abren?", pushname="Ana")
    await wait_for(lambda: phone.sent(CUSTOMER) == [HOURS])
    await wait_for(lambda: len(control_plane.messages()) == 2)
    question, answer = control_plane.messages()
    assert (question.author, question.contact_name, question.contact_phone) == ("contact", "Ana", CUSTOMER)
    assert (answer.author, answer.in_reply_to) == ("assistant", (question.message_id,))
    await wait_for(lambda: control_plane.acks(answer.message_id)[:2] == ["server", "delivered"])
    await wait_for(lambda: control_plane.memory_bytes, what="the runner tells its memory")
    assert await runner.stop() == 0
    assert "runner did not stop in time" not in runner.log.read_text()
    assert runner.browsers() == []
    assert control_plane.session is not None
    assert control_plane.session.state == "STOPPED"
    log = runner.log.read_text()
    for secret in (runner.token, *qr_codes_shown(control_plane), "¿A qué hora", HOURS):
        assert str(secret) not in log
    assert all(json.loads(line)["client_id"] == "c1" for line in log.splitlines())


async def test_a_restart_needs_no_new_code_and_answers_what_came_meanwhile(
    runner: RunnerProcess, phone: Phone, control_plane: FakeControlPlane
) -> None:
    runner.start()
    await runner.link(phone)
    phone.incoming(CUSTOMER, "hola")
    await wait_for(lambda: phone.sent(CUSTOMER) == [DEFAULT])
    shown = qr_codes_shown(control_plane)
    assert await runner.stop() == 0
    phone.incoming(CUSTOMER, "¿Horario?")
    runner.start()
    await runner.wait_for_session("WORKING")
    await wait_for(lambda: phone.sent(CUSTOMER) == [DEFAULT, HOURS])
    assert qr_codes_shown(control_plane) == shown
    assert len(phone.events("linked")) == 1


async def test_killing_the_runner_in_the_middle_of_a_turn_answers_once(
    runner: RunnerProcess, phone: Phone, control_plane: FakeControlPlane, openai_api: OpenAIStandIn
) -> None:
    control_plane.change(assistant=openai_assistant(openai_api))
    runner.start()
    await runner.link(phone)
    await openai_api.fail("/responses", think_s=3)
    phone.incoming(CUSTOMER, "¿Cuál es el horario?")

    async def thinking() -> Any:
        return await openai_api.requests("/responses")

    await wait_for(thinking)
    runner.kill()
    runner.start()
    await runner.wait_for_session("WORKING")
    await wait_for(lambda: phone.sent(CUSTOMER))
    await wait_for(lambda: len(control_plane.messages("assistant")) == 1)
    # Whoever writes later is answered later: by then a second answer to the first one would have left.
    phone.incoming(OTHER_CUSTOMER, "¿Cuál es el horario?")
    await wait_for(lambda: phone.sent(OTHER_CUSTOMER))
    assert len(phone.sent(CUSTOMER)) == 1
    assert "9 a 18" in phone.sent(CUSTOMER)[0]
    await wait_for(lambda: len(control_plane.messages("assistant")) == 2)
    assert len(control_plane.messages("contact")) == 2
    assert len(runner.browsers()) == 1
    assert len(phone.events("linked")) == 1


@pytest.mark.parametrize("moment", ["chatstate", "sent"])
async def test_killing_the_runner_around_the_send_never_sends_twice(
    runner: RunnerProcess, phone: Phone, control_plane: FakeControlPlane, moment: str
) -> None:
    runner.start()
    await runner.link(phone)
    phone.incoming(CUSTOMER, "¿Horario?")
    # Typing is the last thing before the message leaves; "sent" is the phone's word that it left.
    await wait_for(lambda: phone.events(moment), interval_s=0.01)
    runner.kill()
    runner.start()
    await runner.wait_for_session("WORKING")
    await wait_for(lambda: len(control_plane.messages("assistant")) == 1)
    [reply] = control_plane.messages("assistant")
    # The customer's phone may have reported it before the runner was back.
    await wait_for(lambda: {"server", "delivered"} & set(control_plane.acks(reply.message_id)))
    assert [event["copies"] for event in phone.events("sent")] == [1]

    async def is_done() -> bool:
        return bool((await runner.http.get("/status")).json()["open_turns"] == 0)

    await wait_for(is_done)


@pytest.mark.parametrize("it_left", [True, False])
async def test_a_message_that_a_crash_left_in_doubt_is_looked_up_on_the_page(
    runner: RunnerProcess, phone: Phone, control_plane: FakeControlPlane, it_left: bool
) -> None:
    runner.start()
    await runner.link(phone)
    phone.incoming(CUSTOMER, "¿Horario?")
    await wait_for(lambda: control_plane.messages("assistant"))
    [sent] = control_plane.messages("assistant")
    await wait_for(lambda: "server" in control_plane.acks(sent.message_id))
    await runner.stop()
    # As a crash leaves it between the note that it leaves and the server's word.
    message_id = sent.message_id if it_left else sent.message_id[:-4] + "ABCD"
    with closing(sqlite3.connect(runner.directory / "journal.sqlite3")) as journal, journal:
        journal.execute(
            "INSERT OR REPLACE INTO outbound (message_id, chat_id, author, text, state, created_at)"
            " VALUES (?, ?, 'agent', 'en duda', 'sending', 0)",
            (message_id, sent.chat_id),
        )
    runner.start()

    def is_settled() -> bool:
        with closing(sqlite3.connect(runner.directory / "journal.sqlite3")) as journal:
            found = journal.execute("SELECT state FROM outbound WHERE message_id = ?", (message_id,)).fetchone()
        return bool(found == ("sent",))

    await wait_for(is_settled, what="the end of the doubt")
    await wait_for(lambda: set(control_plane.acks(message_id)) & {"server", "delivered"})
    assert phone.sent(CUSTOMER) == [HOURS, *([] if it_left else ["en duda"])]


async def test_a_killed_browser_comes_back_without_a_code(
    runner: RunnerProcess, phone: Phone, control_plane: FakeControlPlane
) -> None:
    runner.start()
    await runner.link(phone)
    shown = qr_codes_shown(control_plane)
    [browser] = runner.browsers()
    browser.kill()
    await wait_for(lambda: runner.browsers() not in ([], [browser]))
    await runner.wait_for_session("WORKING")
    phone.incoming(CUSTOMER, "¿Horario?")
    await wait_for(lambda: phone.sent(CUSTOMER) == [HOURS])
    assert qr_codes_shown(control_plane) == shown
    assert "reconnecting" in {session.reason for session in control_plane.sessions}


async def test_answers_go_on_without_the_control_plane_and_it_learns_everything_later(
    runner: RunnerProcess, phone: Phone, control_plane: FakeControlPlane
) -> None:
    runner.start()
    await runner.link(phone)
    await control_plane.stop()
    for number in (1, 2, 3):
        phone.incoming(CUSTOMER, f"¿Horario {number}?")
        await wait_for(partial(has_sent, phone, number))
    await control_plane.start()
    await wait_for(lambda: len(control_plane.messages()) == 6)
    sequences = [event.sequence for event in control_plane.events]
    assert sequences == list(range(1, len(sequences) + 1))
    assert [message.author for message in control_plane.messages()] == ["contact", "assistant"] * 3


async def test_a_runner_started_without_the_control_plane_waits_and_keeps_no_configuration(
    runner: RunnerProcess, control_plane: FakeControlPlane, openai_api: OpenAIStandIn
) -> None:
    control_plane.change(assistant=openai_assistant(openai_api))
    await control_plane.stop()
    runner.start()
    session = await runner.wait_for_session("STARTING", "preparing")
    assert session.phase is None
    refused = await runner.http.post("/process-message", json={"contact": "web-1", "text": "hola"})
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/not-configured")
    await control_plane.start()
    await runner.wait_for_session("SCAN_QR_CODE")
    answer = await runner.http.post("/process-message", json={"contact": "web-1", "text": "¿Cuál es el horario?"})
    assert "9 a 18" in answer.json()["reply"]
    await runner.stop()
    needle = KEY.encode()
    files = [path for path in runner.data_directory.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in files if needle in path.read_bytes()] == []


async def test_a_new_key_answers_the_turn_that_waited_for_it(
    runner: RunnerProcess, phone: Phone, control_plane: FakeControlPlane, openai_api: OpenAIStandIn
) -> None:
    control_plane.change(assistant=openai_assistant(openai_api, "sk-bad-00000000000000000000"))
    runner.start()
    await runner.link(phone)
    phone.incoming(CUSTOMER, "¿Cuál es el horario?")
    await wait_for(lambda: control_plane.problems() == ["bad_key"])
    assert phone.sent() == []
    control_plane.change(assistant=openai_assistant(openai_api))
    await wait_for(lambda: len(phone.sent(CUSTOMER)) == 1)
    assert "9 a 18" in phone.sent(CUSTOMER)[0]
    await wait_for(lambda: control_plane.problems() == ["bad_key", None])


async def test_unlinking_on_the_phone_shows_codes_again_and_says_why(
    runner: RunnerProcess, phone: Phone, control_plane: FakeControlPlane
) -> None:
    runner.start()
    await runner.link(phone)
    phone.unlink()
    session = await runner.wait_for_session("SCAN_QR_CODE", "unlinked")
    await wait_for(lambda: control_plane.session and control_plane.session.qr)
    assert session.phone is None
    await runner.link(phone)
    phone.incoming(CUSTOMER, "¿Horario?")
    await wait_for(lambda: phone.sent(CUSTOMER) == [HOURS])


async def test_a_wrong_number_is_logged_out_and_the_right_one_let_in(
    runner: RunnerProcess,
    sandbox: Sandbox,
    phone: Phone,
    control_plane: FakeControlPlane,
    new_number: Callable[[], str],
) -> None:
    assert control_plane.config is not None
    wrong = sandbox.phone(new_number())
    channel = control_plane.config.channel.model_copy(update={"expected_phone": phone.number})
    control_plane.change(channel=channel)
    runner.start()
    session = await runner.wait_for_session("SCAN_QR_CODE", "code_shown")
    assert session.qr is not None
    assert wrong.scan(session.qr)
    session = await runner.wait_for_session("SCAN_QR_CODE", "wrong_number")
    assert session.detail == f"scanned with …{wrong.number[-4:]}, expected …{phone.number[-4:]}"
    await wait_for(lambda: wrong.events("unlinked"))
    wrong.incoming(CUSTOMER, "¿Horario?")

    async def has_code() -> Any:
        return (await runner.wait_for_session("SCAN_QR_CODE", "wrong_number")).qr

    await wait_for(has_code)
    assert (await runner.link(phone)).phone == phone.number
    assert wrong.sent() == []
    assert "WORKING" not in {s.state for s in control_plane.sessions if s.phone == wrong.number}


async def test_a_number_bound_to_the_client_after_linking_changes_nothing_for_it(
    runner: RunnerProcess, phone: Phone, control_plane: FakeControlPlane
) -> None:
    runner.start()
    await runner.link(phone)
    assert control_plane.config is not None
    control_plane.change(channel=control_plane.config.channel.model_copy(update={"bound_phone": phone.number}))

    async def applied() -> Any:
        status = (await runner.http.get("/status")).json()
        return status["config_revision"] == 2 and status["session"]["state"] == "WORKING"

    await wait_for(applied)
    assert [session.phase for session in control_plane.sessions].count("browser") <= 1


async def test_another_browser_setting_restarts_the_channel_without_a_code(
    runner: RunnerProcess, phone: Phone, control_plane: FakeControlPlane
) -> None:
    runner.start()
    await runner.link(phone)
    assert control_plane.config is not None
    channel = control_plane.config.channel
    [browser] = runner.browsers()
    arguments = (*channel.browser_arguments, "--lang=es")
    control_plane.change(channel=channel.model_copy(update={"browser_arguments": arguments}))
    await wait_for(lambda: runner.browsers() not in ([], [browser]))
    await runner.wait_for_session("WORKING")
    phone.incoming(CUSTOMER, "¿Horario?")
    await wait_for(lambda: phone.sent(CUSTOMER) == [HOURS])
    await wait_for(lambda: control_plane.session and control_plane.session.state == "WORKING")
    versions = [session.version for session in control_plane.sessions]
    assert versions == sorted(versions), "a snapshot that looks older than the one before is not taken"
    assert len(phone.events("linked")) == 1


async def test_one_client_never_runs_twice(runner: RunnerProcess, control_plane: FakeControlPlane) -> None:
    runner.start()
    await runner.wait_for_session("SCAN_QR_CODE")
    second = await runner.run("purge", "--everything")
    assert second.returncode == 3
    assert "has a runner already" in second.stderr
    with pytest.raises(AlreadyRunning), only_process(runner.directory, wait_s=0.1):
        pytest.fail("the directory is in use")
    assert (await runner.http.get("/health")).status_code == 200
    runner.kill()
    with only_process(runner.directory, wait_s=60):
        """However a process ends, its lock ends with it."""


async def test_purging_beside_a_stopped_runner_deletes_here_and_at_the_provider(
    runner: RunnerProcess, control_plane: FakeControlPlane, openai_api: OpenAIStandIn
) -> None:
    control_plane.change(assistant=openai_assistant(openai_api))
    runner.start()
    await runner.wait_for_session("SCAN_QR_CODE")
    await runner.http.post("/process-message", json={"contact": "web-1", "text": "¿Cuál es el horario?"})
    assert len(await openai_api.conversations()) == 1
    await runner.stop()

    async def purge(*arguments: str) -> PurgeReport:
        done = await runner.run("purge", *arguments)
        assert done.returncode == 0, done.stderr
        return PurgeReport.model_validate_json(done.stdout)

    assert (await purge("--before", "2020-01-01T00:00:00Z")).remote_conversations == 0
    report = await purge("--everything")
    assert (report.messages, report.threads, report.remote_conversations, report.failed) == (2, 1, 1, 0)
    assert await openai_api.state() == {"conversations": [], "orphaned_items": 0, "stored_responses": 0}
