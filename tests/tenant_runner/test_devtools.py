"""Chromium spoken to without anything between: what is called, what comes back, what happens when it ends."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Container
from pathlib import Path
from typing import Any

import psutil
import pytest

from tenant_runner.channels.whatsapp_web import chromium
from tenant_runner.channels.whatsapp_web.browser import Browser, browsers_of
from tenant_runner.channels.whatsapp_web.devtools import BrowserError, BrowserTimeout
from tenant_runner.channels.whatsapp_web.tab import Tab
from tests.conftest import find_free_port, wait_for
from tests.tenant_runner.installation import CHROMIUM, REPOSITORY

URL = "https://web.example.com/"
HTML = "<script>for (const n of [1, 2, 3]) told('new', {n}); let asked;</script><p>Hola"
PARENT = """
import asyncio, sys
from pathlib import Path
from tenant_runner.channels.whatsapp_web import chromium
from tenant_runner.channels.whatsapp_web.browser import Browser
async def main():
    await Browser.open(Path(sys.argv[1]), chromium=Path(sys.argv[2]) if sys.argv[2] else None, arguments=())
    print("open", flush=True)
    await asyncio.sleep(300)
asyncio.run(main())
"""
WORKER = "self.onfetch = (event) => event.respondWith(new Response('kept', {headers: {'content-type': 'text/html'}}));"

Open = Callable[..., Awaitable[Browser]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens browsers on one profile, which are closed in the end."""
    opened: list[Browser] = []

    async def start(**options: Any) -> Browser:
        given = {"chromium": CHROMIUM if CHROMIUM.exists() else None, "arguments": (), **options}
        opened.append(await Browser.open(tmp_path / "profile", **given))
        return opened[-1]

    yield start
    for browser in opened:
        await browser.close()
    assert browsers_of(tmp_path / "profile") == []


@pytest.fixture
def told() -> list[tuple[Any, ...]]:
    """What the page told, in order."""
    return []


@pytest.fixture
async def browser(start: Open) -> Browser:
    return await start()


@pytest.fixture
async def tab(browser: Browser, told: list[tuple[Any, ...]]) -> Tab:
    """An open page."""
    tab = await browser.page(scripts=("window.mark = 5;",), events={"told": lambda *given: told.append(given)})
    await browser.answer_with(URL, HTML)
    await tab.goto(URL)
    return tab


def family() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def renderers() -> list[psutil.Process]:
    found = []
    for process in family():
        with contextlib.suppress(psutil.Error):
            line = process.cmdline()
            if "--type=renderer" in line and "--top-chrome-webui" not in line:
                found.append(process)
    return found


@contextlib.asynccontextmanager
async def serve(answers: dict[str, tuple[str, str]], slow: Container[str] = ()) -> AsyncIterator[str]:
    """A small HTTP server: by path, the kind of content and the content; what is `slow` is answered at the end."""
    ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split()[1]
            if path in slow:
                await ended.wait()
            kind, body = answers.get(path, ("text/plain", ""))
            body = body.replace("AGENT", next(line for line in head.splitlines() if line.lower().startswith("user-ag")))
            writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n{body}".encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        try:
            yield f"http://localhost:{server.sockets[0].getsockname()[1]}"
        finally:
            ended.set()


async def test_what_the_page_tells_arrives_in_order_in_every_document(tab: Tab, told: list[tuple[Any, ...]]) -> None:
    await tab.evaluate("Promise.all(Array.from({length: 500}, (_, n) => told('n', n)))")
    assert [given for name, given in told if name == "n"] == list(range(500))
    await tab.reload()
    assert [given for name, given in told if name == "new"] == [{"n": 1}, {"n": 2}, {"n": 3}] * 2
    assert await tab.evaluate("mark") == 5


async def test_what_cannot_be_handled_ends_nothing(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []
    tab = await browser.page(scripts=(), events={"told": lambda n: seen.append(10 // n)})
    await browser.answer_with(URL, "")
    await tab.goto(URL)
    await tab.evaluate("(told(0), told(2), _told('no JSON'), told(5))")
    assert seen == [5, 2]
    assert len([record for record in caplog.records if "not handled" in record.message]) == 2


async def test_a_frame_of_the_page_gets_neither_scripts_nor_functions(tab: Tab) -> None:
    frame = "Object.assign(document.createElement('iframe'), {src: 'about:blank'})"
    kinds = f"[typeof document.body.appendChild({frame}).contentWindow.told, typeof frames[0].mark]"
    assert await tab.evaluate(kinds) == ["undefined", "undefined"]


async def test_arguments_and_answers_are_json_however_large(tab: Tab) -> None:
    given = {"texts": ["ñandú \u2028 \"'</script>`${}", "🔥"], "none": None}
    assert await tab.call("(...given) => given", given, 5) == [given, 5]
    assert await tab.evaluate("undefined") is None
    size = 30_000_000
    assert len(await tab.evaluate(f"new Promise((done) => setTimeout(() => done('x'.repeat({size})), 10))")) == size
    assert await tab.call("(text) => text.length", "y" * 3_000_000) == 3_000_000


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("(() => { throw new TypeError('one\\ntwo'); })()", "TypeError: one"),
        ("Promise.reject(new Error('no bridge'))", "Error: no bridge"),
        ("Promise.reject(7)", "7"),
        ("nothing.such", "ReferenceError: nothing is not defined"),
        ("(", "SyntaxError: Unexpected end of input"),
    ],
)
async def test_what_is_thrown_is_named(tab: Tab, expression: str, words: str) -> None:
    with pytest.raises(BrowserError) as caught:
        await tab.evaluate(expression)
    assert str(caught.value).splitlines()[0] == words


async def test_a_call_that_another_document_interrupts_fails(tab: Tab) -> None:
    with pytest.raises(BrowserError) as caught:
        await tab.evaluate("new Promise(() => location.reload())")
    assert not isinstance(caught.value, BrowserTimeout)


async def test_a_hung_page_times_out_and_what_comes_late_or_is_cancelled_leaves_nothing(
    browser: Browser, tab: Tab
) -> None:
    waiting = browser._chromium.connection._waiting
    with pytest.raises(BrowserTimeout):
        await tab.evaluate("new Promise((done) => setTimeout(done, 300))", timeout_s=0.1)
    assert waiting == {}
    assert await tab.evaluate("new Promise((done) => setTimeout(() => done(1), 500))") == 1
    cancelled = asyncio.create_task(tab.evaluate("new Promise(() => {})"))
    await wait_for(lambda: waiting)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    assert waiting == {}
    for _ in range(2):
        with pytest.raises(BrowserTimeout):
            await tab.evaluate("(() => { for (;;); })()", timeout_s=0.5)
    assert not browser.lost.is_set()
    # It does not close by itself.
    async with asyncio.timeout(60):
        await browser.close()


async def test_a_crashed_page_is_lost_and_whoever_waits_is_told(browser: Browser, tab: Tab) -> None:
    asked = asyncio.create_task(tab.evaluate("new Promise(() => {})", timeout_s=600))
    await wait_for(lambda: browser._chromium.connection._waiting)
    tab._session.post("Page.crash")
    await asyncio.wait_for(browser.lost.wait(), 60)
    with pytest.raises(BrowserError, match="the page crashed"):
        await asyncio.wait_for(asked, 60)
    with pytest.raises(BrowserError, match="the page crashed"):
        await tab.evaluate("1")


async def test_a_page_whose_process_is_killed_or_that_is_closed_is_lost(start: Open) -> None:
    browser = await start()
    await browser.page(scripts=(), events={})
    for renderer in renderers():
        with contextlib.suppress(psutil.NoSuchProcess):
            renderer.kill()
    await asyncio.wait_for(browser.lost.wait(), 60)
    browser = await start()
    tab = await browser.page(scripts=(), events={})
    tab._session.post("Page.close")
    await asyncio.wait_for(browser.lost.wait(), 60)


async def test_a_killed_browser_is_lost_and_refuses_calls(browser: Browser, tab: Tab, tmp_path: Path) -> None:
    asked = asyncio.create_task(tab.evaluate("new Promise(() => {})", timeout_s=600))
    await wait_for(lambda: browser._chromium.connection._waiting)
    for process in browsers_of(tmp_path / "profile"):
        process.kill()
    await asyncio.wait_for(browser.lost.wait(), 60)
    for call in (asked, tab.evaluate("1"), tab.goto(URL)):
        with pytest.raises(BrowserError, match="the browser ended"):
            await asyncio.wait_for(call, 60)


async def test_nothing_listens_anywhere(tab: Tab) -> None:
    browsers = [process for process in family() if "chrom" in process.name()]
    assert browsers
    assert [found for process in browsers for found in process.net_connections() if found.status == "LISTEN"] == []


@pytest.mark.parametrize("deed", ["close", "kill"])
async def test_no_process_is_left(tmp_path: Path, deed: str) -> None:
    profile = tmp_path / "profile"
    program = str(CHROMIUM) if CHROMIUM.exists() else ""
    if deed == "close":
        before = set(family())
        browser = await Browser.open(profile, chromium=Path(program) if program else None, arguments=())
        started = set(family()) - before
        await browser.close()
    else:
        line = (sys.executable, "-c", PARENT, str(profile), program)
        parent = await asyncio.create_subprocess_exec(*line, cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE)
        assert parent.stdout
        assert await parent.stdout.readline() == b"open\n"
        started = set(psutil.Process(parent.pid).children(recursive=True))
        parent.kill()
        await parent.wait()
    assert started
    await wait_for(lambda: not [process for process in started if process.is_running()])


async def test_why_a_browser_does_not_start_is_said(tmp_path: Path) -> None:
    with pytest.raises(BrowserError, match="/no/chromium: not found"):
        await Browser.open(tmp_path / "profile", chromium=Path("/no/chromium"), arguments=())
    library = "error while loading shared libraries: libnss3.so: cannot open shared object file"
    broken = tmp_path / "chromium"
    broken.write_text(f"#!/bin/sh\necho noise >&2\necho '{library}' >&2\necho more >&2\nexit 127\n")
    broken.chmod(0o755)
    with pytest.raises(BrowserError, match=library):
        await Browser.open(tmp_path / "profile", chromium=broken, arguments=())


async def test_where_none_is_installed_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chromium, "PROGRAMS", ("no-such-chromium",))
    with pytest.raises(BrowserError, match="no Chromium is installed"):
        await Browser.open(tmp_path / "profile", chromium=None, arguments=())


async def test_a_talkative_browser_goes_on(start: Open) -> None:
    browser = await start(arguments=("--enable-logging=stderr", "--v=1"))
    tab = await browser.page(scripts=(), events={})
    await tab.evaluate("for (let n = 0; n < 3000; n++) console.error('x'.repeat(200))")
    assert await tab.evaluate("1 + 1") == 2
    assert len(browser._chromium._words) <= 8192


async def test_dialogs_hold_nothing_up_and_a_page_may_always_be_left(tab: Tab) -> None:
    assert await tab.evaluate("[alert('x'), confirm('x'), prompt('x')]") == [None, False, None]
    await tab.evaluate("(window.onbeforeunload = (event) => { event.preventDefault(); return 'stay'; }, 1)")
    await tab.reload()
    assert await tab.evaluate("window.onbeforeunload") is None


async def test_a_page_that_cannot_be_loaded_is_told_with_the_cause(browser: Browser) -> None:
    tab = await browser.page(scripts=(), events={})
    with pytest.raises(BrowserError, match="net::ERR_CONNECTION_REFUSED"):
        await tab.goto(f"http://127.0.0.1:{find_free_port()}/")
    async with serve({}, slow={"/"}) as url:
        with pytest.raises(BrowserTimeout):
            await tab.goto(url, timeout_s=1)


async def test_a_browser_that_ends_while_it_loads_a_page_is_not_waited_for(browser: Browser, tmp_path: Path) -> None:
    begun = asyncio.Event()
    tab = await browser.page(scripts=(), events={"told": begun.set})
    endless = "<script>told()</script><script src='/slow'></script>"
    async with serve({"/": ("text/html", endless)}, slow={"/slow"}) as url:
        loading = asyncio.create_task(tab.goto(url, timeout_s=600))
        await asyncio.wait_for(begun.wait(), 60)
        assert not loading.done()
        for process in browsers_of(tmp_path / "profile"):
            process.kill()
        with pytest.raises(BrowserError, match="the browser ended"):
            await asyncio.wait_for(loading, 60)


async def test_a_page_is_told_no_headless_browser_and_looks_looked_at(browser: Browser) -> None:
    tab = await browser.page(scripts=(), events={})
    async with serve({"/": ("text/html", "AGENT")}) as url:
        await tab.goto(url)
        said = await tab.evaluate("[navigator.userAgent, navigator.userAgentData.toJSON(), document.body.innerText]")
    assert "Headless" not in str(said)
    assert "Chrome/" in said[0]
    assert said[0] in said[2]
    assert {"Chromium"} < {each["brand"] for each in said[1]["brands"]}
    look = "[document.visibilityState, document.hasFocus(), innerWidth, innerHeight]"
    assert await tab.evaluate(look) == ["visible", True, 1280, 800]


async def test_a_pinned_page_comes_past_the_profiles_service_worker_and_finds_nothing_newer(start: Open) -> None:
    answers = {"/": ("text/html", "from the server"), "/worker.js": ("text/javascript", WORKER)}
    register = "navigator.serviceWorker.register('/worker.js').then(() => navigator.serviceWorker.ready).then(() => 1)"
    async with serve(answers) as url:
        first = await start()
        tab = await first.page(scripts=(), events={})
        await tab.goto(url)
        assert await tab.evaluate(register) == 1
        await tab.reload()
        assert await tab.evaluate("document.body.innerText") == "kept"
        await first.close()
        second = await start(service_workers=False)
        tab = await second.page(scripts=(), events={})
        await tab.goto(url)
        assert await tab.evaluate("document.body.innerText") == "from the server"
        await second.answer_with(url, "<p>pinned")
        await tab.goto(f"{url}/?version=1")
        assert await tab.evaluate("document.body.innerText") == "pinned"
        assert await tab.evaluate("navigator.serviceWorker.register('/other.js')") is None
        with pytest.raises(BrowserError, match="Failed to fetch"):
            await tab.evaluate("fetch('/check-update?version=1')")
        assert await tab.evaluate("fetch('/worker.js').then((answer) => answer.status)") == 200
