"""Customers who write to clients of the platform, and the book of what each is owed."""

import asyncio
import random
from dataclasses import dataclass, field

import httpx2

from tests.e2e.tenant import Tenant

QUESTION = "¿Cuál es la consigna?"
SENTENCE = "La consigna es {marker}."


@dataclass(frozen=True)
class Written:
    """One message of a customer.

    Attributes:
        client: index of the client.
        token: a word that no other message has and that its answer repeats; None in a mere `QUESTION`.
    """

    client: int
    customer: str
    token: str | None


@dataclass
class Book:
    """Everything that customers wrote, in order."""

    written: list[Written] = field(default_factory=list)
    asked: dict[tuple[int, str], int] = field(default_factory=dict)

    @property
    def tokens(self) -> dict[str, Written]:
        """Messages by token."""
        return {message.token: message for message in self.written if message.token}


def make_marker(client: int) -> str:
    """A word that only this client's instructions have."""
    return f"MARCA{client:03d}Q"


class Customers:
    """Hundreds of people: each writes now and then to one client, some to two clients."""

    def __init__(self, tenants: list[Tenant], count: int, rng: random.Random) -> None:
        self.tenants = tenants
        self.book = Book()
        self._rng = rng
        prefix = rng.randrange(1_000, 9_999)
        self._pairs: list[tuple[int, str, str]] = []
        for number in range(count):
            customer = f"54911{prefix}{number:04d}"
            addressing = "lid" if number % 5 == 0 else "pn"
            self._pairs.append((number % len(tenants), customer, addressing))
            if number % 10 == 3:
                # The same person writes to another client too.
                self._pairs.append(((number + 1) % len(tenants), customer, addressing))

    async def write(self, messages: int, *, per_second: float) -> None:
        """Write that many messages, whether or not anybody answers."""
        sending: list[asyncio.Task[None]] = []
        while len(self.book.written) < messages:
            pair = self._rng.choice(self._pairs)
            kind = self._rng.random()
            count = 1 if kind < 0.7 else 2
            texts = [self._note(pair) for _ in range(count)]
            if kind > 0.9:
                texts[-1] = self._question(pair)
            sending.append(asyncio.create_task(self._send(pair, texts)))
            await asyncio.sleep(self._rng.expovariate(per_second / count))
        await asyncio.gather(*sending)

    def _note(self, pair: tuple[int, str, str]) -> str:
        client, customer, _ = pair
        token = f"tk{client}x{customer[-8:]}x{len(self.book.written)}x{self._rng.randrange(10**6):06d}z"
        self.book.written.append(Written(client, customer, token))
        return f"{self._rng.choice(('pedido', 'consulta', 'reclamo', 'dato'))} {token}"

    def _question(self, pair: tuple[int, str, str]) -> str:
        client, customer, _ = pair
        self.book.written[-1] = Written(client, customer, None)
        self.book.asked[client, customer] = self.book.asked.get((client, customer), 0) + 1
        return QUESTION

    async def _send(self, pair: tuple[int, str, str], texts: list[str]) -> None:
        client, customer, addressing = pair
        tenant = self.tenants[client]
        for text in texts:
            # Some cannot be read at first, as WhatsApp has it now and then.
            is_sealed = self._rng.random() < 0.05
            body = {"from": customer, "body": text, "addressing": addressing, "undecrypted": is_sealed}
            written = await post(tenant.phone, f"/{tenant.owner}/incoming", body)
            if is_sealed:
                await asyncio.sleep(self._rng.uniform(0.2, 5))
                await post(tenant.phone, f"/{tenant.owner}/decrypt", {"id": written["id"]})


async def post(http: httpx2.AsyncClient, path: str, body: dict[str, object]) -> dict[str, object]:
    """Post to the sandbox, which no fault of the soak touches: an error is an error of the soak."""
    response = await http.post(path, json=body)
    response.raise_for_status()
    return dict(response.json())
