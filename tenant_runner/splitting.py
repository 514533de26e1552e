"""Cutting a long reply where a person would begin a new message."""

import re

LONG_CHARS = 900
MOST_PARTS = 6

# From the kindest place to cut to the harshest.
_PLACES = (r"\n\s*\n", r"\n", r"(?<=[.!?…])\s+", r"(?<=[,;:])\s+", r"\s+")


def split(text: str, *, long_chars: int = LONG_CHARS, most_parts: int = MOST_PARTS) -> list[str]:
    """Cut a text into parts of about `long_chars` characters, at paragraphs before sentences before words.

    Args:
        text: what to cut; nothing of it is lost but blanks at the cuts.
        long_chars: a text up to this length stays whole.
        most_parts: no more messages than these; the parts get longer instead.
    """
    text = text.strip()
    if len(text) <= long_chars:
        return [text]
    # Cuts at good places leave parts a little shorter than allowed.
    while len(parts := _cut(text, long_chars)) > most_parts:
        long_chars = long_chars * 5 // 4
    return parts


def _cut(text: str, long_chars: int) -> list[str]:
    parts = []
    while len(text) > long_chars:
        end, start = _place(text, long_chars)
        parts.append(text[:end].rstrip())
        text = text[start:].lstrip()
    return [*parts, text] if text else parts


def _place(text: str, long_chars: int) -> tuple[int, int]:
    """Where the first part ends and the next one begins."""
    for pattern in _PLACES:
        cuts = [match for match in re.finditer(pattern, text[: long_chars + 1]) if match.start() >= long_chars // 3]
        if cuts:
            return cuts[-1].start(), cuts[-1].end()
    return long_chars, long_chars
