"""Whether WhatsApp's server really answers: a page can say that it is connected long after its connection died."""

import logging

from tenant_runner.channels.whatsapp_web.page import PageBroken, PageTimeout, WhatsAppPage

logger = logging.getLogger(__name__)

EVERY_S = 300.0
AGAIN_S = 15.0
UNANSWERED_UNTIL_LOST = 3


class Pulse:
    """One page's; asks the server only when nothing else has proven the connection for a while.

    Attributes:
        unanswered: questions in a row that got no answer.
    """

    def __init__(self, now: float) -> None:
        self.unanswered = 0
        self._proven_once = False
        self._next = now

    @property
    def lost(self) -> bool:
        """It answered before and does not any more."""
        return self.unanswered >= UNANSWERED_UNTIL_LOST

    def traffic(self, now: float) -> None:
        """Something came from the server by itself."""
        self.unanswered = 0
        self._next = max(self._next, now + EVERY_S) if self._proven_once else self._next

    def suspect(self, now: float) -> None:
        """Something went unanswered elsewhere: ask at once."""
        self._next = min(self._next, now)

    def due(self, now: float) -> bool:
        """Whether to ask now."""
        return now >= self._next

    async def ask(self, page: WhatsAppPage, now: float) -> bool:
        """Ask the server something; True when it answered."""
        self._next = now + EVERY_S
        try:
            await page.probe()
        except PageTimeout:
            # A page on which it never worked cannot be judged by it; begun anew it would be no better.
            if self._proven_once:
                self.unanswered += 1
                self._next = now + AGAIN_S
            logger.warning("server did not answer", extra={"unanswered": self.unanswered})
            return False
        except PageBroken as error:
            logger.info("server not asked", extra={"cause": str(error)})
            return False
        self.unanswered = 0
        self._proven_once = True
        return True
