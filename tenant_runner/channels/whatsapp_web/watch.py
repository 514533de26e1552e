"""From what the page says to what a person must know; pure but for the clock that it is given."""

from datetime import UTC, datetime, timedelta
from enum import Enum, auto

from tenant_runner.channels.snapshot import Snapshot
from tenant_runner.channels.whatsapp_web.page import PageStatus
from tenant_runner.contract import SessionReason, SessionState, WhatsAppWebChannel

PAGE_S = 90.0
LOGIN_S = 90.0
SYNC_S = 180.0
OFFLINE_S = 300.0
CONFLICT_S = 60.0
PASSKEY_S = 90.0
FIRST_CODE_S = 60.0
CODE_S = 20.0
CODE_GRACE_S = 5.0

_BLOCKED = {
    "PROXYBLOCK": "WhatsApp blocked the network address of this machine",
    "TOS_BLOCK": "WhatsApp restricted the account",
    "SMB_TOS_BLOCK": "WhatsApp restricted the business account",
}


class Verdict(Enum):
    """What the session has to do."""

    GO_ON = auto()
    LOG_OUT = auto()
    RECYCLE = auto()


class LinkWatch:
    """Reads one page status after another and keeps the snapshot; a new page needs a `new_page` first.

    Attributes:
        linked_phone: digits of the number that is linked as far as is known.
        failure: the reason to give when a verdict is RECYCLE, with its detail.
    """

    def __init__(self, config: WhatsAppWebChannel, snapshot: Snapshot, linked_phone: str | None) -> None:
        self.config = config
        self.linked_phone = linked_phone
        self.failure: tuple[SessionReason, str] = (SessionReason.PAGE_UNREACHABLE, "")
        self._snapshot = snapshot
        self._cause: tuple[SessionReason, str] | None = None
        self._logout_wanted = False
        self._was_working = False
        self.new_page(0.0)

    def new_page(self, now: float) -> None:
        """A page was just opened; every deadline starts again."""
        self._waits: dict[str, float] = {"page": now}
        self._code: str | None = None
        self._codes_shown = 0
        self._code_expires = 0.0
        self._consumed: str | None = None

    def new_codes_wanted(self) -> None:
        """Somebody asked for new codes: the reason for the last ones is history."""
        self._cause = None
        self._codes_shown = 0
        self._consumed = None
        self._waits.pop("passkey", None)

    def logout_wanted(self, *, wanted: bool = True) -> None:
        """The coming logout is our own doing; or not, because it could not be asked for."""
        self._logout_wanted = wanted

    def _waited(self, step: str, now: float) -> float:
        """Seconds since this step began; other steps end with it."""
        if step not in self._waits:
            self._waits = {step: now}
        return now - self._waits[step]

    def read(self, status: PageStatus, now: float) -> Verdict:
        """Judge one status.

        Args:
            status: what the page says.
            now: monotonic seconds.
        """
        if not status.ready:
            return self._read_loading(status, now)
        if status.mode in _BLOCKED:
            self._snapshot.change(
                SessionState.FAILED, SessionReason.RESTRICTED, phone=self.linked_phone, detail=_BLOCKED[status.mode]
            )
            return Verdict.GO_ON
        if status.mode == "DEPRECATED_VERSION":
            return self._give_up(SessionReason.PAGE_UNSUPPORTED, "WhatsApp Web says that its version is too old")
        if status.authenticated:
            return self._read_linked(status, now)
        return self._read_unlinked(status, now)

    def _give_up(self, reason: SessionReason, detail: str) -> Verdict:
        self.failure = (reason, detail)
        return Verdict.RECYCLE

    def _read_loading(self, status: PageStatus, now: float) -> Verdict:
        if self._waited("page", now) > PAGE_S:
            if status.loader:
                return self._give_up(SessionReason.PAGE_UNSUPPORTED, "WhatsApp Web loaded but wa-js did not get ready")
            return self._give_up(SessionReason.PAGE_UNSUPPORTED, "this page has none of WhatsApp Web's modules")
        if self._cause is not None:
            self._snapshot.change(SessionState.SCAN_QR_CODE, self._cause[0], detail=self._cause[1])
        else:
            self._snapshot.change(SessionState.STARTING, SessionReason.PREPARING, phase="page", phone=self.linked_phone)
        return Verdict.GO_ON

    def _read_linked(self, status: PageStatus, now: float) -> Verdict:
        wanted = self.config.expected_phone or self.config.bound_phone
        if status.phone and wanted and status.phone != wanted:
            detail = f"scanned with …{status.phone[-4:]}, expected …{wanted[-4:]}"
            self._cause = (SessionReason.WRONG_NUMBER, detail)
            self.linked_phone = None
            self._was_working = False
            self._snapshot.change(SessionState.SCAN_QR_CODE, SessionReason.WRONG_NUMBER, detail=detail)
            return Verdict.LOG_OUT
        facts = {"phone": status.phone or self.linked_phone, "push_name": status.name}
        if status.working:
            self._waits = {}
            self._cause, self._consumed = None, None
            self._was_working = True
            self.linked_phone = status.phone or self.linked_phone
            self._snapshot.change(SessionState.WORKING, SessionReason.CONNECTED, **facts)
        elif status.mode == "OFFLINE" and self._was_working:
            if self._waited("offline", now) > OFFLINE_S:
                return self._give_up(SessionReason.RECONNECTING, "WhatsApp Web stayed off line")
            detail = "WhatsApp Web lost its connection and tries again"
            self._snapshot.change(SessionState.STARTING, SessionReason.RECONNECTING, detail=detail, **facts)
        elif status.mode == "CONFLICT":
            if self._waited("conflict", now) > CONFLICT_S:
                return self._give_up(SessionReason.CONFLICT, "WhatsApp Web was opened elsewhere with this session")
            detail = "WhatsApp Web was opened elsewhere with this session"
            self._snapshot.change(SessionState.STARTING, SessionReason.CONFLICT, detail=detail, **facts)
        else:
            if self._waited("sync", now) > SYNC_S:
                return self._give_up(SessionReason.PAGE_UNREACHABLE, "the messages were not synchronised in time")
            progress = status.progress if status.mode == "SYNCING" else None
            self._snapshot.change(
                SessionState.STARTING, SessionReason.SYNCING, phase="login", progress=progress, **facts
            )
        return Verdict.GO_ON

    def _read_unlinked(self, status: PageStatus, now: float) -> Verdict:
        settled = status.mode == "QR" and (status.code is not None or status.idle)
        if settled and (self.linked_phone or self._logout_wanted):
            if not self._logout_wanted:
                self._cause = (SessionReason.UNLINKED, "the phone unlinked this device")
            self.linked_phone, self._logout_wanted, self._was_working = None, False, False
        if status.socket == "PAIRING" and status.code is not None:
            self._consumed = status.code
        if status.idle:
            self._waits = {}
            self._snapshot.change(SessionState.SCAN_QR_CODE, SessionReason.CODE_EXPIRED)
        elif status.code is not None and status.code != self._consumed:
            self._show(status.code, status.code_ttl, now)
        elif self._code is not None or self._consumed is not None:
            return self._read_consumed(now)
        else:
            if self._waited("login", now) > LOGIN_S:
                return self._give_up(SessionReason.PAGE_UNREACHABLE, "WhatsApp Web gave no code to link with")
            self._snapshot.change(SessionState.STARTING, SessionReason.PREPARING, phase="login")
        return Verdict.GO_ON

    def _show(self, code: str, ttl_s: float | None, now: float) -> None:
        if code != self._code:
            self._code = code
            self._codes_shown += 1
            self._code_expires = now + (ttl_s or (FIRST_CODE_S if self._codes_shown == 1 else CODE_S))
        self._waits = {}
        left_s = self._code_expires - now
        if left_s < -CODE_GRACE_S:
            self._snapshot.change(SessionState.SCAN_QR_CODE, SessionReason.CODE_EXPIRED)
            return
        reason, detail = self._cause or (SessionReason.CODE_SHOWN, None)
        self._snapshot.change(
            SessionState.SCAN_QR_CODE,
            reason,
            detail=detail,
            qr=code,
            qr_expires_at=datetime.now(UTC) + timedelta(seconds=left_s),
        )

    def _read_consumed(self, now: float) -> Verdict:
        if self._waited("passkey", now) > PASSKEY_S:
            detail = "the code was scanned but WhatsApp did not let the device in; it may ask for a passkey"
            self._snapshot.change(SessionState.PASSKEY_REQUIRED, SessionReason.PASSKEY, detail=detail)
        else:
            detail = "the code was scanned"
            self._snapshot.change(SessionState.STARTING, SessionReason.PREPARING, phase="login", detail=detail)
        return Verdict.GO_ON
