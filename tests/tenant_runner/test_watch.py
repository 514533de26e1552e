"""What a person is told, from what the page says: the clock is the test's."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tenant_runner.channels.snapshot import Snapshot
from tenant_runner.channels.whatsapp_web.page import PageStatus
from tenant_runner.channels.whatsapp_web.watch import LinkWatch, Verdict
from tenant_runner.contract import SessionChanged, WhatsAppWebChannel

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
    assert page.session.phone is None
    page.watch.logout_wanted()
    page.says(ready=False)
    assert page.shown == ("SCAN_QR_CODE", "wrong_number")
    page.shows_code("code-2")
    assert (page.shown, page.session.qr) == (("SCAN_QR_CODE", "wrong_number"), "code-2")
    page.works(phone="5491155554821")
    assert page.shown == ("WORKING", "connected")
    assert page.session.detail is None


def test_the_phone_unlinking_is_told_with_new_codes_for_one_round() -> None:
    page = Page()
    page.works()
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
    page.shows_code("code-1")
    assert page.shown == ("SCAN_QR_CODE", "unlinked")


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


def test_a_restriction_is_told_and_nothing_loops() -> None:
    page = Page()
    page.works()
    for _ in range(100):
        assert page.says(60, authenticated=True, mode="TOS_BLOCK", phone=PHONE) is Verdict.GO_ON
    assert page.shown == ("FAILED", "restricted")
