"""From what the page says to what a person must know; pure but for the clock that it is given."""

from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any

from tenant_runner.channels.snapshot import Snapshot
from tenant_runner.channels.whatsapp_web.codes import Codes, LinkCodeShown
from tenant_runner.channels.whatsapp_web.page import PageStatus
from tenant_runner.channels.whatsapp_web.versions import WA_JS_VERSION, explain_unsupported
from tenant_runner.contract import SessionReason, SessionState, WhatsAppWebChannel

PAGE_S = 90.0
LOGIN_S = 90.0
SYNC_S = 180.0
OFFLINE_S = 300.0
PASSKEY_S = 90.0
LOST_S = 5.0
RESTRICTED_S = 3600.0
CONFLICT_S = 60.0
CONFLICT_GROWTH = 5
LONGEST_CONFLICT_S = 3600.0
CONFLICT_MEMORY_S = 4 * 3600.0

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
    RESTORE = auto()


class LinkWatch:
    """Reads one page status after another and keeps the snapshot; a new page needs a `new_page` first.

    Attributes:
        linked_phone: digits of the number that is linked as far as is known.
        failure: the reason to give when a verdict is RECYCLE, with its detail.
        doubt: why the connection is not believed though the page says that it has one, else None.
        copy_hopeless: there is no copy of the profile to go back to.
    """

    def __init__(self, config: WhatsAppWebChannel, snapshot: Snapshot, linked_phone: str | None) -> None:
        self.config = config
        self.linked_phone = linked_phone
        self.failure: tuple[SessionReason, str] = (SessionReason.PAGE_UNREACHABLE, "")
        self.doubt: str | None = None
        self.copy_hopeless = False
        self._snapshot = snapshot
        self._cause: tuple[SessionReason, dict[str, Any]] | None = None
        self._held: tuple[SessionState, SessionReason, dict[str, Any]] | None = None
        self._codes = Codes()
        self._logout_wanted = False
        self._was_working = False
        self._conflicts = 0
        self._conflict_at = -CONFLICT_MEMORY_S
        self._conflict_wait_s = CONFLICT_S
        self._conflict_ends: datetime | None = None
        self.new_page(0.0)

    # ------------------------------------------------------------------------------------------------ told from outside

    def new_page(self, now: float) -> None:
        """A page was just opened; every deadline starts again."""
        self._waits: dict[str, float] = {"page": now}
        self._codes.forget()
        self._passkey = False
        self._logout_told = False
        self.doubt = None

    def new_codes_wanted(self) -> None:
        """Somebody asked for new codes: the reason for the last ones is history."""
        self._cause = None
        self._codes.forget()
        self._passkey = False
        self._waits.pop("passkey", None)

    def logout_wanted(self, *, wanted: bool = True) -> None:
        """The coming logout is our own doing; or not, because it could not be asked for."""
        self._logout_wanted = wanted

    def logout_told(self) -> None:
        """The page says that this device is being unlinked."""
        self._logout_told = True

    def link_code_made(self, code: str, now: float) -> LinkCodeShown:
        """A code to type exists; it is shown until it expires or is typed."""
        self._cause = None
        self._passkey = False
        shown = self._codes.show_link_code(code, now)
        self._show_link_code(shown)
        return shown

    @property
    def needs_reload(self) -> bool:
        """New codes want a fresh page: the one that is open waits for something else."""
        return self._passkey or self._codes.typed

    def hold(self, state: SessionState, reason: SessionReason, **facts: Any) -> None:
        """Keep showing this while the browser begins anew, until the page has something else to say."""
        self._held = (state, reason, facts)

    def hold_what_is_shown(self) -> None:
        """Keep showing what is shown now."""
        session = self._snapshot.session
        self.hold(session.state, session.reason, detail=session.detail, attempt=session.attempt)

    def preparing(self, phase: str) -> None:
        """The browser or the page is on its way."""
        if self._held is not None:
            state, reason, facts = self._held
            if state is SessionState.STARTING:
                facts = {**facts, "phase": phase}
            self._snapshot.change(state, reason, phone=self.linked_phone, **facts)
        elif self._cause is not None:
            reason, facts = self._cause
            self._snapshot.change(SessionState.SCAN_QR_CODE, reason, **facts)
        else:
            self._snapshot.change(SessionState.STARTING, SessionReason.PREPARING, phase=phase, phone=self.linked_phone)

    # ------------------------------------------------------------------------------------------------ reading

    def read(self, status: PageStatus, now: float) -> Verdict:
        """Judge one status.

        Args:
            status: what the page says.
            now: monotonic seconds.
        """
        self._snapshot.page_version = status.version or self._snapshot.page_version
        if not status.ready:
            return self._read_loading(status, now)
        if status.mode in _BLOCKED:
            if self._waited("restricted", now) > RESTRICTED_S:
                return self._give_up(SessionReason.RESTRICTED, "asking again whether the restriction is over")
            self._show(
                SessionState.FAILED, SessionReason.RESTRICTED, phone=self.linked_phone, detail=_BLOCKED[status.mode]
            )
            return Verdict.GO_ON
        if status.mode == "DEPRECATED_VERSION":
            said = "WhatsApp says that this version of its page is too old"
            return self._give_up(
                SessionReason.PAGE_UNSUPPORTED,
                f"{said}: WhatsApp Web {status.version or 'of an unknown version'}, wa-js {WA_JS_VERSION}",
            )
        if status.authenticated:
            return self._read_linked(status, now)
        return self._read_unlinked(status, now)

    def _waited(self, step: str, now: float) -> float:
        """Seconds since this step began; other steps end with it."""
        if step not in self._waits:
            self._waits = {step: now}
        return now - self._waits[step]

    def _give_up(self, reason: SessionReason, detail: str) -> Verdict:
        self.failure = (reason, detail)
        return Verdict.RECYCLE

    def _show(self, state: SessionState, reason: SessionReason, **facts: Any) -> None:
        self._held = None
        self._snapshot.change(state, reason, **facts)

    def _read_loading(self, status: PageStatus, now: float) -> Verdict:
        if self._waited("page", now) > PAGE_S:
            return self._give_up(SessionReason.PAGE_UNSUPPORTED, explain_unsupported(status))
        if status.code is not None and self.linked_phone is None and self._held is None:
            # A phone that scans it now finds wa-js at work when it has logged in.
            self._show_qr(status.code, None, now)
        else:
            self.preparing("page")
        return Verdict.GO_ON

    # ------------------------------------------------------------------------------------------------ linked

    def _read_linked(self, status: PageStatus, now: float) -> Verdict:
        wanted = self.config.expected_phone or self.config.bound_phone
        if status.phone and wanted and status.phone != wanted:
            detail = f"scanned with …{status.phone[-4:]}, expected …{wanted[-4:]}"
            self._cause = (SessionReason.WRONG_NUMBER, {"detail": detail, "refused_phone": status.phone})
            self.linked_phone = None
            self._was_working = False
            self._codes.forget()
            self._show(SessionState.SCAN_QR_CODE, SessionReason.WRONG_NUMBER, **self._cause[1])
            return Verdict.LOG_OUT
        facts = {"phone": status.phone or self.linked_phone, "push_name": status.name}
        if status.working:
            self._read_working(facts)
        elif status.mode == "CONFLICT":
            return self._read_conflict(facts, now)
        elif status.mode == "SYNCING":
            if self._waited("sync", now) > SYNC_S:
                return self._give_up(SessionReason.PAGE_UNREACHABLE, "the messages were not synchronised in time")
            self._show(SessionState.STARTING, SessionReason.SYNCING, phase="login", progress=status.progress, **facts)
        elif self._was_working:
            if self._waited("offline", now) > OFFLINE_S:
                return self._give_up(SessionReason.RECONNECTING, "WhatsApp Web stayed off line")
            if self._held is not None:
                self.preparing("login")
            else:
                detail = "WhatsApp Web lost its connection and tries again"
                self._show(SessionState.STARTING, SessionReason.RECONNECTING, detail=detail, **facts)
        else:
            if self._waited("login", now) > LOGIN_S:
                return self._give_up(SessionReason.PAGE_UNREACHABLE, "WhatsApp Web did not get on line")
            self.preparing("login")
        return Verdict.GO_ON

    def _read_working(self, facts: dict[str, Any]) -> None:
        self._waits = {}
        self._cause = None
        self._codes.forget()
        self._passkey = self._logout_told = False
        self._was_working = True
        self.linked_phone = facts["phone"]
        reason = SessionReason.CONNECTED if self.doubt is None else SessionReason.DEGRADED
        self._show(SessionState.WORKING, reason, detail=self.doubt, **facts)

    def _read_conflict(self, facts: dict[str, Any], now: float) -> Verdict:
        """Whoever opened the session elsewhere may mean it: each time again it is left to them for longer."""
        if "conflict" not in self._waits:
            recent = now - self._conflict_at < CONFLICT_MEMORY_S
            self._conflicts = self._conflicts + 1 if recent else 1
            self._conflict_at = now
            self._conflict_wait_s = min(CONFLICT_S * CONFLICT_GROWTH ** (self._conflicts - 1), LONGEST_CONFLICT_S)
            self._conflict_ends = datetime.now(UTC) + timedelta(seconds=self._conflict_wait_s)
        detail = "WhatsApp Web was opened elsewhere with this session"
        # Once may be a mistake that passes; twice wants a person.
        state = SessionState.STARTING if self._conflicts == 1 else SessionState.FAILED
        shown = {"detail": detail, "attempt": self._conflicts, "next_attempt_at": self._conflict_ends, **facts}
        self._show(state, SessionReason.CONFLICT, **shown)
        if self._waited("conflict", now) > self._conflict_wait_s:
            return self._give_up(SessionReason.CONFLICT, detail)
        return Verdict.GO_ON

    # ------------------------------------------------------------------------------------------------ not linked

    def _read_unlinked(self, status: PageStatus, now: float) -> Verdict:
        settled = status.mode == "QR" and (status.code is not None or status.idle)
        if settled and (self.linked_phone or self._logout_wanted):
            told = status.logged_out or self._logout_told
            if not (told or self._logout_wanted or self.copy_hopeless):
                # Nobody unlinked this device: the page has forgotten who it is, unless it just has not looked yet.
                if self._waited("lost", now) >= LOST_S:
                    return Verdict.RESTORE
                self.preparing("login")
                return Verdict.GO_ON
            if not self._logout_wanted:
                detail = "the phone unlinked this device" if told else "the browser lost its login"
                self._cause = (SessionReason.UNLINKED, {"detail": detail})
            self.linked_phone, self._logout_wanted, self._was_working = None, False, False
        if status.socket == "PAIRING":
            self._codes.consume(status.code)
        if self._passkey:
            self._show_passkey()
        elif (link_code := self._codes.living_link_code(now)) is not None:
            self._waits = {}
            self._show_link_code(link_code)
        elif status.idle:
            self._waits = {}
            self._show(SessionState.SCAN_QR_CODE, SessionReason.CODE_EXPIRED)
        elif status.code is not None and status.code != self._codes.consumed:
            self._waits = {}
            self._show_qr(status.code, status.code_ttl, now)
        elif self._codes.consumed is not None or (self._codes.qr is not None and not self._codes.typed):
            self._read_consumed(now)
        elif self._codes.typed:
            self._waits = {}
            self._show(SessionState.SCAN_QR_CODE, SessionReason.CODE_EXPIRED)
        else:
            if self._waited("login", now) > LOGIN_S:
                return self._give_up(SessionReason.PAGE_UNREACHABLE, "WhatsApp Web gave no code to link with")
            self.preparing("login")
        return Verdict.GO_ON

    def _show_link_code(self, shown: LinkCodeShown) -> None:
        self._show(
            SessionState.SCAN_QR_CODE,
            SessionReason.LINK_CODE_SHOWN,
            link_code=shown.code,
            link_code_expires_at=shown.expires_at,
        )

    def _show_qr(self, code: str, ttl_s: float | None, now: float) -> None:
        expires_at = self._codes.show_qr(code, ttl_s, now)
        if expires_at is None:
            self._show(SessionState.SCAN_QR_CODE, SessionReason.CODE_EXPIRED)
            return
        reason, facts = self._cause or (SessionReason.CODE_SHOWN, {})
        self._show(SessionState.SCAN_QR_CODE, reason, qr=code, qr_expires_at=expires_at, **facts)

    def _read_consumed(self, now: float) -> None:
        if self._waited("passkey", now) > PASSKEY_S:
            # It stays until somebody asks for new codes: nobody has to guess what happened to the last one.
            self._passkey = True
            self._show_passkey()
        else:
            detail = "the code was scanned"
            self._show(SessionState.STARTING, SessionReason.PREPARING, phase="login", detail=detail)

    def _show_passkey(self) -> None:
        detail = "the code was scanned but WhatsApp did not let the device in; it may ask for a passkey"
        self._show(SessionState.PASSKEY_REQUIRED, SessionReason.PASSKEY, detail=detail)
