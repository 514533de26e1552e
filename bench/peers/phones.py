"""The owners' phones, and what a measurement of messages needs of them; all times are the sandbox's."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
import psutil

POLL_S = 0.02
ANSWER_S = 30.0
CUSTOMERS = 10
# Whoever has the machine's host take a core away for 50 ms has a slow answer: messages are written in so small blocks
# that the quiet ones can be told from the others.
BLOCK = 40
QUIET_PERCENT = 0.5
MOST_WRITTEN = 2


class NoAnswer(Exception):
    """A message was not answered in time."""


@dataclass(frozen=True)
class Burst:
    """How messages that came at once were answered.

    Attributes:
        seconds: from the first message that went to a page to the last answer that left one.
    """

    messages: int
    answers: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Answers in a second."""
        return self.answers / self.seconds


@dataclass(frozen=True)
class Block:
    """Messages that were written one at a time.

    Attributes:
        taken: seconds for each answer.
        stolen_percent: of all cores' time meanwhile, what the machine's host took.
    """

    taken: list[float]
    stolen_percent: float


class Phone:
    """One owner's phone."""

    def __init__(self, http: httpx2.AsyncClient, number: str) -> None:
        self.number = number
        self._http = http
        self._seen = -1

    async def scan(self, qr: str) -> None:
        """Link the page that shows this code."""
        await self._post("/pair", {"qr": qr, "phone": self.number, "name": "Owner"})

    async def push(self, customer: int, text: str) -> float:
        """A customer writes; returns when the message went to the page, in seconds since the epoch."""
        body = {"from": f"{self.number[:-4]}9{customer:05d}", "body": text}
        return float((await self._post(f"/{self.number}/incoming", body))["at"])

    async def take_sent(self) -> list[float]:
        """When answers left that were not taken yet."""
        query: dict[str, str | int] = {"kind": "sent", "after": self._seen}
        response = await self._http.get(f"/phone/api/{self.number}/events", params=query)
        events = response.raise_for_status().json()
        if events:
            self._seen = events[-1]["n"]
        return [event["at"] for event in events]

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return dict((await self._http.post(f"/phone/api{path}", json=body)).raise_for_status().json())


async def measure_quiet_latency(phones: Sequence[Phone], messages: int) -> list[Block]:
    """Write one message at a time, until there are enough blocks in which the host left the machine alone.

    Returns:
        All blocks, at most `MOST_WRITTEN` times as many messages as wanted; `keep_quietest` chooses.

    Raises:
        NoAnswer: one was not answered within `ANSWER_S`.
    """
    rounds = -(-BLOCK // len(phones))
    blocks: list[Block] = []
    while sum(len(block.taken) for block in blocks) < MOST_WRITTEN * messages:
        before = psutil.cpu_times()
        taken = await measure_latency(phones, rounds * len(phones), first=len(blocks) * rounds)
        after = psutil.cpu_times()
        stolen = getattr(after, "steal", 0.0) - getattr(before, "steal", 0.0)
        blocks.append(Block(taken, 100 * stolen / (sum(after) - sum(before))))
        if sum(len(block.taken) for block in blocks if block.stolen_percent <= QUIET_PERCENT) >= messages:
            break
    return blocks


def keep_quietest(blocks: Sequence[Block], messages: int) -> list[Block]:
    """Those in which the host took least, as many as it takes for that many messages."""
    kept: list[Block] = []
    for block in sorted(blocks, key=lambda block: block.stolen_percent):
        if sum(len(block.taken) for block in kept) >= messages:
            break
        kept.append(block)
    return kept


async def measure_latency(phones: Sequence[Phone], messages: int, first: int = 0) -> list[float]:
    """Write one message at a time, to the clients in turn.

    Args:
        first: customer who writes first.

    Returns:
        Seconds from each message's push to the page to the page's sending of its answer.

    Raises:
        NoAnswer: one was not answered within `ANSWER_S`.
    """
    taken = []
    for number in range(messages):
        phone = phones[number % len(phones)]
        pushed = await phone.push((first + number // len(phones)) % CUSTOMERS, f"message {number}")
        ends = time.monotonic() + ANSWER_S
        while not (answers := await phone.take_sent()):
            if time.monotonic() > ends:
                raise NoAnswer(f"message {number} of {messages} had no answer after {ANSWER_S:.0f} s")
            await asyncio.sleep(POLL_S)
        taken.append(answers[0] - pushed)
    return taken


async def measure_burst(phones: Sequence[Phone], messages: int) -> Burst:
    """Write that many messages to each client at once, each by a customer of its own, and wait for the answers."""
    pushed = await asyncio.gather(
        *(phone.push(CUSTOMERS + number, f"burst {number}") for number in range(messages) for phone in phones)
    )
    answered: list[float] = []
    last_answer = time.monotonic()
    while len(answered) < len(pushed) and time.monotonic() < last_answer + ANSWER_S:
        for phone in phones:
            if taken := await phone.take_sent():
                answered += taken
                last_answer = time.monotonic()
        await asyncio.sleep(POLL_S * 5)
    if not answered:
        raise NoAnswer(f"{len(pushed)} messages at once had no answer at all")
    return Burst(len(pushed), len(answered), max(answered) - min(pushed))
