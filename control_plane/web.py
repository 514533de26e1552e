"""Pages and mails: templates, languages, dates, flash messages and the token of forms."""

import hmac
import re
import secrets
from datetime import UTC, datetime
from functools import lru_cache, partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlencode

import jinja2
from babel import Locale, dates
from babel.numbers import format_decimal
from babel.support import Translations
from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from control_plane.settings import REPOSITORY, Settings

Language = Literal["es", "en"]

LANGUAGES: dict[Language, str] = {"es": "Español", "en": "English"}
TEMPLATES = REPOSITORY / "templates"
LOCALES = Path(__file__).parent / "locales"
PRODUCT = "Flame Assistant"

LANGUAGE_COOKIE = "flame_language"
FLASH_COOKIE = "flame_flash"
FORM_COOKIE = "flame_form"
FORM_FIELD = "form_token"
YEAR_S = 365 * 24 * 3600


class TextsNotCompiled(Exception):
    """The message catalogs were not compiled: run `scripts/setup`."""


class FormTokenWrong(Exception):
    """A form came without the token that this browser was given, or from another site."""


# ------------------------------------------------------------------------------------------------ languages


@lru_cache
def _translations(language: Language) -> Translations:
    translations = Translations.load(LOCALES, [language])
    if not isinstance(translations, Translations):
        raise TextsNotCompiled(f"no compiled texts for {language!r} in {LOCALES}: run scripts/setup")
    return translations


def translate(language: Language, message: str, **values: object) -> str:
    """The message in that language, with its `%(name)s` filled in.

    A text that the catalog does not know, such as another program's words, comes back as it is.
    """
    text: str = _translations(language).ugettext(message)
    return text % values if values else text


def choose_language(request: Request, default: Language | None = None) -> Language:
    """The language for this request.

    `?lang=` wins, then the choice kept in a cookie, then `default`, then the browser's languages; Spanish in the end.
    """
    for wanted in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE), default):
        if wanted in LANGUAGES:
            return wanted
    weighted: list[tuple[float, Language]] = []
    for part in request.headers.get("accept-language", "").split(","):
        tag, _, quality = part.strip().partition(";q=")
        if (primary := tag.split("-")[0].lower()) in LANGUAGES:
            weight = float(quality) if re.fullmatch(r"[01](\.\d{1,3})?", quality) else 1.0
            weighted.append((weight, primary))
    return max(weighted, key=lambda item: item[0])[1] if weighted else "es"


def _language_links(request: Request) -> dict[Language, str]:
    # Without the path, which is whatever somebody typed: the link of `//elsewhere/` would lead there.
    query = {name: value for name, value in request.query_params.items() if name != "lang"}
    return {language: f"?{urlencode({**query, 'lang': language})}" for language in LANGUAGES}


# ------------------------------------------------------------------------------------------------ templates


def say_moment(value: datetime, language: Language) -> str:
    """The moment in UTC, in words."""
    return dates.format_datetime(value.astimezone(UTC), "d MMM y, HH:mm", locale=language) + " UTC"


def moment(value: datetime, language: Language, style: Literal["datetime", "date", "time"] = "datetime") -> Markup:
    """A `<time>` with the moment in UTC; the page's script turns it into the reader's own time zone."""
    value = value.astimezone(UTC)
    if style == "date":
        text = dates.format_date(value, "medium", language)
    elif style == "time":
        text = dates.format_time(value, "short", locale=language) + " UTC"
    else:
        text = say_moment(value, language)
    return Markup('<time datetime="{}" data-style="{}">{}</time>').format(value.isoformat(), style, text)


def _moment(language: Language, value: datetime, style: Literal["datetime", "date", "time"] = "datetime") -> Markup:
    return moment(value, language, style)


def ago(value: datetime, language: Language, now: datetime | None = None) -> Markup:
    """A `<time>` that says how long ago (or how far ahead) the moment is, in words."""
    distance = value - (now or datetime.now(UTC))
    text = dates.format_timedelta(distance, add_direction=True, threshold=0.95, locale=language)
    return Markup('<time datetime="{}" data-ago>{}</time>').format(value.astimezone(UTC).isoformat(), text)


def _size(language: Language, value: int) -> str:
    """A number of bytes as a person says it."""
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= length:
            return f"{format_decimal(value / length, format='#,##0.#', locale=language)} {unit}"
    return f"{value} B"


def _duration(seconds: float) -> str:
    """As players write it: `1:05`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def mask_phone(digits: str) -> str:
    """A number that only its owner recognizes: `••• ••• 4821`."""
    return f"••• ••• {digits[-4:]}"


def _mask_phone(digits: str) -> Markup:
    return Markup('<span class="text-nowrap">{}</span>').format(mask_phone(digits))


@lru_cache
def template_environment(language: Language) -> jinja2.Environment:
    """The templates with their texts in one language: escaping on, an undefined name is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(disabled_extensions=("txt",), default=True, default_for_string=True),
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_translations(_translations(language), newstyle=True)  # type: ignore[attr-defined]
    locale = Locale.parse(language)
    environment.filters |= {
        "moment": partial(_moment, language),
        "ago": partial(ago, language=language),
        "number": partial(format_decimal, locale=locale),
        "size": partial(_size, language),
        "duration": _duration,
        "mask_phone": _mask_phone,
        "known": partial(translate, language),
    }
    environment.globals |= {
        "language": language,
        "languages": LANGUAGES,
        "product": PRODUCT,
        "form_field": FORM_FIELD,
        "asset": _asset,
    }
    return environment


@lru_cache
def _asset(path: str) -> str:
    """Address of a static file; changes with the file, so that browsers may keep it."""
    file = REPOSITORY / "static" / path
    version = format(int(file.stat().st_mtime), "x") if file.exists() else "0"
    return f"/static/{path}?v={version}"


def render_fragment(
    request: Request, template: str, context: dict[str, Any] | None = None, *, language: Language | None = None
) -> str:
    """A part of a page as text: for live updates, which can carry no cookies."""
    language = language or choose_language(request)
    names: dict[str, Any] = {
        "settings": _settings(request),
        "form_token": request.cookies.get(FORM_COOKIE, ""),
        **(context or {}),
    }
    return template_environment(language).get_template(template).render(names)


def render_page(
    request: Request,
    template: str,
    context: dict[str, Any] | None = None,
    status: int = HTTPStatus.OK,
    *,
    language: Language | None = None,
) -> HTMLResponse:
    """A whole page in the reader's language, with the form token and the pending flash message.

    Args:
        language: the language when the reader has not chosen one; None asks the browser.
    """
    chosen = choose_language(request, language)
    token = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(24)
    names: dict[str, Any] = {
        "settings": _settings(request),
        "form_token": token,
        "flash_code": request.cookies.get(FLASH_COOKIE),
        "language_links": _language_links(request),
        "path": request.url.path,
        **(context or {}),
    }
    html = template_environment(chosen).get_template(template).render(names)
    response = HTMLResponse(html, status, {"Cache-Control": "no-store", "Content-Language": chosen})
    if FORM_COOKIE not in request.cookies:
        set_cookie(request, response, FORM_COOKIE, token)
    if FLASH_COOKIE in request.cookies:
        response.delete_cookie(FLASH_COOKIE)
    if request.query_params.get("lang") in LANGUAGES:
        set_cookie(request, response, LANGUAGE_COOKIE, chosen, max_age=YEAR_S)
    return response


def render_error(request: Request, status: int, title: str, detail: str) -> HTMLResponse:
    """The page of an error; `title` and `detail` are shown translated where the catalog knows them."""
    return render_page(request, "error.html", {"status": status, "title": title, "detail": detail}, status)


def render_email(name: str, language: Language, context: dict[str, Any]) -> tuple[str, str, str]:
    """The mail `templates/email/<name>` in that language.

    Returns:
        Subject, plain text and HTML.
    """
    environment = template_environment(language)
    text = environment.get_template(f"email/{name}.txt").render(context)
    # The text's first line is the subject: a translator sees both together.
    subject, _, body = text.strip().partition("\n")
    html = environment.get_template(f"email/{name}.html").render({"subject": subject.strip(), **context})
    return subject.strip(), body.strip() + "\n", html


def _settings(request: Request) -> Settings:
    return cast(Settings, request.app.state.settings)


# ------------------------------------------------------------------------------------------------ forms


def redirect(request: Request, path: str, flash: str | None = None) -> RedirectResponse:
    """Send the browser on after a form; `flash` is the code of the message that the next page shows."""
    response = RedirectResponse(path, HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})
    if flash is not None:
        set_cookie(request, response, FLASH_COOKIE, flash, max_age=60)
    return response


async def check_form(request: Request) -> None:
    """Dependency of every route that a form posts to.

    Raises:
        FormTokenWrong: another site sent the form, or its token is not this browser's.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise FormTokenWrong
    given = (await request.form()).get(FORM_FIELD)
    expected = request.cookies.get(FORM_COOKIE, "")
    if not expected or not isinstance(given, str) or not hmac.compare_digest(given.encode(), expected.encode()):
        raise FormTokenWrong


def set_cookie(request: Request, response: Response, name: str, value: str, max_age: int | None = None) -> None:
    """Set a cookie that scripts cannot read; None lasts as long as the browser's session."""
    secure = _settings(request).cookies_are_secure
    response.set_cookie(name, value, max_age=max_age, httponly=True, samesite="lax", secure=secure)
