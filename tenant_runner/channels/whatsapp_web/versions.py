"""Versions of WhatsApp Web and of wa-js: which pages can be pinned, and which wa-js can drive."""

import json
import re

from tenant_runner.channels.whatsapp_web.page import WA_JS, PageStatus
from tenant_runner.settings import REPOSITORY

PINNED_PAGES = REPOSITORY / "node_modules" / "@wppconnect" / "wa-version" / "html"

_WA_JS = json.loads((WA_JS.parents[1] / "package.json").read_text(encoding="utf-8"))
WA_JS_VERSION: str = _WA_JS["version"]
# The range of versions that the installed wa-js says it can drive, as `>=2.3000.1038792969-alpha`.
SUPPORTED_PAGES: str = _WA_JS["engines"]["whatsapp-web"]

_VERSION = re.compile(r"\d+(?:\.\d+)+")


class PageUnsupported(Exception):
    """A version of WhatsApp Web that cannot be used here; says both versions."""


def is_too_old(version: str | None, supported: str | None) -> bool:
    """Whether a version is below a range that begins at a version; what cannot be read is not too old."""
    has, needs = _numbers(version), _numbers(supported)
    return bool(has and needs and has < needs)


def _numbers(text: str | None) -> tuple[int, ...]:
    found = _VERSION.search(text or "")
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def explain_unsupported(status: PageStatus) -> str:
    """Why a page did not become usable, with both versions."""
    page = f"WhatsApp Web {status.version}" if status.version else "WhatsApp Web of an unknown version"
    wa_js = f"wa-js {WA_JS_VERSION} (made for {status.supported or SUPPORTED_PAGES})"
    if is_too_old(status.version, status.supported or SUPPORTED_PAGES):
        return f"{page} is too old for {wa_js}"
    if status.loader:
        return f"{page} loaded but {wa_js} did not get ready on it: the page may be too new for it"
    return f"this page has none of WhatsApp Web's modules: {wa_js} does not know it, or it is another page"


def pinned_page(version: str) -> str:
    """The HTML of that version of WhatsApp Web; what it loads comes from WhatsApp's servers as ever.

    Raises:
        PageUnsupported: it is not among the pages that are installed, or too old for wa-js.
    """
    if is_too_old(version, SUPPORTED_PAGES):
        wa_js = f"wa-js {WA_JS_VERSION} (made for {SUPPORTED_PAGES})"
        raise PageUnsupported(f"WhatsApp Web {version} is pinned, which is too old for {wa_js}")
    if _VERSION.match(version) and "/" not in version:
        for name in (version, f"{version}-alpha"):
            page = PINNED_PAGES / f"{name}.html"
            if page.is_file():
                return page.read_text(encoding="utf-8")
    newest = max((path.stem for path in PINNED_PAGES.glob("*.html")), key=_numbers, default="none")
    raise PageUnsupported(
        f"WhatsApp Web {version} is pinned, which is not installed (newest installed: {newest}; wa-js {WA_JS_VERSION})"
    )
