"""Who is signed in: a server-side session in a cookie, or a bearer token on the JSON API.

Only hashes of tokens are stored. Sessions end after 14 idle days or 60 days in all.
"""

import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Annotated

from fastapi import BackgroundTasks, Depends, Request, Response
from sqlalchemy import delete, inspect, select, update
from sqlalchemy.orm import Session

from app.db import session_scope
from app.errors import Forbidden, Unauthenticated
from app.settings import get_settings
from app.tables.accounts import ApiToken, LoginSession, Person, hash_token
from app.tables.base import utc_now
from app.web.dependencies import SessionDep

IDLE = timedelta(days=14)
ABSOLUTE = timedelta(days=60)
TOUCH_EVERY = timedelta(minutes=5)


@dataclass(frozen=True)
class Login:
    """The person behind a request. `session_id` is None where a bearer token was used."""

    person: Person
    session_id: uuid.UUID | None
    csrf_token: str
    is_read_only: bool = False


def cookie_name() -> str:
    """`__Host-` binds the cookie to this host over TLS; plain loopback has no TLS to bind to."""
    return "__Host-session" if get_settings().is_https else "session"


def address_of(request: Request) -> str:
    return request.client.host if request.client else ""


def start_session(session: Session, request: Request, response: Response, person: Person) -> None:
    """Sign `person` in with a fresh session id, ending the one that the browser had before."""
    end_session(session, request, response)
    token = secrets.token_urlsafe(32)
    session.add(
        LoginSession(
            token_hash=hash_token(token),
            person_id=person.id,
            csrf_token=secrets.token_urlsafe(24),
            user_agent=request.headers.get("user-agent", "")[:300],
            address=address_of(request),
            expires_at=utc_now() + ABSOLUTE,
        )
    )
    session.flush()
    response.set_cookie(
        cookie_name(),
        token,
        max_age=int(ABSOLUTE.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=get_settings().is_https,
        path="/",
    )


def end_session(session: Session, request: Request, response: Response) -> None:
    token = request.cookies.get(cookie_name())
    if token:
        session.execute(delete(LoginSession).where(LoginSession.token_hash == hash_token(token)))
    response.delete_cookie(
        cookie_name(), path="/", secure=get_settings().is_https, httponly=True, samesite="lax"
    )


def _from_cookie(session: Session, token: str, now: datetime) -> tuple[Login, bool] | None:
    """The login, and whether it is time to note that it was used."""
    row = session.execute(
        select(LoginSession, Person)
        .join(Person, Person.id == LoginSession.person_id)
        .where(LoginSession.token_hash == hash_token(token), Person.is_active)
    ).one_or_none()
    if row is None:
        return None
    login, person = row
    if login.expires_at < now or login.last_seen_at < now - IDLE:
        return None
    is_due = login.last_seen_at < now - TOUCH_EVERY
    return Login(person, login.id, login.csrf_token), is_due


def _from_bearer(session: Session, token: str, now: datetime) -> tuple[Login, bool] | None:
    row = session.execute(
        select(ApiToken, Person)
        .join(Person, Person.id == ApiToken.person_id)
        .where(
            ApiToken.token_hash == hash_token(token),
            ApiToken.revoked_at.is_(None),
            ApiToken.expires_at > now,
            Person.is_active,
        )
    ).one_or_none()
    if row is None:
        return None
    api_token, person = row
    is_due = api_token.last_used_at is None or api_token.last_used_at < now - TOUCH_EVERY
    return Login(person, None, "", is_read_only="read" in api_token.scopes), is_due


def note_session(token: str, now: datetime) -> None:
    row = LoginSession.token_hash == hash_token(token)
    with session_scope() as session:
        session.execute(update(LoginSession).where(row).values(last_seen_at=now))


def _note_token(token: str, now: datetime) -> None:
    row = ApiToken.token_hash == hash_token(token)
    with session_scope() as session:
        session.execute(update(ApiToken).where(row).values(last_used_at=now))


def _visitor(person: Person) -> SimpleNamespace:
    """The person's columns for templates: a rollback cannot take them from an error page."""
    return SimpleNamespace(**{c.key: getattr(person, c.key) for c in inspect(Person).columns})


def find_login(request: Request, session: SessionDep, after: BackgroundTasks) -> Login | None:
    """The login of this request, or None; remembered on the request for templates and handlers.

    Its use is noted after the response, in a transaction of its own: a request that takes minutes
    would hold the row for as long, and all others of the same login would wait for it.
    """
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    now = utc_now()
    found = None
    if scheme.lower() == "bearer" and request.url.path.startswith("/api/"):
        token, note = credentials.strip(), _note_token
        found = _from_bearer(session, token, now)
        if found is None:
            raise Unauthenticated("This API token is unknown, expired or revoked.")
        if found[0].is_read_only and request.method not in ("GET", "HEAD", "OPTIONS"):
            raise Forbidden("This API token may read only. Make one that may write.")
    elif token := request.cookies.get(cookie_name(), ""):
        note = note_session
        found = _from_cookie(session, token, now)
    login, is_due = found or (None, False)
    if is_due:
        after.add_task(note, token, now)
    request.state.login = login
    request.state.visitor = _visitor(login.person) if login else None
    return login


OptionalLogin = Annotated[Login | None, Depends(find_login)]


def require_login(login: OptionalLogin) -> Login:
    if login is None:
        raise Unauthenticated("Please sign in to see this page.")
    return login


LoginDep = Annotated[Login, Depends(require_login)]
