"""Logging in and out, the first password, the account's own page."""

from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Form, Request, Response

from control_plane.accounts import service
from control_plane.accounts.models import Account
from control_plane.accounts.repository import Accounts
from control_plane.accounts.service import MIN_PASSWORD_CHARS, PasswordTooWeak, TooManyAttempts, WrongCredentials
from control_plane.audit.act import current_act
from control_plane.dependencies import SESSION_COOKIE, AccountDep, AccountsDep, Asker, LoginLimiterDep, SettingsDep
from control_plane.portal.client_form import Form as PageForm
from control_plane.portal.page import FIRST_PASSWORD, LOGIN, portal_router, show
from control_plane.session_text import N_
from control_plane.settings import Settings
from control_plane.web import FORM_COOKIE, check_form, choose_language, redirect, set_cookie, translate

router = portal_router()
Typed = Annotated[str, Form(max_length=1000)]


@router.get("/login")
async def show_login(request: Request, account: AccountDep, next: str = "/admin") -> Response:
    """The log-in form."""
    if account is not None:
        return redirect(request, _safe(next))
    return _login_page(request, "", next)


@router.post("/login", dependencies=[Depends(check_form)])
async def log_in(
    request: Request,
    accounts: AccountsDep,
    limiter: LoginLimiterDep,
    settings: SettingsDep,
    username: Typed = "",
    password: Typed = "",
    next: Typed = "/admin",
) -> Response:
    """Open a session, or say why not."""
    address = request.client.host if request.client else "unknown"
    try:
        token, account = await service.log_in(
            username, password, address=address, accounts=accounts, limiter=limiter, hours=settings.session_hours
        )
    except WrongCredentials:
        await _note_claim(username, accounts)
        text = N_("The user or the password is not right.")
        return _login_page(request, username, next, text, HTTPStatus.UNAUTHORIZED)
    except TooManyAttempts as error:
        await _note_claim(username, accounts)
        text = N_("Too many attempts. Wait a minute and try again.")
        response = _login_page(request, username, next, text, HTTPStatus.TOO_MANY_REQUESTS)
        response.headers.update(error.headers)
        return response
    current_act().known(account)
    response = redirect(request, FIRST_PASSWORD if account.must_change_password else _safe(next))
    return _open(request, response, token, settings)


@router.post("/logout", dependencies=[Depends(check_form)])
async def log_out(request: Request, account: AccountDep, accounts: AccountsDep) -> Response:
    """End the session."""
    if account is not None:
        current_act().known(account)
    await service.log_out(request.cookies.get(SESSION_COOKIE), accounts=accounts)
    response = redirect(request, LOGIN, "logged-out")
    response.delete_cookie(SESSION_COOKIE)
    response.delete_cookie(FORM_COOKIE)
    return response


async def _read_passwords(
    current_password: Typed = "", new_password: Typed = "", repeat_password: Typed = ""
) -> tuple[str, str, str]:
    return current_password, new_password, repeat_password


Passwords = Annotated[tuple[str, str, str], Depends(_read_passwords)]


@router.get("/password")
async def show_first_password(request: Request, account: Asker) -> Response:
    """The form that a one-time password leads to."""
    if not account.must_change_password:
        return redirect(request, "/admin")
    return _password_page(request, account, PageForm())


@router.get("/account")
async def show_account(request: Request, account: Asker) -> Response:
    """The account and the installation."""
    return _password_page(request, account, PageForm())


@router.post("/password", dependencies=[Depends(check_form)])
@router.post("/account", dependencies=[Depends(check_form)])
async def change_password(
    request: Request, account: Asker, accounts: AccountsDep, settings: SettingsDep, passwords: Passwords
) -> Response:
    """Choose the first password of one's own, or another one."""
    (current, new, again), language, form = passwords, choose_language(request), PageForm()
    if new != again:
        form.errors["repeat_password"] = translate(language, N_("The two are not the same."))
        return _password_page(request, account, form)
    try:
        token = await service.change_password(account, current, new, accounts=accounts, hours=settings.session_hours)
    except WrongCredentials:
        form.errors["current_password"] = translate(language, N_("That is not your current password."))
        return _password_page(request, account, form)
    except PasswordTooWeak:
        text = N_("It needs at least %(length)s characters and must differ from the current one.")
        form.errors["new_password"] = translate(language, text, length=MIN_PASSWORD_CHARS)
        return _password_page(request, account, form)
    then = "/admin" if account.must_change_password else "/admin/account"
    return _open(request, redirect(request, then, "password-changed"), token, settings)


async def _note_claim(username: str, accounts: Accounts) -> None:
    """Tell the audit log whose name was given; asked for every name, so that the answer's time says nothing."""
    current_act().claimed(await accounts.get_by_username(username.strip().lower()))


def _open(request: Request, response: Response, token: str, settings: Settings) -> Response:
    set_cookie(request, response, SESSION_COOKIE, token, max_age=settings.session_hours * 3600)
    # Forms of whoever used this browser before do not count any more.
    response.delete_cookie(FORM_COOKIE)
    return response


def _safe(path: str) -> str:
    """Only addresses of the portal: anything else may lead to another site."""
    return path if path == "/admin" or (path.startswith("/admin/") and "\\" not in path) else "/admin"


def _login_page(
    request: Request, username: str, came_for: str, problem: str | None = None, status: int = HTTPStatus.OK
) -> Response:
    text = translate(choose_language(request), problem) if problem else None
    context = {"form": PageForm(values={"username": username}), "problem": text, "next": _safe(came_for)}
    return show(request, "login.html", context, status=status)


def _password_page(request: Request, account: Account, form: PageForm) -> Response:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    template = "password.html" if account.must_change_password else "account.html"
    context = {"account": account, "form": form, "password_length": MIN_PASSWORD_CHARS}
    return show(request, template, context, here="account", status=status)
