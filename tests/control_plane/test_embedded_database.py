import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from control_plane import embedded_database


def test_its_address_is_kept_private_and_stays_the_same(tmp_path: Path, free_port: Callable[[], int]) -> None:
    port = free_port()
    first = embedded_database.prepare(tmp_path, port=port)
    again = embedded_database.prepare(tmp_path)
    assert again == first
    assert urlsplit(first).port == port
    assert embedded_database.uri_file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_port_that_somebody_took_is_replaced(tmp_path: Path, free_port: Callable[[], int]) -> None:
    port = free_port()
    first = embedded_database.prepare(tmp_path, port=port)
    with socket.create_server(("127.0.0.1", port)):
        moved = embedded_database.prepare(tmp_path)
    assert urlsplit(moved).port != port
    assert urlsplit(moved).password == urlsplit(first).password


def test_it_refuses_whoever_has_no_password(mongodb_uri: str) -> None:
    port = urlsplit(mongodb_uri).port
    with (
        MongoClient[dict[str, object]](f"mongodb://127.0.0.1:{port}/?directConnection=true") as stranger,
        pytest.raises(OperationFailure),
    ):
        stranger["flame"]["clients"].find_one({})


def test_it_keeps_no_log_for_replicas(mongodb_uri: str) -> None:
    with MongoClient[dict[str, object]](mongodb_uri) as client:
        assert "setName" not in client.admin.command("hello")


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, free_port: Callable[[], int]) -> None:
    uri = embedded_database.prepare(tmp_path, port=free_port())
    command = embedded_database.server_command(tmp_path, urlsplit(uri).port or 0)
    process = subprocess.Popen(command)
    try:
        embedded_database.wait_until_it_answers(uri)
        with MongoClient[dict[str, object]](uri) as client:
            for number in range(50):
                client["flame"]["kept"].insert_one({"number": number})
    finally:
        process.kill()
        process.wait(30)
    process = subprocess.Popen(command)
    try:
        embedded_database.wait_until_it_answers(uri)
        with MongoClient[dict[str, object]](uri) as client:
            assert client["flame"]["kept"].count_documents({}) == 50
    finally:
        process.terminate()
        process.wait(60)
