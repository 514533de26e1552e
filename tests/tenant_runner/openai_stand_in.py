"""The sandbox's OpenAI on a port of its own, with nothing in it."""

from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.routing import Mount

from sandbox.openai_api.app import create_app
from tests.tenant_runner.http_server import HttpServer


class OpenAIStandIn:
    """Real HTTP for the real client."""

    def __init__(self, port: int) -> None:
        self.base_url = f"http://127.0.0.1:{port}/openai/v1"
        self._app = create_app(None)
        self._server = HttpServer(Starlette(routes=[Mount("/openai", app=self._app)]), port)
        self._http = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}/openai/control", trust_env=False, timeout=60)

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._http.aclose()
        await self._server.stop()
        self._app.state.store.close()

    async def fail(self, path: str, **fault: Any) -> None:
        response = await self._http.post("/faults", json={"path": path, **fault})
        assert response.status_code == 201, response.text

    async def recover(self) -> None:
        await self._http.delete("/faults")

    async def limit(self, context_tokens: int | None) -> None:
        assert (await self._http.put("/limits", json={"context_tokens": context_tokens})).status_code == 200

    async def state(self) -> dict[str, Any]:
        state: dict[str, Any] = (await self._http.get("/conversations")).json()
        return state

    async def conversations(self) -> list[dict[str, Any]]:
        conversations: list[dict[str, Any]] = (await self.state())["conversations"]
        return conversations

    async def requests(self, path: str) -> list[dict[str, Any]]:
        logged = (await self._http.get("/requests")).json()["requests"]
        return [request for request in logged if request["path"] == path]

    async def delete(self, conversation_id: str, key: str) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        response = await self._http.delete(f"{self.base_url}/conversations/{conversation_id}", headers=headers)
        assert response.status_code == 200, response.text
