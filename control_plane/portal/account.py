"""One's own account: password, address, sessions, second factor."""

import io
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlsplit

import segno
from email_validator import EmailNotValidError, validate_email
from fastapi import Depends, Form, Request, Response
from markupsafe import Markup

from control_plane.accounts import second_factor, service
from control_plane.accounts.models import Account
from control_plane.accounts.repository import Accounts
from control_plane.accounts.second_factor import WrongCode
from control_plane.accounts.service import AddressTaken, PasswordTooWeak, TooManyAttempts, WrongCredentials
from control_plane.dependencies import (
    AccountsDep,
    Asker,
    CipherDep,
    LoginFailuresDep,
    LoginLimiterDep,
    SettingsDep,
    VisitorDep,
    session_cookie,
)
from control_plane.portal.client_form import Form as PageForm
from control_plane.portal.page import open_browser, portal_router, show
from control_plane.portal.people_views import describe_session
from control_plane.security import Cipher, hash_token
from control_plane.session_text import N_
from control_plane.web import check_form, choose_language, redirect, translate

router = portal_router()
Typed = Annotated[str, Form(max_length=1000)]
ACCOUNT = "/admin/account"
_FORM = [Depends(check_form)]


async def _read_passwords(
    current_password: Typed = "", new_password: Typed = "", repeat_password: Typed = ""
) -> tuple[str, str, str]:
    return current_password, new_password, repeat_password


Passwords = Annotated[tuple[str, str, str], Depends(_read_passwords)]


@router.get("/password")
async def show_first_password(request: Request, account: Asker, accounts: AccountsDep) -> Response:
    """The form that a one-time password leads to."""
    if not account.must_change_password:
        return redirect(request, "/admin")
    return await _page(request, account, PageForm(), accounts=accounts)


@router.get("/account")
async def show_account(request: Request, account: Asker, accounts: AccountsDep) -> Response:
    """The account and the installation."""
    return await _page(request, account, PageForm({"email": account.email or ""}), accounts=accounts)


@router.post("/password", dependencies=_FORM)
@router.post("/account", dependencies=_FORM)
async def change_password(
    request: Request,
    account: Asker,
    accounts: AccountsDep,
    limiter: LoginLimiterDep,
    settings: SettingsDep,
    visitor: VisitorDep,
    passwords: Passwords,
) -> Response:
    """Choose the first password of one's own, or another one."""
    (current, new, again), language, form = passwords, choose_language(request), PageForm()
    if new != again:
        form.errors["repeat_password"] = translate(language, N_("The two are not the same."))
        return await _page(request, account, form, accounts=accounts)
    await limiter.count(f"password:{account.id}")
    try:
        token = await service.change_password(
            account, current, new, visitor, accounts=accounts, hours=settings.session_hours
        )
    except WrongCredentials:
        form.errors["current_password"] = translate(language, N_("That is not your current password."))
        return await _page(request, account, form, accounts=accounts)
    except PasswordTooWeak:
        text = N_("It needs at least %(length)s characters and must differ from the current one.")
        form.errors["new_password"] = translate(language, text, length=service.MIN_PASSWORD_CHARS)
        return await _page(request, account, form, accounts=accounts)
    then = "/admin" if account.must_change_password else ACCOUNT
    return open_browser(request, redirect(request, then, "password-changed"), token)


@router.post("/account/email", dependencies=_FORM)
async def change_email(
    request: Request,
    account: Asker,
    accounts: AccountsDep,
    limiter: LoginLimiterDep,
    email: Typed = "",
    email_password: Typed = "",
) -> Response:
    """Change the address that mails go to."""
    language, form = choose_language(request), PageForm({"email": email})
    await limiter.count(f"password:{account.id}")
    try:
        address = validate_email(email.strip(), check_deliverability=False).normalized
        await service.change_email(account, email_password, address, accounts=accounts)
    except EmailNotValidError:
        text = N_("That is not an email address. Example: ana@example.com")
        form.errors["email"] = translate(language, text)
    except AddressTaken:
        form.errors["email"] = translate(language, N_("Somebody else has this email address."))
    except WrongCredentials:
        form.errors["email_password"] = translate(language, N_("That is not your current password."))
    else:
        return redirect(request, ACCOUNT, "email-changed")
    return await _page(request, account, form, accounts=accounts)


@router.post("/account/sessions", dependencies=_FORM)
async def end_sessions(
    request: Request, account: Asker, accounts: AccountsDep, settings: SettingsDep, session: Typed = ""
) -> Response:
    """End one session, or all but this one."""
    if session == "others":
        token = request.cookies.get(session_cookie(settings), "")
        await accounts.delete_sessions(account.id, but=hash_token(token))
    else:
        await service.end_session(account, session, accounts=accounts)
    return redirect(request, ACCOUNT, "sessions-ended")


async def _page(request: Request, account: Account, form: PageForm, *, accounts: Accounts) -> Response:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    context: dict[str, Any] = {"account": account, "form": form, "password_length": service.MIN_PASSWORD_CHARS}
    if account.must_change_password:
        return show(request, "password.html", context, status=status)
    here = hash_token(request.cookies.get(session_cookie(request.app.state.settings), ""))
    sessions = await accounts.list_sessions(account.id, datetime.now(UTC))
    context["sessions"] = [describe_session(session, here) for session in sessions]
    return show(request, "account.html", context, here="account", status=status)


# ------------------------------------------------------------------------------------------------ second factor


@router.get("/account/second-factor")
async def show_second_factor(request: Request, account: Asker, cipher: CipherDep) -> Response:
    """Its QR code while it is not confirmed; how to turn it off when it is on."""
    return _factor_page(request, account, PageForm(), cipher)


@router.post("/account/second-factor", dependencies=_FORM)
async def begin_second_factor(request: Request, account: Asker, accounts: AccountsDep, cipher: CipherDep) -> Response:
    """Make the secret that the QR code shows."""
    if not account.has_second_factor:
        await second_factor.begin(account, accounts=accounts, cipher=cipher)
    return redirect(request, f"{ACCOUNT}/second-factor")


@router.post("/account/second-factor/confirm", dependencies=_FORM)
async def confirm_second_factor(
    request: Request,
    account: Asker,
    accounts: AccountsDep,
    limiter: LoginLimiterDep,
    cipher: CipherDep,
    settings: SettingsDep,
    visitor: VisitorDep,
    code: Typed = "",
) -> Response:
    """Turn it on with the first code; shows the recovery codes, this once."""
    await limiter.count(f"password:{account.id}")
    try:
        codes = await second_factor.confirm(account, code, accounts=accounts, cipher=cipher)
    except WrongCode:
        text = N_("That code is not right. Look at the clock of the phone, and type the code that is shown now.")
        form = PageForm(errors={"code": translate(choose_language(request), text)})
        return _factor_page(request, account, form, cipher)
    token = await service.renew_session(account, visitor, accounts=accounts, hours=settings.session_hours)
    return open_browser(request, _codes_page(request, codes), token, keep_form=True)


@router.post("/account/second-factor/codes", dependencies=_FORM)
async def renew_codes(
    request: Request,
    account: Asker,
    accounts: AccountsDep,
    failures: LoginFailuresDep,
    cipher: CipherDep,
    visitor: VisitorDep,
    password: Typed = "",
    code: Typed = "",
) -> Response:
    """New recovery codes in place of the old ones."""
    form = PageForm()
    try:
        await second_factor.check_both(
            account, password, code, visitor, accounts=accounts, cipher=cipher, failures=failures
        )
    except (WrongCredentials, WrongCode, TooManyAttempts) as error:
        return _refuse_change(request, account, form, error, cipher)
    return _codes_page(request, await second_factor.make_recovery_codes(account, accounts=accounts))


@router.post("/account/second-factor/off", dependencies=_FORM)
async def turn_second_factor_off(
    request: Request,
    account: Asker,
    accounts: AccountsDep,
    failures: LoginFailuresDep,
    cipher: CipherDep,
    settings: SettingsDep,
    visitor: VisitorDep,
    password: Typed = "",
    code: Typed = "",
) -> Response:
    """Ask for no code any more."""
    form = PageForm()
    try:
        await second_factor.check_both(
            account, password, code, visitor, accounts=accounts, cipher=cipher, failures=failures
        )
    except (WrongCredentials, WrongCode, TooManyAttempts) as error:
        return _refuse_change(request, account, form, error, cipher)
    await second_factor.turn_off(account, accounts=accounts)
    token = await service.renew_session(account, visitor, accounts=accounts, hours=settings.session_hours)
    return open_browser(request, redirect(request, ACCOUNT, "second-factor-off"), token)


def _refuse_change(
    request: Request,
    account: Account,
    form: PageForm,
    error: WrongCredentials | WrongCode | TooManyAttempts,
    cipher: Cipher,
) -> Response:
    language = choose_language(request)
    if isinstance(error, WrongCredentials):
        form.errors["password"] = translate(language, N_("That is not your current password."))
    elif isinstance(error, WrongCode):
        text = N_("That code is not right, or it was used before. Wait for the next one.")
        form.errors["code"] = translate(language, text)
    else:
        form.errors["password"] = translate(language, error.detail)
    return _factor_page(request, account, form, cipher)


def _codes_page(request: Request, codes: list[str]) -> Response:
    return show(request, "recovery_codes.html", {"codes": codes}, here="account")


def _factor_page(request: Request, account: Account, form: PageForm, cipher: Cipher) -> Response:
    secret = None if account.has_second_factor else second_factor.read_pending(account, cipher=cipher)
    picture = None
    if secret:
        host = urlsplit(request.app.state.settings.base_url).hostname or "localhost"
        picture = _draw(second_factor.make_address(secret, account, host))
    context = {
        "account": account,
        "form": form,
        "picture": picture,
        "secret": " ".join(secret[start : start + 4] for start in range(0, len(secret), 4)) if secret else None,
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    return show(request, "second_factor.html", context, here="account", status=status)


def _draw(text: str) -> Markup:
    stream = io.BytesIO()
    segno.make(text, micro=False).save(
        stream, kind="svg", scale=5, border=4, xmldecl=False, svgns=False, light="#fff", dark="#000"
    )
    return Markup(stream.getvalue().decode())  # noqa: S704 - drawn by us: no text of anybody's in it
