"""OpenAI's Responses API with one Conversation per chat.

The journal is the truth, a conversation is a cache of it: lost, wedged, too long or of another key, it is built again
from the newest lines. Its id is persisted the moment it exists because there is no way to list conversations.
"""

import asyncio
import hashlib
import logging
import random
import time
from collections.abc import Awaitable
from typing import Literal

import openai
from openai.types.responses import EasyInputMessageParam, ResponseInputContentParam, ResponseInputParam

from tenant_runner.assistants.base import AssistantFailure, Problem, Question, Rejected, TenantProblem, Unavailable
from tenant_runner.contract import OpenAIAssistant
from tenant_runner.journal import Line
from tenant_runner.journal.threads import RemoteConversation, Thread, Threads
from tenant_runner.kinds import bare_type

logger = logging.getLogger(__name__)

KEPT_LINES = 40
KEPT_LINES_WHEN_TOO_LONG = 8
ITEMS_PER_REQUEST = 20
MAX_OUTPUT_TOKENS = 800
LOCK_WAIT_S = 8.0
REQUEST_TIMEOUT_S = 60.0
TRANSCRIPTION_MODEL = "gpt-transcribe"

# The service tells recordings apart by the name of the file.
_EXTENSIONS = {
    "audio/ogg": "ogg",
    "audio/opus": "ogg",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/mp4": "m4a",
    "audio/m4a": "m4a",
    "audio/x-m4a": "m4a",
    "audio/aac": "m4a",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/webm": "webm",
    "audio/flac": "flac",
}

Cause = Literal["locked", "lost", "wedged", "too_long", "tenant", "unavailable", "rejected"]


def fingerprint(api_key: str) -> str:
    """Tells keys apart without telling them."""
    return hashlib.sha256(api_key.encode()).hexdigest()[:16]


def find_cause(error: openai.APIError) -> Cause:
    """What an error of the API means for the turn."""
    status = getattr(error, "status_code", None)
    text = str(error)
    if error.code == "conversation_locked":
        return "locked"
    if error.code == "context_length_exceeded":
        return "too_long"
    if status == 400 and ("tool output found" in text or "tool call found" in text):
        return "wedged"
    if _find_problem(error) is not None:
        return "tenant"
    if status == 404:
        return "lost"
    if isinstance(error, openai.APIConnectionError) or status in (408, 409, 429) or (status or 0) >= 500:
        return "unavailable"
    return "rejected"


def _find_problem(error: openai.APIError) -> Problem | None:
    if error.code in ("insufficient_quota", "billing_hard_limit_reached"):
        return "no_quota"
    if error.code == "model_not_found":
        return "model_not_found"
    if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
        return "bad_key"
    return None


def _failure(error: openai.APIError, api_key: str) -> AssistantFailure:
    detail = str(error).replace(api_key, "sk-…")[:500]
    problem = _find_problem(error)
    if problem is not None:
        return TenantProblem(problem, detail)
    cause = find_cause(error)
    if cause == "lost":
        # A conversation was lost twice in a row, or the address does not speak this API.
        return TenantProblem("unavailable", detail)
    if cause in ("unavailable", "locked"):
        return Unavailable(detail, _retry_after(error))
    return Rejected(detail)


def _retry_after(error: openai.APIError) -> float:
    if not isinstance(error, openai.APIStatusError):
        return 0.0
    try:
        return max(0.0, float(error.response.headers.get("retry-after", "0")))
    except ValueError:
        return 0.0


def _items(lines: tuple[Line, ...]) -> ResponseInputParam:
    return [_item(line) for line in lines]


def _item(line: Line) -> EasyInputMessageParam:
    if line.image is None:
        text = "\n".join(part for part in (f"[{line.note}]" if line.note else "", line.text) if part)
        return {"type": "message", "role": line.role, "content": text or "[…]"}
    content: list[ResponseInputContentParam] = [{"type": "input_image", "image_url": line.image, "detail": "low"}]
    if line.text:
        content.append({"type": "input_text", "text": line.text})
    return {"type": "message", "role": line.role, "content": content}


class OpenAIReplies:
    """One client's assistant, with a connection pool and an API key of its own."""

    sees = True
    hears = True

    def __init__(self, config: OpenAIAssistant, threads: Threads) -> None:
        self._config = config
        self._threads = threads
        self._api_key = config.api_key.get_secret_value()
        self.key_fingerprint = fingerprint(self._api_key)
        self._client = openai.AsyncOpenAI(
            api_key=self._api_key,
            base_url=config.base_url,
            timeout=REQUEST_TIMEOUT_S,
            max_retries=1,
            # The provider is asked, and nobody that it may name: a customer's words go nowhere else.
            http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
        )

    async def answer(self, question: Question) -> str:
        """Ask once; a conversation that cannot go on is built again once. Raises as `Assistant.answer` says."""
        try:
            return await self._answer(question)
        except openai.APIError as error:
            raise _failure(error, self._api_key) from error

    async def _answer(self, question: Question) -> str:
        thread = await self._threads.get(question.chat_id)
        if thread is not None and thread.key_fingerprint != self.key_fingerprint:
            thread = None
        kept, rebuilt = KEPT_LINES, False
        while True:
            if thread is None or thread.conversation_id is None:
                thread = await self._build(question, kept)
            try:
                return await self._respond(question, thread)
            except openai.APIError as error:
                cause = find_cause(error)
                if rebuilt or cause not in ("lost", "wedged", "too_long"):
                    raise
                logger.info("conversation abandoned", extra={"cause": cause, "conversation_id": thread.conversation_id})
                if cause == "lost" and thread.conversation_id:
                    await self._threads.gone(thread.conversation_id)
                if cause == "too_long":
                    kept = KEPT_LINES_WHEN_TOO_LONG
                thread, rebuilt = None, True

    async def _build(self, question: Question, kept: int) -> Thread:
        history = question.history[-kept:]
        batches = [history[start : start + ITEMS_PER_REQUEST] for start in range(0, len(history), ITEMS_PER_REQUEST)]
        first = batches.pop(0) if batches else ()
        conversation = await self._client.conversations.create(items=_items(first))
        thread = await self._threads.created(
            question.chat_id, conversation.id, self.key_fingerprint, synced_through=first[-1].sequence if first else 0
        )
        for batch in batches:
            await self._client.conversations.items.create(conversation.id, items=_items(batch))
            thread = await self._threads.used(thread, response_ids=(), synced_through=batch[-1].sequence)
        return thread

    async def _respond(self, question: Question, thread: Thread) -> str:
        # What people wrote while the assistant was quiet: the conversation has not seen it (its own answers it has).
        missed = tuple(
            line for line in question.history if line.sequence > thread.synced_through and not line.by_assistant
        )
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                response = await self._client.responses.create(
                    model=self._config.model,
                    instructions=self._config.instructions,
                    conversation=thread.conversation_id,
                    input=_items((*missed, *question.new)),
                    max_output_tokens=MAX_OUTPUT_TOKENS,
                    store=True,
                )
                break
            except openai.APIError as error:
                if find_cause(error) != "locked" or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311 (jitter)
        synced_through = question.new[-1].sequence
        await self._threads.used(thread, response_ids=(response.id,), synced_through=synced_through)
        if response.status == "failed":
            raise Unavailable(response.error.message if response.error else "the response failed")
        if not response.output_text.strip():
            refusal = any(
                part.type == "refusal" for item in response.output if item.type == "message" for part in item.content
            )
            raise Rejected("the provider refused" if refusal else f"empty response: {response.status}", by_policy=True)
        return response.output_text.strip()

    async def transcribe(self, recording: bytes, mimetype: str | None, language: str) -> str:
        """What is said in a recording; nothing of it stays at the provider. Raises as `Assistant.transcribe` says."""
        extension = _EXTENSIONS.get(bare_type(mimetype or "audio/ogg"), "ogg")
        try:
            transcription = await self._client.audio.transcriptions.create(
                model=TRANSCRIPTION_MODEL,
                file=(f"recording.{extension}", recording, bare_type(mimetype or "audio/ogg")),
                languages=[language],
            )
        except openai.APIError as error:
            raise _failure(error, self._api_key) from error
        if not transcription.text.strip():
            raise Rejected("nothing is said in the recording", by_policy=True)
        return transcription.text.strip()

    async def forget(self, remote: RemoteConversation) -> None:
        """Items first (deleting a conversation leaves them), then the conversation, then stored responses."""
        try:
            await self._forget(remote)
        except openai.APIError as error:
            raise _failure(error, self._api_key) from error

    async def _forget(self, remote: RemoteConversation) -> None:
        conversations = self._client.conversations
        try:
            items = [item.id async for item in conversations.items.list(remote.conversation_id, limit=100, order="asc")]
        except openai.NotFoundError:
            items = []
        for item_id in items:
            if item_id:
                await _unless_gone(conversations.items.delete(item_id, conversation_id=remote.conversation_id))
        await _unless_gone(conversations.delete(remote.conversation_id))
        for response_id in remote.response_ids:
            await _unless_gone(self._client.responses.delete(response_id))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


async def _unless_gone(deletion: Awaitable[object]) -> None:
    try:
        await deletion
    except openai.NotFoundError:
        return
