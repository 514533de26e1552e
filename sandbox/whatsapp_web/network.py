"""WhatsApp's network: which accounts there are, which of their devices are online, and what passes between them."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from sandbox.settings import SandboxSettings
from sandbox.whatsapp_web.accounts import Account, AccountProfile, Message
from sandbox.whatsapp_web.media import MediaFiles
from sandbox.whatsapp_web.messages import to_wire
from sandbox.whatsapp_web.pages import Page
from sandbox.whatsapp_web.store import SqliteAccountStore

HISTORY_MESSAGES = 500


class Network:
    """The one state of the stand-in; the pages' wire and the phones' HTTP API both work on it.

    Attributes:
        pages: every open page, linked or waiting.
        link_codes: eight-character code to the page that shows it and the number it is for.
        media: the files of messages.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.pages: list[Page] = []
        self.link_codes: dict[str, tuple[Page, str]] = {}
        self.media = MediaFiles(settings.state_directory / "media")
        self._store = SqliteAccountStore(settings.state_directory / "whatsapp.sqlite3")
        self.accounts = self._store.load()
        self._down_until = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_down(self) -> bool:
        """Whether an outage is on."""
        return time.monotonic() < self._down_until

    def close(self) -> None:
        """Stop what runs in the background and let go of the state."""
        for task in self._tasks:
            task.cancel()
        for page in self.pages:
            page.stop_rotation()
        self._store.close()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something in the background, for no longer than the network lives."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def open_account(self, number: str, name: str | None = None, platform: str | None = None) -> Account:
        """The account of that number, made if it is new, with what is given changed."""
        account = self.accounts.get(number)
        if account is None:
            account = Account(AccountProfile(number=number, name=name or number), self._store)
            self.accounts[number] = account
        account.profile.name = name or account.profile.name
        account.profile.platform = platform or account.profile.platform
        account.save_profile()
        return account

    # ---------------------------------------------------------------- devices

    def find_page(self, device_id: str) -> Page | None:
        """The page that is online as that device."""
        return next((page for page in self.pages if page.device and page.device.id == device_id), None)

    def online_pages(self, account: Account) -> list[Page]:
        """Every page that is online for an account."""
        return [page for page in self.pages if page.account is account]

    async def unlink(self, account: Account, device_id: str, reason: str) -> None:
        """End a device's link, from the phone or from the device itself."""
        if account.remove_device(device_id) is None:
            return
        account.log("unlinked", device=device_id, reason=reason)
        if page := self.find_page(device_id):
            page.account = page.device = None
            page.ready = False
            await page.send("logged_out", reason=reason)

    async def displace(self, page: Page) -> None:
        """Tell a page that its session is open elsewhere; it stays linked and may take over again."""
        page.account = page.device = None
        page.ready = False
        await page.send("conflict")

    async def restrict(self, account: Account, restricted: bool) -> None:
        """Restrict an account, or lift that; pages stay linked and are told."""
        account.profile.restricted = restricted
        account.save_profile()
        account.log("restricted" if restricted else "unrestricted")
        for page in self.online_pages(account):
            await page.send("restricted", restricted=restricted)

    async def cut(self, seconds: float) -> None:
        """Close every connection and accept none for so long."""
        self._down_until = time.monotonic() + seconds
        for page in list(self.pages):
            await page.close()

    # ---------------------------------------------------------------- messages

    async def deliver(self, account: Account, message: Message, *, skip: Page | None = None) -> None:
        """Queue a message for every linked device and push it to those that are online."""
        for device in list(account.devices.values()):
            if skip is not None and skip.device is device:
                continue
            account.queue_for(device, message["id"]["id"])
            page = self.find_page(device.id)
            if page is not None and page.ready:
                await self.push(page, message)

    async def push(self, page: Page, message: Message, *, late: bool = False) -> None:
        """Send a message to a page, with what it must know of the contact; `late`: it is in the chat already."""
        contact = page.account.find_contact(message["id"]["remote"]) if page.account else None
        await page.send("msg", msg=to_wire(message), contact=contact.to_wire() if contact else None, late=late)

    async def acknowledge(self, account: Account, message: Message, ack: int) -> None:
        """Tell every device how far an outbound message got: 2 delivered, 3 read."""
        if ack > message.get("ack", 0):
            account.update(message, {"ack": ack})
        for page in self.online_pages(account):
            await page.send("receipt", ack=ack, ids=[message["id"]["id"]], **{"from": message["id"]["remote"]})

    def acknowledge_soon(self, account: Account, message: Message) -> None:
        """The customer's phone will report the message as delivered, if the settings let it."""
        delay_s = self.settings.receipt_delay_s
        if delay_s is None:
            return

        async def report() -> None:
            await asyncio.sleep(delay_s)
            await self.acknowledge(account, message, 2)

        self.spawn(report())
