"""Secrets that are shown once and stored as a hash: one-time links and API tokens."""

import secrets
import uuid
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.audit import record_event
from app.errors import Invalid, NotFound
from app.tables.accounts import ApiToken, Person, hash_token
from app.tables.base import utc_now

READ_ONLY = "read"
MOST_DAYS = 366


def new_secret() -> str:
    return secrets.token_urlsafe(32)


def create_api_token(
    session: Session, person: Person, *, name: str, days: int, is_read_only: bool = False
) -> tuple[ApiToken, str]:
    """A token for scripts, and the secret that is shown once. Raises Invalid."""
    name = name.strip()
    if not 1 <= len(name) <= 80:
        raise Invalid("Say in 1 to 80 characters what the token is for.", field="name")
    if not 1 <= days <= MOST_DAYS:
        raise Invalid(f"A token lives for 1 to {MOST_DAYS} days.", field="days")
    secret = f"plf_{new_secret()}"
    token = ApiToken(
        person_id=person.id,
        name=name,
        prefix=secret[:9],
        token_hash=hash_token(secret),
        scopes=[READ_ONLY] if is_read_only else [],
        expires_at=utc_now() + timedelta(days=days),
    )
    session.add(token)
    session.flush()
    record_event(
        session, "api_token.created", actor_id=person.id, subject=name, detail={"days": days}
    )
    return token, secret


def revoke_api_token(session: Session, person: Person, token_id: uuid.UUID) -> ApiToken:
    """Raises NotFound where the token is not this person's."""
    token = session.scalar(
        select(ApiToken).where(ApiToken.id == token_id, ApiToken.person_id == person.id)
    )
    if token is None:
        raise NotFound("You have no such token.")
    if token.revoked_at is None:
        token.revoked_at = utc_now()
        record_event(session, "api_token.revoked", actor_id=person.id, subject=token.name)
    return token
