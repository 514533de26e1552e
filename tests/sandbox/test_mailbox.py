"""The mailbox takes mails by real SMTP, keeps them, shows them, and fails when it is told to."""

import asyncio
import logging
import stat
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import httpx2
import pytest

from sandbox.mailbox import Mailbox
from sandbox.servers import Endpoints
from tests.conftest import find_free_port

LINK = "http://localhost:8001/client/abc"
PIXEL = b"\x89PNG\r\n\x1a\n"


def make_mail(to: str = "ana@example.com", *, html: str | None = None) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = "Conectá tu WhatsApp"
    mail["From"] = "Flame <no-reply@localhost>"
    mail["To"] = to
    mail.set_content(f"Hola Ñandú: {LINK}")
    if html is not None:
        mail.add_alternative(html, subtype="html")
    return mail


async def send(sandbox: Endpoints, mail: EmailMessage) -> Any:
    return await aiosmtplib.send(mail, hostname=sandbox.host, port=sandbox.smtp_port, start_tls=False, timeout=60)


@pytest.fixture
async def http(sandbox: Endpoints) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=f"{sandbox.url}/mail", trust_env=False, timeout=60) as client:
        await client.delete("/api/messages")
        yield client
        await client.post("/api/faults", json={"mode": "ok"})


async def only_mail(http: httpx2.AsyncClient) -> dict[str, Any]:
    [summary] = (await http.get("/api/messages")).json()["messages"]
    details: dict[str, Any] = (await http.get(f"/api/messages/{summary['id']}")).json()
    return details


async def test_a_mail_is_kept_with_all_its_parts(sandbox: Endpoints, http: httpx2.AsyncClient) -> None:
    await send(sandbox, make_mail(html=f"<p>Hola <a href='{LINK}'>Ñandú</a></p>"))

    mail = await only_mail(http)

    assert (mail["from"], mail["to"], mail["subject"]) == (
        "no-reply@localhost",
        ["ana@example.com"],
        "Conectá tu WhatsApp",
    )
    assert f"Hola Ñandú: {LINK}" in mail["text"]
    assert "Ñandú</a>" in mail["html"]
    assert ["From", "Flame <no-reply@localhost>"] in mail["headers"]


async def test_mails_are_listed_newest_first_and_by_recipient(sandbox: Endpoints, http: httpx2.AsyncClient) -> None:
    for address in ("ana@example.com", "beto@example.com"):
        await send(sandbox, make_mail(address))

    listed = (await http.get("/api/messages")).json()["messages"]
    found = (await http.get("/api/messages", params={"to": "ANA@example.com"})).json()["messages"]

    assert [mail["to"] for mail in listed] == [["beto@example.com"], ["ana@example.com"]]
    assert [mail["to"] for mail in found] == [["ana@example.com"]]


async def test_deleting_empties_the_mailbox(sandbox: Endpoints, http: httpx2.AsyncClient) -> None:
    await send(sandbox, make_mail())

    assert (await http.delete("/api/messages")).status_code == 204
    assert (await http.get("/api/messages")).json() == {"messages": []}
    assert (await http.get("/api/messages/1")).status_code == 404
    assert "No llegó ningún correo" in (await http.get("/")).text


async def test_a_refused_mail_is_refused_for_good_and_the_next_one_is_taken(
    sandbox: Endpoints, http: httpx2.AsyncClient
) -> None:
    await http.post("/api/faults", json={"mode": "refuse", "times": 1})

    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
        await send(sandbox, make_mail())

    assert refused.value.recipients[0].code == 550
    await send(sandbox, make_mail())
    await only_mail(http)


async def test_a_busy_mailbox_asks_to_try_again_until_it_is_told_otherwise(
    sandbox: Endpoints, http: httpx2.AsyncClient
) -> None:
    await http.post("/api/faults", json={"mode": "tempfail"})

    for _ in range(2):
        with pytest.raises(aiosmtplib.SMTPSenderRefused) as refused:
            await send(sandbox, make_mail())
        assert refused.value.code == 451
    assert (await http.get("/api/messages")).json() == {"messages": []}
    await http.post("/api/faults", json={"mode": "ok"})
    await send(sandbox, make_mail())
    assert (await http.get("/api/faults")).json() == {"mode": "ok", "times": None}


async def test_faults_come_only_as_json_and_only_known_ones(http: httpx2.AsyncClient) -> None:
    assert (await http.post("/api/faults", content=b'{"mode": "refuse"}')).status_code == 415
    assert (await http.post("/api/faults", json={"mode": "explode"})).status_code == 422
    assert (await http.get("/api/faults")).json()["mode"] == "ok"


async def test_a_mail_cannot_run_scripts_but_its_links_open(sandbox: Endpoints, http: httpx2.AsyncClient) -> None:
    mail = make_mail()
    mail.add_alternative(
        f'<html><head><title>x</title></head><body><script>top.hacked=1</script><img src="cid:logo">'
        f'<a href="{LINK}">Conectar</a></body></html>',
        subtype="html",
    )
    mail.get_payload()[1].add_related(PIXEL, "image", "png", cid="<logo>")  # type: ignore[index, union-attr]
    await send(sandbox, mail)
    number = (await only_mail(http))["id"]

    page = (await http.get(f"/messages/{number}")).text
    letter = await http.get(f"/messages/{number}/html")

    assert f'src="/mail/messages/{number}/html" sandbox="allow-popups allow-popups-to-escape-sandbox"' in page
    policy = letter.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert "sandbox allow-popups allow-popups-to-escape-sandbox" in policy
    assert '<head><base target="_blank">' in letter.text
    assert 'src="data:image/png;base64,' in letter.text
    assert LINK in letter.text


async def test_what_a_mail_says_cannot_break_the_page(sandbox: Endpoints, http: httpx2.AsyncClient) -> None:
    mail = make_mail()
    mail.replace_header("Subject", "<script>alert(1)</script>")
    await send(sandbox, mail)
    number = (await only_mail(http))["id"]

    page = await http.get(f"/messages/{number}")

    assert "<script>alert" not in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert (await http.get(f"/messages/{number}/html")).status_code == 404


async def test_the_page_speaks_spanish_first_and_english_when_asked(http: httpx2.AsyncClient) -> None:
    assert "Ningún correo sale de acá" in (await http.get("/")).text
    assert "No mail leaves this place" in (await http.get("/", params={"lang": "en"})).text
    assert "No mail leaves this place" in (await http.get("/")).text  # the choice is remembered


async def test_mails_outlive_a_restart_in_a_file_of_their_owner(tmp_path: Path) -> None:
    file = tmp_path / "mailbox.sqlite3"
    for expected in (1, 2):
        mailbox = Mailbox(file)
        port = await mailbox.start("127.0.0.1", 0)
        await aiosmtplib.send(make_mail(), hostname="127.0.0.1", port=port, start_tls=False, timeout=60)
        assert len(mailbox.messages) == expected
        await mailbox.stop()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_stopping_ends_open_sessions_and_frees_the_port(tmp_path: Path) -> None:
    mailbox = Mailbox()
    port = await mailbox.start("127.0.0.1", find_free_port())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert (await reader.readline()).startswith(b"220 ")

    await mailbox.stop()

    async with asyncio.timeout(60):
        assert await reader.read() == b""
    writer.close()
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_taken_port_is_an_error() -> None:
    first, second = Mailbox(), Mailbox()
    port = await first.start("127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        await second.start("127.0.0.1", port)
    await first.stop()
    await second.stop()


async def test_the_log_names_nobody(
    sandbox: Endpoints, http: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await send(sandbox, make_mail("carla@example.com"))

    assert "mail received" in caplog.text
    assert "carla" not in caplog.text
