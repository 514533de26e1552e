"""HTTP to one client's runner, with a deadline, and with what went wrong in plain words."""

from http import HTTPStatus
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from control_plane.errors import Problem
from tenant_runner.contract import (
    IDEMPOTENCY_HEADER,
    TOKEN_HEADER,
    ConversationRequest,
    LinkCode,
    LinkCodeRequest,
    ProcessMessageReply,
    ProcessMessageRequest,
    PurgeReport,
    PurgeRequest,
    RunnerStatus,
    SendAccepted,
    SendRequest,
)

# The assistant may think for a minute, and a purge talks to the provider once per conversation and item.
ANSWER_TIMEOUT_S = 90.0
PURGE_TIMEOUT_S = 300.0

Answer = TypeVar("Answer", bound=BaseModel)


class RunnerUnreachable(Problem):
    """The client's process does not answer; connect the client, or wait a moment until it has started."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    type = "/problems/runner-unreachable"
    title = "The client's process does not answer"


class RunnerRefused(Problem):
    """The client's process could not do it."""

    status = HTTPStatus.BAD_GATEWAY
    type = "/problems/runner-refused"
    title = "The client's process could not do it"


class KeyReused(Problem):
    """The idempotency key was used for another message; take a new one for each message."""

    status = HTTPStatus.CONFLICT
    type = "/problems/idempotency-key-reused"
    title = "The idempotency key was used already"


class RunnerGateway:
    """One client's runner. Every call raises `RunnerUnreachable` (503) or `RunnerRefused` (502, with its reason)."""

    def __init__(self, port: int, token: str, *, timeout_s: float) -> None:
        self._base_url = f"http://127.0.0.1:{port}"
        self._headers = {TOKEN_HEADER: token}
        self._timeout_s = timeout_s

    async def health(self) -> None:
        """Return when the process answers."""
        await self._request("GET", "/health", None, {}, self._timeout_s)

    async def status(self) -> RunnerStatus:
        """What the runner is doing."""
        return await self._call(RunnerStatus, "GET", "/status")

    async def send(self, request: SendRequest, *, idempotency_key: str | None) -> SendAccepted:
        """Send a text; repeating with the same key sends once.

        Raises:
            KeyReused: the key was used for another message (409).
        """
        headers = {IDEMPOTENCY_HEADER: idempotency_key} if idempotency_key else {}
        return await self._call(SendAccepted, "POST", "/send", request, headers=headers)

    async def process_message(self, request: ProcessMessageRequest) -> ProcessMessageReply:
        """What the assistant would answer."""
        return await self._call(
            ProcessMessageReply, "POST", "/process-message", request, timeout_s=max(self._timeout_s, ANSWER_TIMEOUT_S)
        )

    async def purge(self, request: PurgeRequest) -> PurgeReport:
        """Delete what is past its time in the journal and at the AI provider."""
        return await self._call(PurgeReport, "POST", "/purge", request, timeout_s=PURGE_TIMEOUT_S)

    async def refresh_code(self) -> None:
        """Have new QR codes made."""
        await self._request("POST", "/session/refresh", None, {}, self._timeout_s)

    async def link_code(self, request: LinkCodeRequest) -> LinkCode:
        """A code to type on the phone of that number."""
        return await self._call(LinkCode, "POST", "/session/link-code", request)

    async def set_automatic(self, request: ConversationRequest) -> None:
        """Have the assistant answer in a chat, or be quiet there."""
        await self._request("POST", "/conversation", request, {}, self._timeout_s)

    async def log_out(self) -> None:
        """Unlink the phone."""
        await self._request("POST", "/session/logout", None, {}, self._timeout_s)

    async def _call(
        self,
        answer: type[Answer],
        method: str,
        path: str,
        body: BaseModel | None = None,
        *,
        headers: dict[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        response = await self._request(method, path, body, headers or {}, timeout_s or self._timeout_s)
        try:
            return answer.model_validate_json(response.content)
        except ValidationError as error:
            raise RunnerRefused("it answered something unexpected; restart the client") from error

    async def _request(
        self, method: str, path: str, body: BaseModel | None, headers: dict[str, str], timeout_s: float
    ) -> httpx2.Response:
        content: dict[str, Any] = {"content": body.model_dump_json()} if body else {}
        try:
            async with httpx2.AsyncClient(base_url=self._base_url, timeout=timeout_s, trust_env=False) as client:
                response = await client.request(
                    method,
                    path,
                    headers={**self._headers, "Content-Type": "application/json", **headers},
                    **content,
                )
        except httpx2.HTTPError as error:
            raise RunnerUnreachable from error
        if response.status_code == HTTPStatus.CONFLICT:
            raise KeyReused
        if not response.is_success:
            raise RunnerRefused(_reason(response))
        return response


def _reason(response: httpx2.Response) -> str:
    """What the runner's problem document says."""
    try:
        document = response.json()
        detail = document.get("detail") or document.get("title")
    except (ValueError, AttributeError):
        detail = None
    return str(detail)[:300] if detail else f"it answered {response.status_code}"
