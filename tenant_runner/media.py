"""Getting the files that turns wait for; their bytes stay in memory, never on disk."""

import asyncio
import base64
import logging
import time
from collections.abc import Awaitable, Callable

from tenant_runner.answering import Answering, Patience
from tenant_runner.assistants.base import AssistantFailure, Rejected
from tenant_runner.channels.base import Channel, ChannelNotReady, MediaGone
from tenant_runner.courtesy import UNAVAILABLE
from tenant_runner.journal import Journal
from tenant_runner.journal.media import MediaJob
from tenant_runner.kinds import bare_type

logger = logging.getLogger(__name__)

MAX_IMAGE_BYTES = 5 * 1024 * 1024
MAX_VOICE_BYTES = 16 * 1024 * 1024
AT_ONCE = 3
DOWNLOAD_S = 60.0


class MediaJobs:
    """One job for each file, tried again until it is there or its time is over; a restart begins it anew."""

    def __init__(
        self,
        journal: Journal,
        answering: Answering,
        working_channel: Callable[[], Awaitable[Channel]],
        patience: Patience,
    ) -> None:
        self._journal = journal
        self._answering = answering
        self._working_channel = working_channel
        self._patience = patience
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._images: dict[str, str] = {}
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def resume(self) -> None:
        """Go on with what an earlier run left unfinished."""
        for job in await self._journal.media.wanted():
            self.start(job)

    async def stop(self) -> None:
        """Stop working; the journal knows what is wanted."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def start(self, job: MediaJob) -> asyncio.Task[None]:
        """Begin with a file, unless that happened already."""
        task = self._tasks.get(job.message_id)
        if task is None:
            task = asyncio.create_task(self._work(job), name=f"media {job.message_id}")
            self._tasks[job.message_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(job.message_id, None))
        return task

    def drop(self, message_id: str) -> None:
        """A file is wanted no more: let go of it."""
        self._images.pop(message_id, None)
        task = self._tasks.get(message_id)
        if task is not None:
            task.cancel()

    async def drop_all(self, message_ids: list[str]) -> None:
        """Files are wanted no more; returns when nobody works on them."""
        tasks = [task for message_id in message_ids if (task := self._tasks.get(message_id)) is not None]
        for message_id in message_ids:
            self.drop(message_id)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def settle(self, chat_id: str) -> None:
        """Return once every file of a chat is there or given up."""
        while waiting := [job for job in await self._journal.media.of_chat(chat_id) if not self._has(job)]:
            await asyncio.wait([self.start(job) for job in waiting])

    def image(self, message_id: str) -> str | None:
        """A picture as a data URL."""
        return self._images.get(message_id)

    def _has(self, job: MediaJob) -> bool:
        return job.message_id in self._images

    async def _work(self, job: MediaJob) -> None:
        # Only time with a channel counts: without one there is no hurry, no answer could leave either.
        spent_s, pause_s = 0.0, self._patience.first_retry_s
        while True:
            channel = await self._working_channel()
            began = time.monotonic()
            try:
                async with self._at_once:
                    await self._get(job, channel)
                return
            except (MediaGone, Rejected) as error:
                logger.warning(
                    "media cannot be had", extra={"message_id": job.message_id, "cause": type(error).__name__}
                )
                break
            except (ChannelNotReady, AssistantFailure, TimeoutError) as error:
                logger.info("media not there yet", extra={"message_id": job.message_id, "cause": type(error).__name__})
            except Exception:
                logger.exception("media job broke", extra={"message_id": job.message_id})
            await asyncio.sleep(pause_s)
            spent_s += time.monotonic() - began
            pause_s = min(pause_s * 2, self._patience.longest_retry_s)
            if spent_s > self._patience.media_s:
                logger.warning("media given up", extra={"message_id": job.message_id})
                break
        async with self._journal.transaction():
            await self._journal.changes.update(job.message_id, outcome=UNAVAILABLE)
            await self._journal.media.done(job.message_id)

    async def _get(self, job: MediaJob, channel: Channel) -> None:
        longest = MAX_IMAGE_BYTES if job.sort == "image" else MAX_VOICE_BYTES
        async with asyncio.timeout(DOWNLOAD_S):
            data = await channel.download(job.chat_id, job.message_id, longest)
        if not data or len(data) > longest:
            raise MediaGone("empty or too large")
        if job.sort == "image":
            mimetype = bare_type(job.mimetype or "image/jpeg")
            self._images[job.message_id] = f"data:{mimetype};base64,{base64.b64encode(data).decode()}"
            return
        transcript = await self._answering.transcribe(data, job.mimetype)
        async with self._journal.transaction():
            await self._journal.changes.update(job.message_id, text=transcript)
            await self._journal.media.done(job.message_id)
        logger.info("recording transcribed", extra={"message_id": job.message_id})
