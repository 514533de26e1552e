"""The browser's one page: documents loaded, functions evaluated, what it calls handed over."""

import asyncio
import base64
import json
import platform
import re
from collections.abc import Callable
from typing import Any

from tenant_runner.channels.whatsapp_web.devtools import CALL_S, BrowserError, BrowserTimeout, Session

VIEWPORT = {"width": 1280, "height": 800, "screenWidth": 1280, "screenHeight": 800}
# Frames inside the page are none of our business, and would pay for every script.
ON_TOP = "if (window === window.top) {{\n{}\n}}"
CALLABLE = "window.{name} = async (...given) => window.{binding}(JSON.stringify(given));"
NO_WORKERS = "if (navigator.serviceWorker) navigator.serviceWorker.register = async () => {};"


class Tab:
    """See the module. Every method raises `BrowserError` when the page fails it."""

    def __init__(self, session: Session, on_loss: Callable[[], None]) -> None:
        self._session = session
        self._on_loss = on_loss
        self._failure: str | None = None
        self._frame = ""
        self._document = ""
        self._unreachable = False
        self._arrival: tuple[str, asyncio.Future[dict[str, Any]]] | None = None
        self._functions: dict[str, Callable[..., object]] = {}

    @classmethod
    async def open(cls, session: Session, *, on_loss: Callable[[], None], agent: str) -> "Tab":
        """Prepare a page that is attached already.

        Args:
            on_loss: called when the page crashed or was closed.
            agent: what it calls itself.
        """
        tab = cls(session, on_loss)
        session.on("Inspector.targetCrashed", lambda _: tab.lose("the page crashed"))
        session.on("Page.frameNavigated", tab._navigated)
        session.on("Page.lifecycleEvent", tab._lived)
        session.on("Page.javascriptDialogOpening", tab._answer_dialog)
        session.on("Runtime.bindingCalled", tab._called)
        # They are carried out in this order; none waits for the answer to the one before.
        *_, tree = await asyncio.gather(
            session.call("Page.enable"),
            # Without it no function outlives the document that it was given to.
            session.call("Runtime.enable"),
            session.call("Page.setLifecycleEventsEnabled", enabled=True),
            session.call("Page.setBypassCSP", enabled=True),
            session.call("Emulation.setFocusEmulationEnabled", enabled=True),
            session.call("Emulation.setDeviceMetricsOverride", deviceScaleFactor=1, mobile=False, **VIEWPORT),
            # WhatsApp Web turns browsers away whose name it does not know, and "HeadlessChrome" is one of them.
            session.call("Emulation.setUserAgentOverride", **name_properly(agent)),
            session.call("Page.getFrameTree"),
        )
        tab._navigated(tree["frameTree"])
        return tab

    # ------------------------------------------------------------------------------------------ before its documents

    async def add_script(self, script: str) -> None:
        """Run a script before each document's own; in the page itself, not in frames inside it."""
        await self._session.call("Page.addScriptToEvaluateOnNewDocument", source=ON_TOP.format(script))

    async def add_function(self, name: str, function: Callable[..., object]) -> None:
        """Let the page call a function; arguments come as JSON, calls in order, and nothing is answered."""
        binding = f"_{name}"
        self._functions[binding] = function
        await self._session.call("Runtime.addBinding", name=binding)
        await self.add_script(CALLABLE.format(name=name, binding=binding))

    async def answer_with(self, url: str, html: str) -> None:
        """Answer the page's own address with this document; its look for a newer one finds nothing."""
        bare = url.rstrip("/")
        document = re.compile(re.escape(bare) + r"/?(\?.*)?$")
        body = base64.b64encode(html.encode()).decode()
        headers = [{"name": "Content-Type", "value": "text/html; charset=utf-8"}]

        def answer(paused: dict[str, Any]) -> None:
            request, asked = paused["requestId"], paused["request"]["url"]
            if paused["resourceType"] != "Document":
                self._session.post("Fetch.failRequest", requestId=request, errorReason="Failed")
            elif document.match(asked):
                self._session.post(
                    "Fetch.fulfillRequest", requestId=request, responseCode=200, responseHeaders=headers, body=body
                )
            else:
                self._session.post("Fetch.continueRequest", requestId=request)

        self._session.on("Fetch.requestPaused", answer)
        patterns = [
            {"urlPattern": f"{bare}*", "resourceType": "Document"},
            {"urlPattern": f"{bare}/check-update*"},
        ]
        await self._session.call("Fetch.enable", patterns=patterns)

    async def refuse_service_workers(self) -> None:
        """Load everything past those that the profile has, and let the page make no new ones."""
        await self._session.call("Network.enable")
        await self._session.call("Network.setBypassServiceWorker", bypass=True)
        await self.add_script(NO_WORKERS)

    # ------------------------------------------------------------------------------------------ documents

    async def goto(self, url: str, *, timeout_s: float = CALL_S) -> None:
        """Load an address; returns when its document is there and its first scripts ran."""
        await self._load("Page.navigate", timeout_s, url=url)

    async def reload(self, *, timeout_s: float = CALL_S) -> None:
        """Load the page again; returns as `goto` does."""
        await self._load("Page.reload", timeout_s)

    async def _load(self, method: str, timeout_s: float, **parameters: Any) -> None:
        with self._session.connection.expect(self._session.name) as (_, arrival):
            self._arrival = self._document, arrival
            try:
                async with asyncio.timeout(timeout_s):
                    answer = await self._call(method, timeout_s, **parameters)
                    if answer.get("errorText"):
                        raise BrowserError(f"{answer['errorText']} at {parameters['url']}")
                    await arrival
            except TimeoutError as error:
                raise BrowserTimeout(f"the page was not there in {timeout_s:.0f} s") from error
            finally:
                self._arrival = None
        if self._unreachable:
            raise BrowserError("the page could not be reached")

    # ------------------------------------------------------------------------------------------ what is asked of it

    async def evaluate(self, expression: str, *, timeout_s: float = CALL_S) -> Any:
        """The value of an expression, as JSON; that of a promise when it is kept.

        Raises:
            BrowserTimeout: no answer in time.
            BrowserError: it threw (its first line is the error's), or another document took the place of this one.
        """
        answer = await self._call(
            "Runtime.evaluate",
            timeout_s,
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            # As if a person were there: some of what pages do they do only then.
            userGesture=True,
        )
        if thrown := answer.get("exceptionDetails"):
            exception = thrown.get("exception", {})
            raise BrowserError(str(exception.get("description") or exception.get("value") or thrown["text"]))
        return answer["result"].get("value")

    async def call(self, function: str, *arguments: Any, timeout_s: float = CALL_S) -> Any:
        """What a JavaScript function makes of arguments that are plain JSON; raises as `evaluate` does."""
        given = ", ".join(json.dumps(argument) for argument in arguments)
        return await self.evaluate(f"({function})({given})", timeout_s=timeout_s)

    async def _call(self, method: str, timeout_s: float, **parameters: Any) -> dict[str, Any]:
        self._check()
        return await self._session.call(method, timeout_s=timeout_s, **parameters)

    def _check(self) -> None:
        if self._failure is not None:
            raise BrowserError(self._failure)

    # ------------------------------------------------------------------------------------------ what it tells

    def lose(self, cause: str) -> None:
        """It will not answer any more."""
        self._failure = cause
        self._session.connection.forsake(self._session.name, cause)
        self._on_loss()

    def _navigated(self, event: dict[str, Any]) -> None:
        frame = event["frame"]
        if "parentId" not in frame:
            self._frame, self._document = frame["id"], frame["loaderId"]
            self._unreachable = "unreachableUrl" in frame

    def _lived(self, event: dict[str, Any]) -> None:
        if self._arrival is None or event["name"] != "DOMContentLoaded" or event["frameId"] != self._frame:
            return
        before, arrival = self._arrival
        if event["loaderId"] != before and not arrival.done():
            arrival.set_result({})

    def _answer_dialog(self, event: dict[str, Any]) -> None:
        # It may always be left; nobody is there to answer anything else.
        self._session.post("Page.handleJavaScriptDialog", accept=event["type"] == "beforeunload")

    def _called(self, event: dict[str, Any]) -> None:
        if (function := self._functions.get(event["name"])) is not None:
            function(*json.loads(event["payload"]))


def name_properly(agent: str) -> dict[str, Any]:
    """Parameters that make a headless browser call itself what the same browser with windows does.

    Args:
        agent: the name that it has, with its version.
    """
    found = re.search(r"Chrome/((\d+)[\d.]*)", agent)
    full, major = found.groups() if found else ("", "")
    brands = (("Chromium", major, full), ("Not;A=Brand", "99", "99.0.0.0"))
    return {
        "userAgent": agent.replace("HeadlessChrome", "Chrome"),
        "userAgentMetadata": {
            "brands": [{"brand": brand, "version": version} for brand, version, _ in brands],
            "fullVersionList": [{"brand": brand, "version": version} for brand, _, version in brands],
            "platform": {"Darwin": "macOS"}.get(platform.system(), platform.system()),
            "platformVersion": "",
            "architecture": "arm" if platform.machine() in ("arm64", "aarch64") else "x86",
            "bitness": "64",
            "model": "",
            "mobile": False,
        },
    }
