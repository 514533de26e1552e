"""What the phones saw against what customers are owed."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bench.customers import Book, Written, make_marker
from tests.e2e.tenant import Tenant

TOKEN = re.compile(r"tk\d+x\d+x\d+x\d{6}z")
MARKER = re.compile(r"MARCA\d{3}Q")
LISTED = 10


@dataclass
class Verdict:
    """Figures, and what is wrong.

    Attributes:
        answered: messages that were answered once.
        handed_over: messages that were not answered, and the database says so.
        lost: neither.
        duplicated: answered more than once, or sent more than once.
        crossed: what reached another customer, or came from another client, than it should.
        unrecorded: what the phones saw and the database does not have exactly once.
    """

    written: int = 0
    sends: int = 0
    answered: int = 0
    handed_over: int = 0
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    crossed: list[str] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """What is wrong, the first of each kind."""
        kinds = {
            "lost": self.lost,
            "duplicated": self.duplicated,
            "crossed": self.crossed,
            "not recorded once": self.unrecorded,
        }
        return [f"{len(items)} {kind}: {'; '.join(items[:LISTED])}" for kind, items in kinds.items() if items]

    def __str__(self) -> str:
        """One line of figures."""
        return (
            f"{self.written} messages written, {self.sends} answers sent; {self.answered} answered once, "
            f"{self.handed_over} handed over, {len(self.lost)} lost, {len(self.duplicated)} duplicated, "
            f"{len(self.crossed)} crossed, {len(self.unrecorded)} not recorded once"
        )


Sent = list[list[dict[str, Any]]]
"""For each client, what its phone saw leave."""
Stored = list[list[dict[str, Any]]]
"""For each client, its messages in the database."""


def find_waiting(book: Book, sent: Sent, handed: set[str]) -> list[Written]:
    """Messages that nobody has answered or handed over yet."""
    seen = {token for events in sent for event in events for token in TOKEN.findall(event["body"] or "")}
    return [message for token, message in book.tokens.items() if token not in seen and token not in handed]


def find_handed_over(tenants: list[Tenant], stored: Stored) -> set[str]:
    """Tokens of messages whose outcome the database tells, or whose chat waits for a human."""
    database = tenants[0].installation.database()
    handed: set[str] = set()
    for tenant, messages in zip(tenants, stored, strict=True):
        query = {"client_id": tenant.id, "status": "waiting_for_human"}
        waiting = {document["chat_id"] for document in database["client_conversations"].find(query)}
        for message in messages:
            if message["author"] == "contact" and (message.get("outcome") or message["chat_id"] in waiting):
                handed.update(TOKEN.findall(message["text"]))
    return handed


def judge(book: Book, sent: Sent, stored: Stored, handed: set[str]) -> Verdict:
    """Compare everything with everything."""
    verdict = Verdict(written=len(book.written), sends=sum(map(len, sent)))
    tokens = book.tokens
    answers: Counter[str] = Counter()
    markers: Counter[tuple[int, str]] = Counter()
    for client, events in enumerate(sent):
        ids = Counter(event["id"] for event in events)
        verdict.duplicated += [f"id {i} left client {client} {n} times" for i, n in ids.items() if n > 1]
        for event in events:
            body, number = event["body"] or "", event["number"]
            for token in set(TOKEN.findall(body)):
                answers[token] += 1
                owner = tokens.get(token)
                if owner is None or (owner.client, owner.customer) != (client, number):
                    verdict.crossed.append(f"{token} left client {client} to {number}")
            for marker in MARKER.findall(body):
                markers[client, number] += 1
                if marker != make_marker(client):
                    verdict.crossed.append(f"{marker} left client {client}")
    for token, message in tokens.items():
        if answers[token] == 1:
            verdict.answered += 1
        elif answers[token] > 1:
            verdict.duplicated.append(f"{token} was answered {answers[token]} times")
        elif token in handed:
            verdict.handed_over += 1
        else:
            verdict.lost.append(f"{token} of {message.customer} to client {message.client}")
    for pair, count in markers.items():
        if count > book.asked.get(pair, 0):
            verdict.duplicated.append(f"the question of {pair} was answered {count} times")
    _compare_records(verdict, book, sent, stored)
    return verdict


def _compare_records(verdict: Verdict, book: Book, sent: Sent, stored: Stored) -> None:
    inbound: Counter[str] = Counter()
    for client, messages in enumerate(stored):
        own = [message for message in messages if message["author"] == "contact"]
        inbound.update(token for message in own for token in TOKEN.findall(message["text"]))
        outbound = Counter(message["text"] for message in messages if message["author"] == "assistant")
        for text, count in Counter(event["body"] for event in sent[client]).items():
            if TOKEN.search(text) and outbound[text] != count:
                verdict.unrecorded.append(f"an answer of client {client} is recorded {outbound[text]} times")
        ids = Counter(message["message_id"] for message in messages)
        verdict.unrecorded += [f"{i} is recorded {n} times" for i, n in ids.items() if n > 1]
    verdict.unrecorded += [f"{t} is recorded {inbound[t]} times" for t in book.tokens if inbound[t] != 1]
