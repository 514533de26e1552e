"""How a page becomes a linked device: QR codes that rotate, codes to type, and the login of a device that is known."""

import asyncio
import logging
import secrets
import time
from typing import Any

from sandbox.whatsapp_web.accounts import Account, Device
from sandbox.whatsapp_web.messages import CHANGES, to_wire
from sandbox.whatsapp_web.network import HISTORY_MESSAGES, Network
from sandbox.whatsapp_web.pages import Hello, Page

logger = logging.getLogger(__name__)

_CODE_ALPHABET = "ABCDEFGHJKLMNPQRSTVWXYZ123456789"
_LIVE_REFS = 2
_REPLAY_AFTER_S = 3


class PairingRefused(Exception):
    """The phone read something that links nothing; says why."""


# -------------------------------------------------------------------- what pages ask


async def greet(network: Network, page: Page, frame: dict[str, Any]) -> None:
    """A page came: log in the device that it was linked as, or show it QR codes."""
    page.hello = Hello.model_validate(frame)
    if link := _find_link(network, page.hello):
        await log_in(network, page, *link)
    elif page.hello.device_id:
        await page.send("logged_out", reason="unknown_companion")
    else:
        show_codes(network, page)


async def refresh_codes(network: Network, page: Page, frame: dict[str, Any]) -> None:
    """Somebody clicked for new QR codes."""
    if page.device is None:
        show_codes(network, page)


async def make_link_code(network: Network, page: Page, frame: dict[str, Any]) -> dict[str, Any]:
    """A code to be typed on the phone of one number; a page's newest code is its only one."""
    code = "".join(secrets.choice(_CODE_ALPHABET) for _ in range(8))
    network.link_codes = {known: entry for known, entry in network.link_codes.items() if entry[0] is not page}
    network.link_codes[code] = (page, str(frame["phone"]))
    return {"code": code}


async def confirm_pairing(network: Network, page: Page, frame: dict[str, Any]) -> None:
    """The page has stored its identity: the link holds."""
    if page.account is not None and page.device is not None:
        await log_in(network, page, page.account, page.device)


async def take_over(network: Network, page: Page, frame: dict[str, Any]) -> None:
    """The page was told that another one is open, and wants to be the one."""
    if page.hello is not None and (link := _find_link(network, page.hello)):
        await log_in(network, page, *link)


async def leave(network: Network, page: Page, frame: dict[str, Any]) -> None:
    """The page logs out."""
    if page.account is not None and page.device is not None:
        await network.unlink(page.account, page.device.id, "user_initiated")


async def become_ready(network: Network, page: Page, frame: dict[str, Any]) -> None:
    """The page has synced: push what waited for it."""
    if page.account is None or page.device is None:
        return
    page.ready = True
    page.account.log("device_ready", device=page.device.id)
    held, page.held = page.held, []
    if held:
        network.spawn(_replay(network, page, held))
    for message_id in page.device.pending:
        if message_id not in held and (message := page.account.find_message(message_id)):
            await network.push(page, message)


async def _replay(network: Network, page: Page, held: list[str]) -> None:
    # Clients that are injected into a page hook into it about a second after it has loaded.
    await asyncio.sleep(_REPLAY_AFTER_S)
    for message_id in held:
        if page.account is None or page.device is None:
            return
        if message := page.account.find_message(message_id):
            await network.push(page, message, late=True)


OPERATIONS = {
    "hello": greet,
    "refresh_qr": refresh_codes,
    "link_code": make_link_code,
    "pair_ack": confirm_pairing,
    "takeover": take_over,
    "logout": leave,
    "ready": become_ready,
}


# -------------------------------------------------------------------- what phones do


async def pair_by_qr(network: Network, account: Account, qr: str) -> Device | None:
    """Scan: link the page that shows this QR code, if the code's keys are that page's; None if the pairing stalls.

    Raises:
        PairingRefused: no page shows it any more, or its keys are not the page's own.
    """
    ref, noise, identity, adv = [*qr.strip().split(","), "", "", "", ""][:4]
    page = next((page for page in network.pages if ref and ref in page.refs), None)
    if page is None or page.hello is None:
        raise PairingRefused("no open page shows this QR code: it is unknown or has expired")
    if (noise, identity, adv) != (page.hello.noise, page.hello.identity, page.hello.adv):
        raise PairingRefused("the keys of this QR code are not those of the page that shows it")
    return await _pair(page, account)


async def pair_by_code(network: Network, account: Account, code: str) -> Device | None:
    """Type a link code on the phone that it was made for; None if the pairing stalls.

    Raises:
        PairingRefused: no page shows it, or it was made for another number.
    """
    page, number = network.link_codes.get(code.replace("-", "").strip().upper(), (None, ""))
    if page is None or page not in network.pages or number != account.number:
        raise PairingRefused("this code is unknown, has expired or was made for another number")
    network.link_codes = {known: entry for known, entry in network.link_codes.items() if entry[0] is not page}
    return await _pair(page, account)


async def _pair(page: Page, account: Account) -> Device | None:
    assert page.hello is not None  # noqa: S101 - only pages that said hello show codes
    page.stop_rotation()
    if account.profile.stalls_pairing:
        account.log("pairing_stalled")
        await page.send("pairing")
        return None
    device = Device(id=secrets.token_hex(8), noise=page.hello.noise, client=page.hello.client)
    account.add_device(device)
    account.log("linked", device=device.id)
    page.account, page.device = account, device
    page.hello = page.hello.model_copy(update={"device_id": device.id})
    logger.info("device linked", extra={"device": device.id})
    await page.send("pair_success", me=account.to_wire(), deviceId=device.id)
    return device


def _find_link(network: Network, hello: Hello) -> tuple[Account, Device] | None:
    for account in network.accounts.values():
        device = account.devices.get(hello.device_id or "")
        if device is not None and secrets.compare_digest(device.noise, hello.noise):
            return account, device
    return None


# -------------------------------------------------------------------- both


def show_codes(network: Network, page: Page) -> None:
    """Start a round of QR codes."""
    page.stop_rotation()
    page.rotation = network.spawn(_rotate(network, page))


async def _rotate(network: Network, page: Page) -> None:
    settings = network.settings
    for index in range(settings.max_refs):
        page.refs = [*page.refs, "2@" + secrets.token_urlsafe(48)][-_LIVE_REFS:]
        life_s = settings.ref_seconds * (settings.first_ref_factor if index == 0 else 1)
        page.ref_expires_at = time.time() + life_s
        await page.send("ref", ref=page.refs[-1], ttl=life_s)
        await asyncio.sleep(life_s)
    page.refs = []
    await page.send("idle")


async def log_in(network: Network, page: Page, account: Account, device: Device) -> None:
    """Log a page in as a device; another page that is online as that device is told of the conflict."""
    page.stop_rotation()
    others = [other for other in network.pages if other.device is device and other is not page]
    for other in others:
        await network.displace(other)
    page.account, page.device, page.ready = account, device, False
    page.held = list(device.pending) if account.profile.replays_late else []
    offline = [id_ for id_ in device.pending if id_ not in page.held]
    recent = [message for message in account.messages[-HISTORY_MESSAGES:] if message.get("type") not in CHANGES]
    sync_s = account.profile.sync_seconds
    await page.send(
        "success",
        me=account.to_wire(),
        restricted=account.profile.restricted,
        syncDelayMs=network.settings.sync_delay_ms if sync_s is None else sync_s * 1000,
        answerMs=network.settings.answer_seconds * 1000,
        contacts=[contact.to_wire() for contact in account.contacts.values()],
        history=[to_wire(message) for message in recent if message["id"]["id"] not in offline],
        offline=[to_wire(message) for id_ in offline if (message := account.find_message(id_))],
        unread=account.count_unread(),
    )
