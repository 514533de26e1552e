"""Logs that a program can read, without secrets."""

import json
import logging
import sys

import pytest

from control_plane.telemetry import RedactingFormatter


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("the key sk-proj-abc_DEF-123456 was refused", "sk-proj-abc_DEF-123456"),
        ("mongodb://flame:pa55word@127.0.0.1:27117/ is down", "pa55word"),
        ("the header flame_" + "a1B2" * 11 + " was wrong", "a1B2a1B2"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out_wherever_it_is(text: str, secret: str) -> None:
    try:
        raise RuntimeError(text)
    except RuntimeError:
        record = logging.getLogger("test").makeRecord(
            "test", logging.ERROR, __file__, 1, text, (), sys.exc_info(), extra={"detail": text}
        )
    line = RedactingFormatter("{levelname}{message}", style="{").format(record)
    parsed = json.loads(line)
    assert secret not in line
    assert "[secret]" in parsed["message"]
    assert "[secret]" in parsed["detail"]
    assert "[secret]" in parsed["exc_info"]
