"""A control plane of a hundred lines, over real HTTP, that can be away."""

from typing import Any

from fastapi import FastAPI, Header, HTTPException, Request

from tenant_runner.contract import (
    CONFIG_PATH,
    EVENTS_PATH,
    REPLACED_PROBLEM,
    START_PATH,
    AssistantStatusChanged,
    ConversationStatusChanged,
    Delivery,
    DeliveryReceipt,
    Event,
    MessageAcknowledged,
    MessageRecorded,
    RunnerConfig,
    RunnerStart,
    SessionChanged,
)
from tests.tenant_runner.http_server import HttpServer


class FakeControlPlane:
    """Serves one client's configuration and keeps what its runner tells, as the contract demands."""

    def __init__(self, port: int, token: str) -> None:
        self.port = port
        self.token = token
        self.config: RunnerConfig | None = None
        self.events: list[Event] = []
        self.sessions: list[SessionChanged] = []
        self.instances: list[str] = []
        self.duplicates = 0
        self.memory_bytes: int | None = None
        self.breaks_after_storing = 0
        self.fence = 0
        self.takes_at_most: int | None = None
        self._server: HttpServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def configure(self, config: RunnerConfig) -> None:
        self.config = config

    def change(self, **changes: Any) -> None:
        assert self.config is not None
        self.config = self.config.model_copy(update={**changes, "revision": self.config.revision + 1})

    async def start(self) -> None:
        app = FastAPI()

        def check(token: str) -> None:
            if token != self.token:
                raise HTTPException(401)

        @app.post(START_PATH)
        async def start(x_api_key: str = Header("")) -> RunnerStart:
            check(x_api_key)
            self.fence += 1
            return RunnerStart(fence=self.fence)

        @app.get(CONFIG_PATH)
        async def config(x_api_key: str = Header("")) -> Any:
            check(x_api_key)
            assert self.config is not None
            answer = self.config.model_dump(mode="json")
            if self.config.assistant.kind == "openai":
                answer["assistant"]["api_key"] = self.config.assistant.api_key.get_secret_value()
            return answer

        @app.post(EVENTS_PATH)
        async def events(request: Request, x_api_key: str = Header("")) -> DeliveryReceipt:
            check(x_api_key)
            return self._take(Delivery.model_validate_json(await request.body()))

        self._server = HttpServer(app, self.port)
        await self._server.start()

    def _take(self, delivery: Delivery) -> DeliveryReceipt:
        if delivery.fence < self.fence:
            raise HTTPException(409, {"type": REPLACED_PROBLEM})
        last = self.events[-1].sequence if self.events else 0
        for event in delivery.events[: self.takes_at_most]:
            if event.sequence <= last:
                self.duplicates += 1
                continue
            self.events.append(event)
            last = event.sequence
        if not self.sessions or self.sessions[-1] != delivery.session:
            self.sessions.append(delivery.session)
        self.memory_bytes = delivery.memory_bytes or self.memory_bytes
        if delivery.instance not in self.instances:
            self.instances.append(delivery.instance)
        if self.breaks_after_storing and delivery.events:
            self.breaks_after_storing -= 1
            raise HTTPException(500)
        assert self.config is not None
        return DeliveryReceipt(accepted_through=last, config_revision=self.config.revision)

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop()
            self._server = None

    @property
    def session(self) -> SessionChanged | None:
        return self.sessions[-1] if self.sessions else None

    def messages(self, author: str | None = None) -> list[MessageRecorded]:
        found = [e.payload for e in self.events if isinstance(e.payload, MessageRecorded)]
        return [message for message in found if author in (None, message.author)]

    def acks(self, message_id: str) -> list[str]:
        return [
            e.payload.ack
            for e in self.events
            if isinstance(e.payload, MessageAcknowledged) and e.payload.message_id == message_id
        ]

    def statuses(self) -> list[tuple[str | None, str]]:
        return [
            (e.payload.chat_id, e.payload.status)
            for e in self.events
            if isinstance(e.payload, ConversationStatusChanged)
        ]

    def problems(self) -> list[str | None]:
        return [e.payload.problem for e in self.events if isinstance(e.payload, AssistantStatusChanged)]
