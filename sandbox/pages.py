"""How the sandbox's own pages are made: one layout, two languages, Spanish first."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

_HERE = Path(__file__).parent
_LANGUAGES = ("es", "en")
_COOKIE = "sandbox_language"
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'self'; base-uri 'none'; "
    "form-action 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_templates = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def static_files() -> Mount:
    """The pages' style sheet and script, at `static/` below whatever it is put into."""
    return Mount("/static", StaticFiles(directory=_HERE / "static"))


def render(request: Request, template: str, **context: Any) -> Response:
    """A page; the template says everything twice, `say(spanish, english)`.

    Links in it start with `base`, the path under which the page's part of the sandbox is mounted.
    """
    wish = request.query_params.get("lang")
    language = next((each for each in (wish, request.cookies.get(_COOKIE)) if each in _LANGUAGES), _LANGUAGES[0])

    def say(spanish: str, english: str) -> str:
        return english if language == "en" else spanish

    html = _templates.get_template(template).render(
        say=say, language=language, base=request.scope.get("root_path", ""), **context
    )
    response = HTMLResponse(html, headers=_HEADERS)
    if wish in _LANGUAGES:
        response.set_cookie(_COOKIE, wish, max_age=31_536_000, httponly=True, samesite="strict")
    return response
