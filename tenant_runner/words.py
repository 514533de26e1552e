"""Comparing what people type: case, accents and surplus spaces do not count."""

import re
import unicodedata


def fold(text: str) -> str:
    """Lower case, without accents, single spaces."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(plain.casefold().split())


def bare(text: str) -> str:
    """Folded, without the punctuation around it."""
    return fold(text).strip(" .,;:!¡?¿\"'*_")


def contains_words(text: str, words: str) -> bool:
    """Whether folded `text` has folded `words` as whole words, in a row."""
    return bool(words) and re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text) is not None
