"""Signing in by e-mail and password, with guessing made slow and silence about who exists.

An attempt is written, and committed, before the password is looked at: so the count holds across
processes and for attempts under way at once, and a success takes its own attempts back. An unknown
address costs the same work and gets the same answer as a wrong password.
"""

from datetime import timedelta

from sqlalchemy import delete, func, or_, select, text
from sqlalchemy.orm import Session

from app.accounts.audit import record_event
from app.accounts.passwords import hash_password, is_outdated, is_password
from app.accounts.queries import find_person
from app.errors import TooMany
from app.tables.accounts import Person, SignInAttempt
from app.tables.base import utc_now

WINDOW = timedelta(minutes=15)
MOST_PER_ACCOUNT = 10
MOST_PER_ADDRESS = 60


def note_attempt(session: Session, *, email: str, address: str) -> None:
    """Write one attempt. Commit it before `check_sign_in`. Raises TooMany."""
    email = _key(email)
    # Always in this order, so that two attempts never wait for each other in a circle.
    for key in (f"address {address}", f"account {email}"):
        session.execute(
            text("select pg_advisory_xact_lock(hashtextextended(:key, 11))"), {"key": key}
        )
    since = utc_now() - WINDOW
    for column, value, most in (
        (SignInAttempt.email, email, MOST_PER_ACCOUNT),
        (SignInAttempt.address, address, MOST_PER_ADDRESS),
    ):
        found = select(func.count(), func.min(SignInAttempt.at)).where(
            column == value, SignInAttempt.at > since
        )
        n, first = session.execute(found).one()
        if n >= most:
            minutes = max(1, -int(-(first - since).total_seconds() // 60))
            raise TooMany(
                "There were too many attempts to sign in. Wait "
                f"{minutes} minute{'' if minutes == 1 else 's'}, or ask an owner for a sign-in "
                "link.",
                field="password",
            )
    session.add(SignInAttempt(email=email, address=address))
    session.flush()


def check_sign_in(session: Session, *, email: str, password: str, address: str) -> Person | None:
    """The active person whom these fit, or None; either way it is in the audit trail."""
    person = find_person(session, email)
    may = person is not None and person.is_active and not person.is_simulated
    fits = is_password(person.password_hash if person and may else None, password)
    if person is None or not fits:
        record_event(
            session,
            "sign_in.failed",
            # What was typed may be a password in the wrong box: only known addresses are kept.
            subject=person.email if person else "unknown account",
            address=address,
        )
        return None
    if is_outdated(person.password_hash or ""):
        person.password_hash = hash_password(password)
    forgive(session, email, address)
    record_event(
        session, "sign_in.succeeded", actor_id=person.id, subject=person.email, address=address
    )
    return person


def _key(email: str) -> str:
    return email.strip().lower()[:300]


def forgive(session: Session, email: str, address: str) -> None:
    """Take back this account's attempts from this address, and all that no longer count."""
    session.execute(
        delete(SignInAttempt).where(
            or_(
                (SignInAttempt.email == _key(email)) & (SignInAttempt.address == address),
                SignInAttempt.at < utc_now() - WINDOW,
            )
        )
    )
