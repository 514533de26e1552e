"""The doors of the portal: log-in, the second factor's code, a forgotten password, an invitation."""

from http import HTTPStatus
from typing import Annotated

from fastapi import BackgroundTasks, Depends, Form, Query, Request, Response

from control_plane.accounts import people, second_factor, service
from control_plane.accounts.models import Account, TokenKind
from control_plane.accounts.people import NameTaken
from control_plane.accounts.second_factor import WrongCode
from control_plane.accounts.service import (
    MIN_PASSWORD_CHARS,
    PasswordTooWeak,
    TooManyAttempts,
    Visitor,
    WrongCredentials,
)
from control_plane.audit.act import current_act
from control_plane.audit.actions import PASSWORD_ACCEPTED
from control_plane.dependencies import (
    AccountDep,
    AccountsDep,
    CipherDep,
    LoginFailuresDep,
    LoginLimiterDep,
    MailsDep,
    SettingsDep,
    VisitorDep,
    session_cookie,
)
from control_plane.mail import service as mail_service
from control_plane.portal.client_form import Form as PageForm
from control_plane.portal.page import FIRST_PASSWORD, LOGIN, forget_browser, open_browser, portal_router, show
from control_plane.session_text import N_
from control_plane.web import check_form, choose_language, redirect, set_cookie, translate

router = portal_router()
Typed = Annotated[str, Form(max_length=1000)]
LinkToken = Annotated[str, Query(max_length=200)]
CHALLENGE_COOKIE = "flame_challenge"
_FORM = [Depends(check_form)]


@router.get("/login")
async def show_login(request: Request, account: AccountDep, next: str = "/admin") -> Response:
    """The log-in form."""
    if account is not None:
        return redirect(request, _safe(next))
    return _login_page(request, "", next)


@router.post("/login", dependencies=_FORM)
async def log_in(
    request: Request,
    accounts: AccountsDep,
    failures: LoginFailuresDep,
    limiter: LoginLimiterDep,
    settings: SettingsDep,
    visitor: VisitorDep,
    username: Typed = "",
    password: Typed = "",
    next: Typed = "/admin",
) -> Response:
    """Open a session, or ask for the code of the second factor, or say why not."""
    try:
        account = await service.check_password(
            username, password, visitor, accounts=accounts, failures=failures, limiter=limiter
        )
    except WrongCredentials:
        text = N_("The user or the password is not right.")
        return _login_page(request, username, next, text, HTTPStatus.UNAUTHORIZED)
    except TooManyAttempts as error:
        return _refuse_for_now(_login_page(request, username, next, wait=error, status=error.status), error)
    if account.has_second_factor:
        current_act().action = PASSWORD_ACCEPTED
        response = redirect(request, f"{LOGIN}/code?next={_safe(next)}")
        token = await second_factor.ask_for_code(account, accounts=accounts)
        set_cookie(request, response, CHALLENGE_COOKIE, token, max_age=300)
        return response
    return await _enter(request, account, visitor, next, accounts=accounts, hours=settings.session_hours)


@router.get("/login/code")
async def show_code_form(request: Request, accounts: AccountsDep, next: str = "/admin") -> Response:
    """The form for the code of the second factor."""
    if await second_factor.find_challenge(request.cookies.get(CHALLENGE_COOKIE), accounts=accounts) is None:
        return redirect(request, LOGIN, "session-over")
    return _code_page(request, next)


@router.post("/login/code", dependencies=_FORM)
async def check_code(
    request: Request,
    accounts: AccountsDep,
    failures: LoginFailuresDep,
    cipher: CipherDep,
    settings: SettingsDep,
    visitor: VisitorDep,
    code: Typed = "",
    next: Typed = "/admin",
) -> Response:
    """Open a session when the code is right."""
    account = await second_factor.find_challenge(request.cookies.get(CHALLENGE_COOKIE), accounts=accounts)
    if account is None:
        return redirect(request, LOGIN, "session-over")
    try:
        await second_factor.pass_code(account, code, visitor, accounts=accounts, cipher=cipher, failures=failures)
    except WrongCode:
        text = N_("That code is not right, or it was used before. Wait for the next one.")
        return _code_page(request, next, text, status=HTTPStatus.UNAUTHORIZED)
    except TooManyAttempts as error:
        return _refuse_for_now(_code_page(request, next, wait=error, status=error.status), error)
    await accounts.delete_tokens(account.id)
    return await _enter(request, account, visitor, next, accounts=accounts, hours=settings.session_hours)


@router.post("/logout", dependencies=_FORM)
async def log_out(request: Request, account: AccountDep, accounts: AccountsDep, settings: SettingsDep) -> Response:
    """End the session."""
    if account is not None:
        current_act().known(account)
    await service.log_out(request.cookies.get(session_cookie(settings)), accounts=accounts)
    return forget_browser(request, redirect(request, LOGIN, "logged-out"))


# ------------------------------------------------------------------------------------------------ links of mails


@router.get("/forgot")
async def show_forgot(request: Request) -> Response:
    """The form that asks for the address."""
    return show(request, "forgot.html", {"form": PageForm(), "is_asked": False})


@router.post("/forgot", dependencies=_FORM)
async def ask_for_reset(
    request: Request,
    background: BackgroundTasks,
    accounts: AccountsDep,
    mails: MailsDep,
    limiter: LoginLimiterDep,
    visitor: VisitorDep,
    email: Typed = "",
) -> Response:
    """Have the mail sent; the answer, and the time it takes, are the same whether or not the address is somebody's."""
    await limiter.count(f"forgot:{visitor.network}")
    background.add_task(mail_service.tell_how_to_reset, email, mails=mails, accounts=accounts)
    return show(request, "forgot.html", {"form": PageForm(), "is_asked": True})


@router.get("/reset")
async def show_reset(request: Request, accounts: AccountsDep, token: LinkToken = "") -> Response:
    """The form for a new password."""
    account = await people.find_link(token, TokenKind.RESET, accounts=accounts)
    return _choice_page(request, account, PageForm())


@router.post("/reset", dependencies=_FORM)
async def reset_password(
    request: Request,
    accounts: AccountsDep,
    token: LinkToken = "",
    new_password: Typed = "",
    repeat_password: Typed = "",
) -> Response:
    """Set the new password; every session ends, and the person logs in with it."""
    account = await people.find_link(token, TokenKind.RESET, accounts=accounts)
    form = PageForm()
    if _check_repeated(request, form, new_password, repeat_password):
        try:
            await people.reset_password(token, new_password, accounts=accounts)
        except PasswordTooWeak:
            _blame_password(request, form)
        else:
            return forget_browser(request, redirect(request, LOGIN, "password-reset"))
    return _choice_page(request, account, form)


@router.get("/welcome")
async def show_invitation(request: Request, accounts: AccountsDep, token: LinkToken = "") -> Response:
    """The form in which an invited person chooses a name and a password."""
    account = await people.find_link(token, TokenKind.INVITATION, accounts=accounts)
    return _choice_page(request, account, PageForm({"username": _propose(account)}))


@router.post("/welcome", dependencies=_FORM)
async def accept_invitation(
    request: Request,
    accounts: AccountsDep,
    settings: SettingsDep,
    visitor: VisitorDep,
    token: LinkToken = "",
    username: Typed = "",
    new_password: Typed = "",
    repeat_password: Typed = "",
) -> Response:
    """Let the invited person in."""
    invited = await people.find_link(token, TokenKind.INVITATION, accounts=accounts)
    name, language = username.strip().lower(), choose_language(request, invited.language)
    form = PageForm({"username": name})
    if not people.is_username(name):
        text = N_("2 to 40 letters from a to z, digits, dots, hyphens or underscores.")
        form.errors["username"] = translate(language, text)
    if _check_repeated(request, form, new_password, repeat_password) and not form.errors:
        try:
            account = await people.accept_invitation(token, name, new_password, accounts=accounts)
        except NameTaken:
            form.errors["username"] = translate(language, N_("Somebody else has this user name: choose another."))
        except PasswordTooWeak:
            _blame_password(request, form)
        else:
            return await _enter(request, account, visitor, "/admin", accounts=accounts, hours=settings.session_hours)
    return _choice_page(request, invited, form)


def _check_repeated(request: Request, form: PageForm, new: str, again: str) -> bool:
    if new != again:
        form.errors["repeat_password"] = translate(choose_language(request), N_("The two are not the same."))
    return new == again


def _blame_password(request: Request, form: PageForm) -> None:
    text = N_("It needs at least %(length)s characters.")
    form.errors["new_password"] = translate(choose_language(request), text, length=MIN_PASSWORD_CHARS)


def _propose(account: Account) -> str:
    name = (account.email or "").partition("@")[0]
    return name if people.is_username(name) else ""


# ------------------------------------------------------------------------------------------------ pages


async def _enter(
    request: Request, account: Account, visitor: Visitor, came_for: str, *, accounts: AccountsDep, hours: int
) -> Response:
    # Whatever session this browser came with ends: nobody may have put it there.
    await service.log_out(request.cookies.get(session_cookie(request.app.state.settings)), accounts=accounts)
    token = await service.open_session(account, visitor, accounts=accounts, hours=hours)
    response = redirect(request, FIRST_PASSWORD if account.must_change_password else _safe(came_for))
    response.delete_cookie(CHALLENGE_COOKIE)
    return open_browser(request, response, token)


def _safe(path: str) -> str:
    """Only addresses of the portal: anything else may lead to another site."""
    return path if path == "/admin" or (path.startswith("/admin/") and "\\" not in path) else "/admin"


def _refuse_for_now(response: Response, error: TooManyAttempts) -> Response:
    response.headers.update(error.headers)
    return response


def _login_page(
    request: Request,
    username: str,
    came_for: str,
    problem: str | None = None,
    status: int = HTTPStatus.OK,
    *,
    wait: TooManyAttempts | None = None,
) -> Response:
    context = {**_words(request, problem, wait), "form": PageForm({"username": username}), "next": _safe(came_for)}
    return show(request, "login.html", context, status=status)


def _code_page(
    request: Request,
    came_for: str,
    problem: str | None = None,
    status: int = HTTPStatus.OK,
    *,
    wait: TooManyAttempts | None = None,
) -> Response:
    context = {**_words(request, problem, wait), "form": PageForm(), "next": _safe(came_for)}
    return show(request, "login_code.html", context, status=status)


def _words(request: Request, problem: str | None, wait: TooManyAttempts | None) -> dict[str, object]:
    minutes = -(-int(wait.headers.get("Retry-After", "60")) // 60) if wait else 0
    text = translate(choose_language(request), problem) if problem else None
    return {"problem": text, "wait_minutes": minutes}


def _choice_page(request: Request, account: Account, form: PageForm) -> Response:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    context = {"account": account, "form": form, "password_length": MIN_PASSWORD_CHARS}
    return show(request, "welcome.html", context, status=status, language=account.language)
