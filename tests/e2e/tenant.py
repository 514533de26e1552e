"""A client of the platform with its phone, as the tests hold them: made over the JSON API, linked by its QR code."""

import io
import secrets
from typing import Any

import httpx2
import zxingcpp
from PIL import Image

from tests.conftest import wait_for
from tests.e2e.installation import Installation
from tests.log_scan import remember_secret

LINK_DEADLINE_S = 120.0
ANSWER_DEADLINE_S = 90.0
INSTRUCTIONS = "El horario es de 9 a 18 horas. El envío tarda dos días. La dirección es Belgrano 55."


def make_number() -> str:
    """A phone number that no other test has."""
    return "54911" + "".join(secrets.choice("0123456789") for _ in range(8))


class Tenant:
    """One client, its owner's phone and its landing page."""

    def __init__(
        self, installation: Installation, api: httpx2.AsyncClient, view: dict[str, Any], key: str | None
    ) -> None:
        self.installation = installation
        self.api = api
        self.id: str = view["id"]
        self.port: int = view["port"]
        self.slug: str = remember_secret("a landing link", view["landing_url"].rsplit("/", 1)[1])
        self.owner = make_number()
        self.key = remember_secret("an OpenAI key", key) if key else None
        # A connection for each call: one that the server closes while idle would make a message's fate unknown.
        self.phone = httpx2.AsyncClient(
            base_url=f"{installation.sandbox}/phone/api", timeout=30, limits=httpx2.Limits(max_keepalive_connections=0)
        )

    @classmethod
    async def create(
        cls, installation: Installation, api: httpx2.AsyncClient, *, kind: str = "openai", **more: Any
    ) -> "Tenant":
        """Have the platform create it."""
        key = more.pop("key", f"sk-{secrets.token_hex(12)}") if kind == "openai" else None
        assistant: dict[str, Any] = (
            {"kind": "openai", "api_key": key, "instructions": INSTRUCTIONS}
            if kind == "openai"
            else {"kind": "automatic", "default_answer": "Gracias por escribir."}
        )
        body = {
            "name": f"Cliente {secrets.token_hex(3)}",
            "email": "cliente@example.com",
            "assistant": assistant,
        } | more
        response = await api.post("/api/admin/clients", json=body)
        assert response.status_code == 201, response.text
        return cls(installation, api, response.json(), key)

    async def status(self) -> dict[str, Any]:
        """What the landing page's JSON says."""
        async with httpx2.AsyncClient(base_url=self.installation.portal, timeout=30) as visitor:
            return dict((await visitor.get(f"/api/client/{self.slug}/status")).json())

    async def wait_until(self, state: str, deadline_s: float = LINK_DEADLINE_S) -> None:
        """Wait for a session state."""

        async def is_it() -> bool:
            return (await self.status()).get("state") == state

        await wait_for(is_it, deadline_s=deadline_s, interval_s=0.3, what=f"state {state} of {self.id}")

    async def read_code(self) -> str | None:
        """What the QR code on the landing page says, if there is one."""
        async with httpx2.AsyncClient(base_url=self.installation.portal, timeout=30) as visitor:
            picture = await visitor.get(f"/api/client/{self.slug}/qr")
        if picture.status_code != 200:
            return None
        found = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture.content)).convert("RGB"))
        return found[0].text if found else None

    async def link(self) -> None:
        """Scan the QR code with the owner's phone and wait until the session works."""

        async def scanned() -> bool:
            code = await self.read_code()
            if code is None:
                return False
            response = await self.phone.post("/pair", json={"qr": code, "phone": self.owner, "name": "Dueña"})
            # A code that was replaced between the look and the scan is looked for again.
            assert response.status_code in (200, 409), response.text
            return bool(response.status_code == 200)

        await wait_for(scanned, deadline_s=LINK_DEADLINE_S, interval_s=0.3, what="the scan of a QR code")
        await self.wait_until("WORKING")

    async def receive(self, customer: str, text: str) -> str:
        """A customer writes; returns the message's id on the phone."""
        response = await self.phone.post(f"/{self.owner}/incoming", json={"from": customer, "body": text})
        assert response.status_code == 200, response.text
        return str(response.json()["id"])

    async def sent(self, customer: str) -> list[dict[str, Any]]:
        """What left to a customer, as the owner's phone saw it (sends only; each copy of a repeated id counts)."""
        events = (await self.phone.get(f"/{self.owner}/events", params={"kind": "sent"})).json()
        return [event for event in events if event["number"] == customer]

    async def answers(self, customer: str, count: int = 1, deadline_s: float = ANSWER_DEADLINE_S) -> list[str]:
        """Wait until at least `count` answers left to a customer."""

        async def enough() -> list[dict[str, Any]] | None:
            found = await self.sent(customer)
            return found if len(found) >= count else None

        found = await wait_for(enough, deadline_s=deadline_s, interval_s=0.2, what=f"{count} answers to {customer}")
        return [event["body"] for event in found]

    async def linked(self) -> int:
        """How many times a device was linked to the owner's phone."""
        return len((await self.phone.get(f"/{self.owner}/events", params={"kind": "linked"})).json())

    def stored(self) -> list[dict[str, Any]]:
        """The client's messages in the database, oldest first."""
        database = self.installation.database()
        return list(database["client_messages"].find({"client_id": self.id}).sort("sent_at", 1))

    async def wait_until_stored(self, count: int) -> list[dict[str, Any]]:
        """Wait for that many messages in the database."""
        return await wait_for(
            lambda: found if len(found := self.stored()) >= count else None,
            # After an outage the runner may wait for half a minute until it tries again.
            deadline_s=120,
            interval_s=0.3,
            what=f"{count} messages of {self.id} in the database",
        )

    async def wait_until_threads_are_stored(self) -> set[str]:
        """Ids of the conversations at the provider; of one delivery, they are stored after its messages."""
        threads = self.installation.database()["client_threads"]
        return await wait_for(
            lambda: {thread["conversation_id"] for thread in threads.find({"client_id": self.id})},
            interval_s=0.3,
            what=f"a thread of {self.id} in the database",
        )

    def session(self) -> dict[str, Any]:
        """What the database knows of the session."""
        return self.installation.database()["client_sessions"].find_one({"_id": self.id}) or {}

    async def requests_at_provider(self) -> list[dict[str, Any]]:
        """What the provider's stand-in was asked with this client's key."""
        assert self.key
        async with httpx2.AsyncClient(base_url=self.installation.sandbox, timeout=30) as control:
            answer = (await control.get("/openai/control/requests")).json()
        found: list[dict[str, Any]] = answer.get("requests", answer) if isinstance(answer, dict) else answer
        return [request for request in found if (request["key_hint"] or "").endswith(self.key[-4:])]

    async def close(self) -> None:
        """Put the phone away."""
        await self.phone.aclose()
