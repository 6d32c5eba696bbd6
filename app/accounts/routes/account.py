"""One's own account: name, password, sessions, tokens for scripts, and projects."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from sqlalchemy.orm import Session

from app.accounts.devices import describe_device
from app.accounts.forms import ApiTokenForm, LanguagesForm, PasswordForm, ProfileForm
from app.accounts.languages import LANGUAGES, names_of
from app.accounts.passwords import is_password
from app.accounts.queries import api_tokens_of, memberships_of, sessions_of
from app.accounts.service import (
    change_person,
    end_login,
    end_other_logins,
    set_languages,
    set_password,
)
from app.accounts.sign_in import forgive, note_attempt
from app.accounts.tokens import create_api_token, revoke_api_token
from app.db import session_scope
from app.errors import Conflict, DomainError, Forbidden, Invalid, TooMany
from app.web.dependencies import SessionDep
from app.web.login import Login, LoginDep, address_of
from app.web.redirects import redirect
from app.web.templating import render

router = APIRouter()


def _page(
    request: Request,
    session: Session,
    login: Login,
    refusal: DomainError | None = None,
    **typed: Any,
) -> Response:
    person = login.person
    context = {
        "profile": ProfileForm(name=person.name, email=person.email),
        "languages": names_of(person.languages),
        "known_languages": names_of(LANGUAGES),
        "token": ApiTokenForm(days="90"),
        "secret": "",
        "errors": {refusal.field or "name": refusal.message} if refusal else {},
        "sessions": sessions_of(session, person.id),
        "session_id": login.session_id,
        "describe_device": describe_device,
        "tokens": api_tokens_of(session, person.id),
        "places": memberships_of(session, person.id),
        **typed,
    }
    status = refusal.status if refusal else 200
    return render(request, "accounts/account.html", context, status=status)


@router.get("/account", include_in_schema=False)
def account(request: Request, session: SessionDep, login: LoginDep) -> Response:
    return _page(request, session, login)


@router.post("/account", include_in_schema=False)
def change_profile(
    request: Request, session: SessionDep, login: LoginDep, form: Annotated[ProfileForm, Form()]
) -> Response:
    try:
        change_person(session, login.person, name=form.name, email=form.email)
    except (Invalid, Conflict) as refusal:
        return _page(request, session, login, refusal, profile=form)
    return redirect("/account", notice="Your name and e-mail address are saved.")


@router.post("/account/languages", include_in_schema=False)
def change_languages(
    request: Request, session: SessionDep, login: LoginDep, form: Annotated[LanguagesForm, Form()]
) -> Response:
    try:
        set_languages(session, login.person, form.languages)
    except Invalid as refusal:
        return _page(request, session, login, refusal, languages=form.languages)
    return redirect("/account", notice="Your languages are saved.")


@router.post("/account/password", include_in_schema=False)
def change_password(
    request: Request, session: SessionDep, login: LoginDep, form: Annotated[PasswordForm, Form()]
) -> Response:
    person, address = login.person, address_of(request)
    try:
        if person.password_hash is not None:
            with session_scope() as early:
                note_attempt(early, email=person.email, address=address)
            if not is_password(person.password_hash, form.current_password):
                raise Forbidden("This is not your current password.", field="current_password")
            forgive(session, person.email, address)
        set_password(session, person, form.password)
    except (Invalid, Forbidden, TooMany) as refusal:
        return _page(request, session, login, refusal)
    end_other_logins(session, person, keep=login.session_id)
    return redirect("/account", notice="Your password is saved. Other sessions are signed out.")


@router.post("/account/sessions/end-others", include_in_schema=False)
def end_others(session: SessionDep, login: LoginDep) -> Response:
    end_other_logins(session, login.person, keep=login.session_id)
    return redirect("/account#sessions", notice="Every other session is signed out.")


@router.post("/account/sessions/{session_id}/end", include_in_schema=False)
def end_one(session: SessionDep, login: LoginDep, session_id: uuid.UUID) -> Response:
    end_login(session, login.person, session_id)
    return redirect("/account#sessions", notice="That session is signed out.")


@router.post("/account/tokens", include_in_schema=False)
def make_token(
    request: Request, session: SessionDep, login: LoginDep, form: Annotated[ApiTokenForm, Form()]
) -> Response:
    """Answers with the page itself: the secret is in no URL and is shown this once."""
    try:
        _, secret = create_api_token(
            session,
            login.person,
            name=form.token_name,
            days=form.whole_days(),
            is_read_only=form.is_read_only,
        )
    except Invalid as refusal:
        if refusal.field == "name":
            refusal.field = "token_name"
        return _page(request, session, login, refusal, token=form)
    return _page(request, session, login, secret=secret)


@router.post("/account/tokens/{token_id}/revoke", include_in_schema=False)
def revoke(session: SessionDep, login: LoginDep, token_id: uuid.UUID) -> Response:
    token = revoke_api_token(session, login.person, token_id)
    return redirect("/account#tokens", notice=f"The token “{token.name}” is revoked.")
