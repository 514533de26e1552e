"""`python -m sandbox` runs the stand-ins until a signal comes; `… settings` prints what they add to an installation."""

import asyncio
import logging
import signal
import sys

from sandbox.installation import describe
from sandbox.servers import PortTaken, serve
from sandbox.settings import SandboxSettings, load_settings

logger = logging.getLogger("sandbox")


async def _run(settings: SandboxSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serve(settings) as endpoints:
        logger.info("sandbox ready: phone %s/phone/, mailbox %s/mail", endpoints.url, endpoints.url)
        await stop.wait()
    logger.info("sandbox stopped")


def main() -> int:
    """Run; 0 after a signal, 1 if a port is taken."""
    settings = load_settings()
    if sys.argv[1:] == ["settings"]:
        print("\n".join(describe(settings)))  # noqa: T201
        return 0
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        asyncio.run(_run(settings))
    except PortTaken as error:
        logger.error("sandbox not started: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
