"""The codes that link a device: QR codes that rotate, and one to type on the phone."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

FIRST_CODE_S = 60.0
CODE_S = 20.0
CODE_GRACE_S = 5.0
LINK_CODE_S = 180.0
# WhatsApp shows about six and waits for a click then; a page that never waits does not make a slide show of it.
MOST_CODES = 12


@dataclass(frozen=True)
class LinkCodeShown:
    """A code to type, with the end of its life by both clocks."""

    code: str
    expires_at: datetime
    expires: float


class Codes:
    """What was shown so far on one page."""

    def __init__(self) -> None:
        self.link_code: LinkCodeShown | None = None
        self.consumed: str | None = None
        self.forget()

    def forget(self) -> None:
        """The codes so far are history."""
        self.qr: str | None = None
        self.typed = False
        self.consumed = None
        self.link_code = None
        self._shown = 0

    def show_link_code(self, code: str, now: float) -> LinkCodeShown:
        """A code to type was made."""
        expires_at = datetime.now(UTC) + timedelta(seconds=LINK_CODE_S)
        self.link_code = LinkCodeShown(code, expires_at, now + LINK_CODE_S)
        self.consumed = None
        # From now on a page without a QR code is no sign that one was scanned.
        self.typed = True
        return self.link_code

    def living_link_code(self, now: float) -> LinkCodeShown | None:
        """The code to type, as long as it can be."""
        if self.link_code is not None and now >= self.link_code.expires:
            self.link_code = None
        return self.link_code

    def consume(self, qr: str | None) -> None:
        """The phone took the code that is shown."""
        self.consumed = qr or self.qr or "typed"
        self.link_code = None

    def show_qr(self, qr: str, ttl_s: float | None, now: float) -> datetime | None:
        """When this QR code ends; None when it is not to be shown any more.

        Args:
            ttl_s: seconds of its life, which the page may tell later than the code.
        """
        if qr != self.qr:
            self.qr, self._seen, self._is_life_told = qr, now, False
            self._shown += 1
            self._set_life(FIRST_CODE_S if self._shown == 1 else CODE_S, now)
        if ttl_s and not self._is_life_told:
            self._is_life_told = True
            self._set_life(ttl_s, now)
        spent = now > self._expires + CODE_GRACE_S or self._shown > MOST_CODES
        return None if spent else self._expires_at

    def _set_life(self, life_s: float, now: float) -> None:
        self._expires = self._seen + life_s
        self._expires_at = datetime.now(UTC) + timedelta(seconds=self._expires - now)
