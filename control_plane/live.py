"""Pages that stay current: a stream of server-sent events with what changed, rendered."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import Request
from pymongo.errors import PyMongoError
from sse_starlette import EventSourceResponse, ServerSentEvent

from control_plane.errors import Problem

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
TICK_EVERY_S = 10.0
# A browser reconnects by itself; a stream that ends now and then leaves no reader behind that nobody hears.
LONGEST_S = 15 * 60.0
SEND_S = 30.0

Look = Callable[[], Awaitable[tuple[object, Callable[[], str]]]]


def stream(request: Request, look: Look) -> EventSourceResponse:
    """Events `state` with an HTML fragment: one at once, then one for each change; `tick` says that the line is open.

    Args:
        look: what the page shows now, as a value that differs when the page must change, and how to render it.
            A `Problem` that it raises ends the stream: the reader's next request meets the same problem.
    """
    return EventSourceResponse(
        _events(request, look),
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Robots-Tag": "noindex"},
        ping=3600,
        send_timeout=SEND_S,
    )


async def _events(request: Request, look: Look) -> AsyncIterator[ServerSentEvent]:
    loop = asyncio.get_running_loop()
    started = ticked = loop.time()
    shown: object = None
    while loop.time() - started < LONGEST_S and not await request.is_disconnected():
        try:
            value, render = await look()
        except PyMongoError as error:
            # The page keeps what it shows until the database is back.
            logger.warning("live page could not look", extra={"error": type(error).__name__})
        except Problem:
            return
        else:
            if value != shown:
                shown, ticked = value, loop.time()
                yield ServerSentEvent(data=render(), event="state")
        if loop.time() - ticked >= TICK_EVERY_S:
            ticked = loop.time()
            yield ServerSentEvent(data="", event="tick")
        await asyncio.sleep(LOOK_EVERY_S)
