"""Talking to the control plane: configuration in, events out; it may be away at any time."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime

import httpx2
from pydantic import ValidationError

from tenant_runner.contract import (
    CONFIG_PATH,
    EVENTS_PATH,
    MAX_EVENTS_PER_DELIVERY,
    REPLACED_PROBLEM,
    START_PATH,
    TOKEN_HEADER,
    Delivery,
    DeliveryReceipt,
    RunnerConfig,
    RunnerCredentials,
    RunnerStart,
    SessionChanged,
    SessionState,
)
from tenant_runner.journal.outbox import Outbox

logger = logging.getLogger(__name__)

TIMEOUT_S = 15.0
HEARTBEAT_S = 10.0
ANXIOUS_HEARTBEAT_S = 2.0
GATHER_S = 0.5
CALM_S = 0.2
LONGEST_BACKOFF_S = 30.0
LAST_DELIVERY_S = 2.0


class ControlPlaneAway(Exception):
    """It did not answer, or not as agreed."""


class Replaced(Exception):
    """A later process works for this client: this one must end, and not be started again at once."""


class ControlPlaneClient:
    """The calls of the internal API.

    Attributes:
        fence: this process's, 0 until it has one.
    """

    def __init__(self, credentials: RunnerCredentials) -> None:
        self.fence = 0
        self._http = httpx2.AsyncClient(
            base_url=credentials.control_plane_url,
            headers={TOKEN_HEADER: credentials.token.get_secret_value()},
            timeout=TIMEOUT_S,
            trust_env=False,
        )

    async def start(self) -> None:
        """Take this client's work over from any earlier process.

        Raises:
            ControlPlaneAway: ask again later.
        """
        try:
            response = await self._http.post(START_PATH)
            response.raise_for_status()
            self.fence = RunnerStart.model_validate_json(response.content).fence
        except httpx2.HTTPError as error:
            raise ControlPlaneAway(_words(error)) from error
        except ValidationError:
            raise ControlPlaneAway("its answer could not be read") from None

    async def fetch_config(self) -> RunnerConfig:
        """The configuration now.

        Raises:
            ControlPlaneAway: ask again later.
        """
        try:
            response = await self._http.get(CONFIG_PATH)
            response.raise_for_status()
            return RunnerConfig.model_validate_json(response.content)
        except httpx2.HTTPError as error:
            raise ControlPlaneAway(_words(error)) from error
        except ValidationError as error:
            # The errors' own text would have the input in it, and so the key.
            raise ControlPlaneAway(f"the configuration has {error.error_count()} errors") from None

    async def wait_for_config(self) -> RunnerConfig:
        """Take the work over and get the configuration, however long the control plane is away."""
        attempt = 0
        while True:
            try:
                if not self.fence:
                    await self.start()
                return await self.fetch_config()
            except ControlPlaneAway as error:
                delay_s = _backoff(attempt)
                attempt += 1
                logger.warning("control plane away", extra={"cause": str(error), "attempt": attempt})
                await asyncio.sleep(delay_s)

    async def deliver(self, delivery: Delivery) -> DeliveryReceipt:
        """Hand over events and the session.

        Raises:
            ControlPlaneAway: nothing is known to be stored.
            Replaced: nothing was stored, and nothing will be.
        """
        try:
            response = await self._http.post(
                EVENTS_PATH, content=delivery.model_dump_json(), headers={"Content-Type": "application/json"}
            )
            if response.status_code == httpx2.codes.CONFLICT and REPLACED_PROBLEM in response.text:
                raise Replaced("a later process works for this client")
            response.raise_for_status()
            return DeliveryReceipt.model_validate_json(response.content)
        except httpx2.HTTPError as error:
            raise ControlPlaneAway(_words(error)) from error
        except ValidationError:
            raise ControlPlaneAway("its receipt could not be read") from None

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _words(error: httpx2.HTTPError) -> str:
    if isinstance(error, httpx2.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    return type(error).__name__


def _backoff(attempt: int) -> float:
    return min(LONGEST_BACKOFF_S, 0.5 * 2.0 ** min(attempt, 10)) * random.uniform(0.75, 1.0)  # noqa: S311 (jitter)


class Courier:
    """Empties the outbox in order, and tells the session at least every few seconds."""

    def __init__(
        self,
        client: ControlPlaneClient,
        outbox: Outbox,
        *,
        instance: str,
        started_at: datetime,
        journal_id: str,
        session: Callable[[], SessionChanged],
        revision: Callable[[], int],
        on_newer_config: Callable[[], Awaitable[None]],
        calm: Callable[[], Awaitable[None]],
        memory: Callable[[], int | None] = lambda: None,
    ) -> None:
        """Nothing is delivered yet.

        Args:
            calm: returns when nothing is being answered.
        """
        self._client = client
        self._outbox = outbox
        self._instance = instance
        self._started_at = started_at
        self._journal_id = journal_id
        self._session = session
        self._revision = revision
        self._on_newer_config = on_newer_config
        self._memory = memory
        self._calm = calm
        self._urgent = asyncio.Event()

    def nudge(self) -> None:
        """There is something to tell at once, such as the session: people wait for it in front of a page."""
        self._urgent.set()
        self._outbox.news.set()

    async def run(self) -> None:
        """Deliver for ever.

        Raises:
            Replaced: see `ControlPlaneClient.deliver`.
        """
        failures = 0
        while True:
            try:
                more = await self._deliver_once()
            except ControlPlaneAway as error:
                if failures == 0:
                    logger.warning("control plane away", extra={"cause": str(error)})
                await asyncio.sleep(_backoff(failures))
                failures += 1
                continue
            except Replaced:
                raise
            except Exception:
                logger.exception("delivery broke")
                await asyncio.sleep(LONGEST_BACKOFF_S)
                continue
            if failures:
                logger.info("control plane is back", extra={"failures": failures})
            failures = 0
            if not more:
                await self._wait_for_news()

    async def _deliver_once(self) -> bool:
        """Post one batch; True when there is more and it makes sense to go on at once."""
        self._urgent.clear()
        self._outbox.news.clear()
        events = await self._outbox.next(MAX_EVENTS_PER_DELIVERY)
        delivery = Delivery(
            instance=self._instance,
            fence=self._client.fence,
            started_at=self._started_at,
            journal_id=self._journal_id,
            config_revision=self._revision(),
            session=self._session(),
            memory_bytes=self._memory(),
            events=events,
        )
        receipt = await self._client.deliver(delivery)
        accepted = await self._outbox.accepted(receipt.accepted_through)
        if receipt.config_revision > self._revision():
            await self._on_newer_config()
        if events and not accepted:
            raise ControlPlaneAway("it took none of the events")
        # A control plane that is slow takes a part and leaves the rest to the next delivery.
        took_all = not events or receipt.accepted_through >= events[-1].sequence
        return len(events) == MAX_EVENTS_PER_DELIVERY or not took_all

    async def _wait_for_news(self) -> None:
        anxious = self._session().state is not SessionState.WORKING
        try:
            async with asyncio.timeout(ANXIOUS_HEARTBEAT_S if anxious else HEARTBEAT_S):
                await self._outbox.news.wait()
        except TimeoutError:
            return
        # A message, its answer and what became of that come within moments: one request for all of them.
        with suppress(TimeoutError):
            async with asyncio.timeout(GATHER_S):
                await self._urgent.wait()
        if self._urgent.is_set():
            return
        # What is about to be answered goes first, and is told of as one: cores are few, and customers wait for replies.
        with suppress(TimeoutError):
            async with asyncio.timeout(CALM_S):
                await self._calm()

    async def say_goodbye(self) -> None:
        """One last delivery, so that the end of the session is known at once; it may fail."""
        try:
            async with asyncio.timeout(LAST_DELIVERY_S):
                await self._deliver_once()
        except (ControlPlaneAway, Replaced, TimeoutError):
            return
