"""How often the page is asked for a reply: the runner's own part of its latency."""

from typing import Any

import pytest

from tenant_runner.channels.base import ChannelNotReady
from tenant_runner.channels.whatsapp_web import requests
from tenant_runner.channels.whatsapp_web.page import PageBroken, WhatsAppPage
from tenant_runner.channels.whatsapp_web.requests import PageRequests

CHAT, OTHER_CHAT = "5491100000001@c.us", "5491100000002@c.us"


class CountedPage(WhatsAppPage):
    """Answers every call and keeps it; `broken` fails them."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any] | None]] = []
        self.broken = False

    async def _call(self, name: str, arguments: dict[str, Any] | None = None, *, timeout_s: float = 1.0) -> Any:
        self.calls.append((name, arguments))
        if self.broken:
            raise PageBroken(name)
        return {"newMessageId": "true_asked", "send": {"result": "OK"}}.get(name)

    @property
    def asked(self) -> list[tuple[str, bool | None]]:
        return [(name, (arguments or {}).get("read")) for name, arguments in self.calls]


class Channel(PageRequests):
    def __init__(self, page: WhatsAppPage) -> None:
        super().__init__()
        self._page = page
        self._working.set()

    def hear(self, chat: str, reply_id: str | None) -> None:
        self._keep_reply_id({"chat": chat, "replyId": reply_id})


@pytest.fixture
def page() -> CountedPage:
    return CountedPage()


@pytest.fixture
def channel(page: CountedPage) -> Channel:
    return Channel(page)


async def test_a_reply_without_typing_is_one_call_with_its_receipt(channel: Channel, page: CountedPage) -> None:
    channel.hear(CHAT, "true_brought")
    message_id = await channel.new_message_id(CHAT)
    await channel.mark_read(CHAT)
    await channel.send(CHAT, "hola", message_id)
    assert page.asked == [("send", True)]
    assert message_id == "true_brought"


async def test_the_receipt_goes_with_what_is_shown_first_and_only_once(channel: Channel, page: CountedPage) -> None:
    await channel.mark_read(CHAT)
    await channel.send(OTHER_CHAT, "a otro", "true_1")
    await channel.show_typing(CHAT, 1.0)
    await channel.send(CHAT, "hola", "true_2")
    assert page.asked == [("send", False), ("showTyping", True), ("send", False)]


async def test_a_receipt_that_a_broken_page_did_not_take_goes_with_the_next_call(
    channel: Channel, page: CountedPage
) -> None:
    await channel.mark_read(CHAT)
    page.broken = True
    await channel.show_typing(CHAT, 1.0)
    page.broken = False
    await channel.send(CHAT, "hola", "true_1")
    assert page.asked == [("showTyping", True), ("send", True)]


async def test_an_id_is_used_once_and_then_asked_for(channel: Channel, page: CountedPage) -> None:
    channel.hear(CHAT, "true_older")
    channel.hear(CHAT, "true_newer")
    channel.hear(CHAT, None)
    assert [await channel.new_message_id(CHAT) for _ in range(2)] == ["true_newer", "true_asked"]


async def test_ids_that_nobody_needs_do_not_pile_up(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MOST_REPLY_IDS", 1)
    channel.hear(CHAT, "true_1")
    channel.hear(OTHER_CHAT, "true_2")
    assert [await channel.new_message_id(chat) for chat in (CHAT, OTHER_CHAT)] == ["true_asked", "true_2"]


async def test_a_page_that_is_not_connected_gives_no_kept_id_either(channel: Channel) -> None:
    channel.hear(CHAT, "true_1")
    channel._working.clear()
    with pytest.raises(ChannelNotReady):
        await channel.new_message_id(CHAT)
