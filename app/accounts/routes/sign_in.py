"""Signing in by password or by a one-time link, and out again."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from sqlalchemy.orm import Session

from app.accounts.audit import record_event
from app.accounts.forms import SignInForm, WelcomeForm
from app.accounts.links import find_link, use_link
from app.accounts.queries import has_owner_with_password
from app.accounts.service import change_person, end_other_logins, set_password
from app.accounts.sign_in import check_sign_in, note_attempt
from app.db import session_scope
from app.errors import Conflict, DomainError, Invalid, TooMany
from app.tables.accounts import LinkPurpose, OneTimeLink, Person
from app.web.dependencies import SessionDep
from app.web.login import OptionalLogin, address_of, end_session, start_session
from app.web.redirects import is_local, redirect
from app.web.templating import render

router = APIRouter()

WRONG = "No one here has this e-mail address and this password. Check both and try again."


def _sign_in_page(
    request: Request, session: Session, form: SignInForm, error: str = "", status: int = 200
) -> Response:
    context = {
        "email": form.email,
        "next": form.next if is_local(form.next) else "/",
        "error": error,
        "is_new": not has_owner_with_password(session),
    }
    return render(request, "accounts/sign_in.html", context, status=status)


@router.get("/sign-in", include_in_schema=False)
def sign_in_page(
    request: Request, session: SessionDep, login: OptionalLogin, next: str = "/"
) -> Response:
    if login is not None:
        return redirect(next if is_local(next) else "/")
    return _sign_in_page(request, session, SignInForm(next=next[:2000]))


@router.post("/sign-in", include_in_schema=False)
def sign_in(request: Request, session: SessionDep, form: Annotated[SignInForm, Form()]) -> Response:
    address = address_of(request)
    try:
        # In a transaction of its own: the count must hold while the password is looked at.
        with session_scope() as early:
            note_attempt(early, email=form.email, address=address)
        person = check_sign_in(session, email=form.email, password=form.password, address=address)
    except TooMany as refusal:
        return _sign_in_page(request, session, form, refusal.message, refusal.status)
    if person is None:
        return _sign_in_page(request, session, form, WRONG, 401)
    response = redirect(form.next if is_local(form.next) else "/")
    start_session(session, request, response, person)
    return response


@router.post("/sign-out", include_in_schema=False)
def sign_out(request: Request, session: SessionDep, login: OptionalLogin) -> Response:
    if login is not None:
        record_event(
            session,
            "sign_out",
            actor_id=login.person.id,
            subject=login.person.email,
            address=address_of(request),
        )
    response = redirect("/sign-in", notice="You are signed out.")
    end_session(session, request, response)
    return response


def _welcome_page(
    request: Request,
    link: OneTimeLink,
    person: Person,
    form: WelcomeForm | None = None,
    refusal: DomainError | None = None,
) -> Response:
    context = {
        "purpose": link.purpose.value,
        "until": link.expires_at,
        "someone": person,
        "form": form or WelcomeForm(name=person.name, email=person.email),
        "errors": {refusal.field or "password": refusal.message} if refusal else {},
    }
    return render(
        request, "accounts/welcome.html", context, status=refusal.status if refusal else 200
    )


@router.get("/welcome/{secret}", include_in_schema=False)
def welcome_page(request: Request, session: SessionDep, secret: str) -> Response:
    """Spends nothing: mail programs and chats open links to show a preview of them."""
    link, person = find_link(session, secret)
    return _welcome_page(request, link, person)


@router.post("/welcome/{secret}", include_in_schema=False)
def welcome(
    request: Request,
    session: SessionDep,
    secret: str,
    form: Annotated[WelcomeForm, Form()],
) -> Response:
    link, person = find_link(session, secret)
    try:
        with session.begin_nested():
            _take_choices(session, link, person, form)
            use_link(session, link, person, address=address_of(request))
    except (Invalid, Conflict) as refusal:
        return _welcome_page(request, link, person, form, refusal)
    response = redirect("/", notice=f"Welcome, {person.name}.")
    start_session(session, request, response, person)
    return response


def _take_choices(session: Session, link: OneTimeLink, person: Person, form: WelcomeForm) -> None:
    email = person.email
    if link.purpose is LinkPurpose.SET_UP and form.email is not None:
        email = form.email
    if form.name.strip() or email != person.email:
        change_person(session, person, name=form.name or person.name, email=email)
    if form.password:
        set_password(session, person, form.password)
        # Whoever knew the old password is out.
        end_other_logins(session, person, keep=None)
    elif link.purpose is LinkPurpose.INVITATION and person.password_hash is None:
        raise Invalid("Choose a password, so that you can come back.", field="password")
