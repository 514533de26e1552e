"""What a person is told, from what the page says: the clock is the test's."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tenant_runner.channels.snapshot import Snapshot
from tenant_runner.channels.whatsapp_web.attempts import Attempts
from tenant_runner.channels.whatsapp_web.page import PageStatus
from tenant_runner.channels.whatsapp_web.watch import LinkWatch, Verdict
from tenant_runner.contract import SessionChanged, SessionReason, SessionState, WhatsAppWebChannel

PHONE = "5491155551190"


class Page:
    """A page of which one thing after another is read."""

    def __init__(self, linked_phone: str | None = None, **numbers: str) -> None:
        self.snapshot = Snapshot()
        channel = WhatsAppWebChannel(url="https://web.whatsapp.com/", **numbers)
        self.watch = LinkWatch(channel, self.snapshot, linked_phone)
        self.now = 1000.0
        self.watch.new_page(self.now)

    def says(self, after_s: float = 1.0, **facts: Any) -> Verdict:
        self.now += after_s
        return self.watch.read(PageStatus(**{"ready": True, **facts}), self.now)

    def shows_code(self, code: str, after_s: float = 1.0, **facts: Any) -> Verdict:
        return self.says(after_s, mode="QR", socket="UNPAIRED", code=code, **facts)

    def works(self, after_s: float = 1.0, phone: str = PHONE) -> Verdict:
        return self.says(after_s, authenticated=True, mode="MAIN", phone=phone, name="Panadería")

    @property
    def session(self) -> SessionChanged:
        return self.snapshot.session

    @property
    def shown(self) -> tuple[str, str]:
        return (self.session.state.value, self.session.reason.value)


def expires_in(session: SessionChanged) -> float:
    assert session.qr_expires_at is not None
    return (session.qr_expires_at - datetime.now(UTC)).total_seconds()


def test_the_way_from_a_new_page_to_a_linked_number() -> None:
    page = Page()
    page.says(ready=False)
    assert (page.shown, page.session.phase) == (("STARTING", "preparing"), "page")
    page.says(mode="OFFLINE")
    assert (page.shown, page.session.phase) == (("STARTING", "preparing"), "login")
    page.shows_code("code-1")
    assert page.shown == ("SCAN_QR_CODE", "code_shown")
    assert page.session.qr == "code-1"
    page.says(authenticated=True, mode="SYNCING", phone=PHONE, progress=40)
    assert page.shown == ("STARTING", "syncing")
    assert page.session.progress == 40
    assert page.session.qr is None
    page.works()
    assert (page.shown, page.session.phone) == (("WORKING", "connected"), PHONE)


def test_codes_carry_their_life_and_repetitions_are_no_news() -> None:
    page = Page()
    page.shows_code("code-1")
    assert 58 < expires_in(page.session) <= 60
    version = page.session.version
    for _ in range(50):
        page.shows_code("code-1", 0.5)
    assert page.session.version == version
    page.shows_code("code-2")
    assert page.session.version == version + 1
    assert 18 < expires_in(page.session) <= 20
    page.shows_code("code-3", code_ttl=None, codeTtl=33)
    assert 31 < expires_in(page.session) <= 33


def test_a_code_that_the_page_draws_is_shown_before_wa_js_is_at_work_and_told_again_with_its_life() -> None:
    page = Page()
    page.says(ready=False, code="code-1")
    assert (page.shown, page.session.qr) == (("SCAN_QR_CODE", "code_shown"), "code-1")
    assert 58 < expires_in(page.session) <= 60
    page.shows_code("code-1", codeTtl=33)
    assert 31 < expires_in(page.session) <= 32
    version = page.session.version
    page.shows_code("code-1", codeTtl=20)
    assert page.session.version == version, "a life that is told anew is no longer life"


def test_a_code_is_no_sign_of_a_page_that_can_be_driven() -> None:
    page = Page()
    verdicts = [page.says(10, ready=False, loader=False, code=f"code-{number // 2}") for number in range(11)]
    assert verdicts[0] is Verdict.GO_ON
    assert verdicts[-1] is Verdict.RECYCLE
    assert page.watch.failure[0].value == "page_unsupported"
    page.watch.hold(SessionState.FAILED, SessionReason.PAGE_UNSUPPORTED, attempt=3)
    page.watch.new_page(page.now)
    page.says(ready=False, loader=False, code="code-9")
    assert (page.shown, page.session.qr) == (("FAILED", "page_unsupported"), None)


def test_a_linked_number_sees_no_code_before_wa_js_knows_better() -> None:
    page = Page(linked_phone=PHONE)
    page.says(ready=False, code="code-1")
    assert (page.shown, page.session.qr) == (("STARTING", "preparing"), None)


def test_after_the_last_code_nothing_is_shown_until_somebody_asks() -> None:
    page = Page()
    page.shows_code("code-1")
    page.says(mode="QR", socket="UNPAIRED_IDLE", idle=True)
    assert (page.shown, page.session.qr) == (("SCAN_QR_CODE", "code_expired"), None)
    for _ in range(100):
        assert page.says(60, mode="QR", socket="UNPAIRED_IDLE", idle=True) is Verdict.GO_ON
    page.watch.new_codes_wanted()
    page.shows_code("code-2")
    assert page.shown == ("SCAN_QR_CODE", "code_shown")
    assert 58 < expires_in(page.session) <= 60


def test_a_code_that_the_page_forgot_to_replace_is_not_shown_for_ever() -> None:
    page = Page()
    page.shows_code("code-1")
    page.shows_code("code-1", 70)
    assert (page.shown, page.session.qr) == (("SCAN_QR_CODE", "code_expired"), None)


@pytest.mark.parametrize("still_there", [None, "code-1"])
def test_a_scan_that_leads_nowhere_asks_for_the_passkey(still_there: str | None) -> None:
    page = Page()
    page.shows_code("code-1")
    page.says(mode="QR", socket="PAIRING", code=still_there)
    assert page.shown == ("STARTING", "preparing")
    page.says(80, mode="QR", socket="PAIRING", code=still_there)
    assert page.shown == ("STARTING", "preparing")
    page.says(20, mode="QR", socket="PAIRING", code=still_there)
    assert page.shown == ("PASSKEY_REQUIRED", "passkey")
    page.watch.new_codes_wanted()
    page.shows_code("code-2")
    assert page.shown == ("SCAN_QR_CODE", "code_shown")


@pytest.mark.parametrize("numbers", [{"expected_phone": "5491155554821"}, {"bound_phone": "5491155554821"}])
def test_a_wrong_number_is_logged_out_before_it_works(numbers: dict[str, str]) -> None:
    page = Page(**numbers)
    page.shows_code("code-1")
    verdict = page.says(authenticated=True, mode="SYNCING", phone=PHONE)
    assert verdict is Verdict.LOG_OUT
    assert page.shown == ("SCAN_QR_CODE", "wrong_number")
    assert page.session.detail == "scanned with …1190, expected …4821"
    assert page.session.refused_phone == PHONE
    assert page.session.phone is None
    page.watch.logout_wanted()
    page.says(ready=False)
    assert page.shown == ("SCAN_QR_CODE", "wrong_number")
    page.shows_code("code-2")
    assert (page.shown, page.session.qr) == (("SCAN_QR_CODE", "wrong_number"), "code-2")
    assert page.session.refused_phone == PHONE
    page.works(phone="5491155554821")
    assert page.shown == ("WORKING", "connected")
    assert page.session.detail is None


def test_the_phone_unlinking_is_told_with_new_codes_for_one_round() -> None:
    page = Page()
    page.works()
    page.watch.logout_told()
    page.says(ready=False)
    page.says(mode="OFFLINE")
    page.shows_code("code-1")
    assert (page.shown, page.session.qr) == (("SCAN_QR_CODE", "unlinked"), "code-1")
    page.says(mode="QR", idle=True)
    assert page.shown == ("SCAN_QR_CODE", "code_expired")
    page.watch.new_codes_wanted()
    page.shows_code("code-2")
    assert page.shown == ("SCAN_QR_CODE", "code_shown")


def test_an_unlinking_while_nobody_ran_is_told_too() -> None:
    page = Page(linked_phone=PHONE)
    page.says(mode="OFFLINE")
    assert page.session.phone is None or page.session.phone == PHONE
    page.shows_code("code-1", logged_out=True)
    assert page.shown == ("SCAN_QR_CODE", "unlinked")
    assert page.session.detail == "the phone unlinked this device"


def test_a_login_that_nobody_ended_is_looked_for_in_the_copy_before_codes_are_shown() -> None:
    page = Page(linked_phone=PHONE)
    assert page.shows_code("code-1") is Verdict.GO_ON
    assert page.shows_code("code-1", 6) is Verdict.RESTORE
    assert page.shown == ("STARTING", "preparing")
    page.watch.copy_hopeless = True
    assert page.shows_code("code-1") is Verdict.GO_ON
    assert (page.shown, page.session.qr) == (("SCAN_QR_CODE", "unlinked"), "code-1")
    assert page.session.detail == "the browser lost its login"


def test_our_own_logout_is_not_taken_for_the_phones() -> None:
    page = Page()
    page.works()
    page.watch.logout_wanted()
    page.works()
    page.says(ready=False)
    page.shows_code("code-1")
    assert page.shown == ("SCAN_QR_CODE", "code_shown")


def test_an_outage_is_told_as_reconnecting_and_ends_by_itself_or_by_a_new_browser() -> None:
    page = Page()
    page.works()
    offline: dict[str, Any] = {"authenticated": True, "mode": "OFFLINE", "phone": PHONE}
    assert page.says(**offline) is Verdict.GO_ON
    assert (page.shown, page.session.phone) == (("STARTING", "reconnecting"), PHONE)
    page.works()
    assert page.shown == ("WORKING", "connected")
    page.says(**offline)
    assert page.says(290, **offline) is Verdict.GO_ON
    assert page.says(20, **offline) is Verdict.RECYCLE


@pytest.mark.parametrize(
    ("facts", "longest_s", "reason"),
    [
        ({"ready": False, "loader": False}, 90, "page_unsupported"),
        ({"mode": "OFFLINE"}, 90, "page_unreachable"),
        ({"authenticated": True, "mode": "SYNCING", "phone": PHONE}, 180, "page_unreachable"),
        ({"authenticated": True, "mode": "CONFLICT", "phone": PHONE}, 60, "conflict"),
    ],
)
def test_every_step_has_a_deadline(facts: dict[str, Any], longest_s: float, reason: str) -> None:
    page = Page()
    verdicts = [page.says(10, **facts) for _ in range(int(longest_s / 10) + 3)]
    assert verdicts[0] is Verdict.GO_ON
    assert verdicts[-1] is Verdict.RECYCLE
    assert page.watch.failure[0].value == reason


def test_a_restriction_is_told_once_and_asked_about_again_only_every_hour() -> None:
    page = Page()
    page.works()
    restricted: dict[str, Any] = {"authenticated": True, "mode": "TOS_BLOCK", "phone": PHONE}
    page.says(**restricted)
    assert (page.shown, page.session.phone) == (("FAILED", "restricted"), PHONE)
    version = page.session.version
    for _ in range(59):
        assert page.says(60, **restricted) is Verdict.GO_ON
    assert page.says(120, **restricted) is Verdict.RECYCLE
    page.watch.hold_what_is_shown()
    page.watch.new_page(page.now)
    page.watch.preparing("browser")
    page.says(ready=False)
    page.says(**restricted)
    assert page.session.version == version, "beginning anew is no news while the restriction lasts"
    page.works()
    assert page.shown == ("WORKING", "connected")


def test_a_session_opened_elsewhere_is_left_to_them_longer_each_time() -> None:
    page = Page()
    conflict: dict[str, Any] = {"authenticated": True, "mode": "CONFLICT", "phone": PHONE}
    waits = []
    for _ in range(5):
        page.works()
        page.says(**conflict)
        assert page.session.reason == "conflict"
        assert page.session.next_attempt_at is not None
        waited = 0
        while page.says(10, **conflict) is Verdict.GO_ON:
            waited += 10
        waits.append(waited)
        page.watch.hold_what_is_shown()
        page.watch.new_page(page.now)
    assert waits == [60, 300, 1500, 3600, 3600]
    assert page.shown == ("FAILED", "conflict")
    page.works(4 * 3600 + 1)
    page.says(**conflict)
    assert page.shown == ("STARTING", "conflict"), "what was long ago is forgiven"


def test_a_code_to_type_is_shown_for_its_life_and_then_the_qr_codes_again() -> None:
    page = Page()
    page.shows_code("code-1")
    page.watch.link_code_made("ABCD1234", page.now)
    for seconds in range(170):
        page.shows_code(f"code-{seconds // 20}")
        assert (page.shown, page.session.link_code) == (("SCAN_QR_CODE", "link_code_shown"), "ABCD1234")
        assert page.session.qr is None
    expires_at = page.session.link_code_expires_at
    assert expires_at is not None
    assert 170 < (expires_at - datetime.now(UTC)).total_seconds() <= 180
    page.shows_code("code-9", 20)
    assert (page.shown, page.session.qr) == (("SCAN_QR_CODE", "code_shown"), "code-9")
    assert page.session.link_code is None


def test_a_code_to_type_that_expires_on_a_page_without_qr_codes_waits_for_a_click() -> None:
    page = Page()
    page.shows_code("code-1")
    page.watch.link_code_made("ABCD1234", page.now)
    page.says(mode="QR", socket="UNPAIRED")
    assert page.shown == ("SCAN_QR_CODE", "link_code_shown")
    page.says(200, mode="QR", socket="UNPAIRED")
    assert page.shown == ("SCAN_QR_CODE", "code_expired")
    assert page.watch.needs_reload


def test_a_code_that_was_typed_leads_to_the_login_or_asks_for_the_passkey() -> None:
    page = Page()
    page.shows_code("code-1")
    page.watch.link_code_made("ABCD1234", page.now)
    page.says(mode="QR", socket="PAIRING", code="code-1")
    assert (page.shown, page.session.link_code) == (("STARTING", "preparing"), None)
    page.says(100, mode="QR", socket="PAIRING", code="code-1")
    assert page.shown == ("PASSKEY_REQUIRED", "passkey")
    page.works()
    assert page.shown == ("WORKING", "connected")


def test_a_page_that_shows_new_codes_does_not_hide_that_a_passkey_is_asked_for() -> None:
    page = Page()
    page.shows_code("code-1")
    page.says(mode="QR", socket="PAIRING", code="code-1")
    page.says(100, mode="QR", socket="PAIRING", code="code-1")
    page.shows_code("code-2")
    page.says(mode="QR", idle=True)
    assert (page.shown, page.session.qr) == (("PASSKEY_REQUIRED", "passkey"), None)
    assert page.watch.needs_reload
    page.watch.new_codes_wanted()
    page.shows_code("code-3")
    assert page.shown == ("SCAN_QR_CODE", "code_shown")


def test_a_page_that_never_stops_showing_codes_is_stopped_here() -> None:
    page = Page()
    for number in range(30):
        page.shows_code(f"code-{number}", 20)
    assert (page.shown, page.session.qr) == (("SCAN_QR_CODE", "code_expired"), None)
    version = page.session.version
    for number in range(30, 60):
        page.shows_code(f"code-{number}", 20)
    assert page.session.version == version


def test_a_connection_in_doubt_is_told_and_trusted_again() -> None:
    page = Page()
    page.works()
    page.watch.doubt = "WhatsApp's server did not answer"
    page.works()
    assert (page.shown, page.session.detail) == (("WORKING", "degraded"), "WhatsApp's server did not answer")
    page.watch.doubt = None
    page.works()
    assert (page.shown, page.session.detail) == (("WORKING", "connected"), None)


def test_a_failure_stays_shown_with_its_attempt_while_the_next_one_runs() -> None:
    page = Page(linked_phone=PHONE)
    page.watch.hold(SessionState.FAILED, SessionReason.PAGE_UNREACHABLE, detail="no route", attempt=5)
    page.watch.preparing("browser")
    page.says(ready=False)
    page.says(authenticated=True, mode="OFFLINE", phone=PHONE)
    assert (page.shown, page.session.attempt) == (("FAILED", "page_unreachable"), 5)
    assert page.session.detail == "no route"
    page.works()
    assert (page.shown, page.session.attempt) == (("WORKING", "connected"), None)


def test_failures_in_a_row_wait_longer_up_to_a_cap_and_never_stop() -> None:
    attempts = Attempts()
    pauses = [attempts.failed(SessionReason.PAGE_UNREACHABLE, 0) for _ in range(2_000)]
    assert [pause.attempt for pause in pauses] == list(range(1, 2_001))
    assert [pause.state.value for pause in pauses[:5]] == ["STARTING", "STARTING", "STARTING", "FAILED", "FAILED"]
    assert max(pause.delay_s for pause in pauses) <= 60
    assert pauses[0].delay_s < 1.1
    assert len({pause.delay_s for pause in pauses[20:]}) > 100, "not all at the same moment"
    assert attempts.failed(SessionReason.RECONNECTING, 3600).attempt == 1
    assert attempts.failed(SessionReason.RECONNECTING, 5).attempt == 2, "a crash loop after each login is one too"


def test_the_version_of_the_page_is_told() -> None:
    page = Page()
    page.shows_code("code-1", version="2.3000.1044096500")
    page.works()
    assert page.session.page_version == "2.3000.1044096500"


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"ready": False, "version": "2.3000.1011111111"}, "WhatsApp Web 2.3000.1011111111 is too old for wa-js 4."),
        ({"ready": False, "version": "2.3000.1999999999"}, "the page may be too new"),
        ({"mode": "DEPRECATED_VERSION", "version": "2.3000.1044096500"}, "WhatsApp Web 2.3000.1044096500, wa-js 4."),
    ],
)
def test_a_page_that_wa_js_cannot_drive_is_told_with_both_versions(facts: dict[str, Any], words: str) -> None:
    page = Page()
    page.says(**facts)
    assert page.says(100, **facts) is Verdict.RECYCLE
    reason, detail = page.watch.failure
    assert reason == SessionReason.PAGE_UNSUPPORTED
    assert words in detail
    assert "wa-js 4.6.0" in detail
