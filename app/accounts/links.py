"""Links that sign someone in once: the first owner's, an invitation, a lost password.

The table keeps a hash; the path is known only to whoever made the link and whoever was given it.
There is no default password anywhere: an installation begins with such a link.
"""

import uuid
from datetime import timedelta

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from app.accounts.audit import COMMAND_LINE, record_event
from app.accounts.queries import (
    drop_unused_links,
    find_person,
    has_owner_with_password,
    valid_link,
)
from app.accounts.tokens import new_secret
from app.errors import Conflict, Forbidden, NotFound
from app.tables.accounts import LinkPurpose, Membership, OneTimeLink, Person, Role, hash_token
from app.tables.base import utc_now

LIFETIMES = {
    LinkPurpose.SET_UP: timedelta(hours=24),
    LinkPurpose.SIGN_IN: timedelta(hours=24),
    LinkPurpose.INVITATION: timedelta(days=14),
}
FIRST_OWNER = "admin@localhost"
GONE = (
    "This link has been used, has expired, or was withdrawn or replaced by a newer one. "
    "Ask whoever gave it to you for another."
)


def make_owner_link(session: Session) -> str | None:
    """The path of a link that signs the first owner in, once and within 24 hours.

    Makes the owner where there is none; a new link replaces the unused one before it. None once
    an owner has a password.
    """
    # Two servers that start at once must not make two owners.
    session.execute(text("select pg_advisory_xact_lock(7301)"))
    if has_owner_with_password(session):
        return None
    owner = session.scalar(
        select(Person).where(Person.is_owner, Person.is_active).order_by(Person.created_at)
    )
    if owner is None:
        owner = find_person(session, FIRST_OWNER)
        if owner is None:
            owner = Person(email=FIRST_OWNER, name="Admin")
            session.add(owner)
        owner.is_owner = owner.is_active = True
        session.flush()
        record_event(session, "person.created", subject=owner.email, detail={"is_owner": True})
    return _make_link(session, owner, LinkPurpose.SET_UP, None)


def make_sign_in_link(session: Session, email: str, *, by: uuid.UUID | None = None) -> str:
    """The path of a link for someone who lost their password. Raises NotFound."""
    person = find_person(session, email)
    if person is None or not person.is_active or person.is_simulated:
        raise NotFound(f"Nobody who can sign in has the e-mail address {email.strip()}.")
    return _make_link(session, person, LinkPurpose.SIGN_IN, by)


def make_invitation(session: Session, person: Person, by: uuid.UUID | None) -> str:
    return _make_link(session, person, LinkPurpose.INVITATION, by)


def renew_invitation(session: Session, person: Person, by: Person) -> str:
    """A new link in place of one that was lost. Raises Forbidden.

    An owner may do so for anyone who signs in. The admin of a project may for someone who belongs
    only to projects that this admin runs and has no password yet: otherwise an admin could take
    over a colleague's account.
    """
    if person.is_simulated:
        raise Forbidden(f"{person.name} is simulated and never signs in.")
    if by.is_owner and person.password_hash is not None:
        return make_sign_in_link(session, person.email, by=by.id)
    if not _may_invite(session, person, by):
        raise Forbidden("Only an owner can make a sign-in link for this person.")
    return make_invitation(session, person, by.id)


def withdraw_invitation(session: Session, person: Person, by: Person) -> None:
    """Have the link that was passed on let nobody in any more; a new one can be made.

    By whoever may make one. Raises Forbidden, and Conflict where no invitation is open.
    """
    if not _may_invite(session, person, by):
        raise Forbidden("Only an owner can withdraw the invitation of this person.")
    if not drop_unused_links(session, person.id, LinkPurpose.INVITATION):
        raise Conflict(f"No invitation of {person.name} is open any more.")
    record_event(session, "invitation.withdrawn", actor_id=by.id, subject=person.email)


def _may_invite(session: Session, person: Person, by: Person) -> bool:
    if by.is_owner:
        return True
    is_here = person.password_hash is not None or person.is_owner
    return not is_here and not _is_elsewhere(session, person, by)


def find_link(session: Session, secret: str) -> tuple[OneTimeLink, Person]:
    """The link and whom it signs in, locked until the transaction ends. Raises NotFound."""
    row = valid_link(session, hash_token(secret))
    if row is None or row[1].is_simulated:
        raise NotFound(GONE)
    return row[0], row[1]


def use_link(session: Session, link: OneTimeLink, person: Person, *, address: str = "") -> None:
    """Spend the link. Raises NotFound where another request spent it first."""
    spent = session.execute(
        update(OneTimeLink)
        .where(OneTimeLink.id == link.id, OneTimeLink.used_at.is_(None))
        .values(used_at=utc_now())
        .returning(OneTimeLink.id)
    ).one_or_none()
    if spent is None:
        raise NotFound(GONE)
    record_event(
        session,
        "sign_in.by_link",
        actor_id=person.id,
        subject=person.email,
        detail={"purpose": link.purpose.value},
        address=address,
    )


def _is_elsewhere(session: Session, person: Person, by: Person) -> bool:
    """Whether `person` has a role in a project that `by` is no admin of."""
    run = select(Membership.project_id).where(
        Membership.person_id == by.id, Membership.role == Role.ADMIN
    )
    found = select(Membership.id).where(
        Membership.person_id == person.id, Membership.project_id.not_in(run)
    )
    return session.scalar(found.limit(1)) is not None


def _make_link(session: Session, person: Person, purpose: LinkPurpose, by: uuid.UUID | None) -> str:
    drop_unused_links(session, person.id, *LinkPurpose)
    secret = new_secret()
    session.add(
        OneTimeLink(
            token_hash=hash_token(secret),
            purpose=purpose,
            person_id=person.id,
            created_by=by,
            expires_at=utc_now() + LIFETIMES[purpose],
        )
    )
    session.flush()
    record_event(
        session,
        "link.made",
        actor_id=by,
        subject=person.email,
        detail={"purpose": purpose.value},
        address="" if by else COMMAND_LINE,
    )
    return f"/welcome/{secret}"
