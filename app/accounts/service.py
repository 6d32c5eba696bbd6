"""People and their roles: who is here, who may do what, and how someone new comes in."""

import re
import uuid
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.accounts.audit import record_event
from app.accounts.languages import read_languages
from app.accounts.links import make_invitation, make_owner_link, make_sign_in_link
from app.accounts.passwords import check_password, hash_password
from app.accounts.queries import find_person, other_admins
from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.tables.accounts import LoginSession, Membership, Person, Role
from app.tables.base import utc_now

__all__ = [
    "change_person",
    "create_person",
    "deactivate",
    "end_login",
    "end_other_logins",
    "grant_role",
    "invite",
    "leave",
    "make_owner_link",
    "make_sign_in_link",
    "pause",
    "reactivate",
    "remove_member",
    "resume",
    "revoke_role",
    "set_password",
    "set_roles",
]

# A local part, an @ and a host; whether mail arrives there is not for us to know.
EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,190}")


def create_person(
    session: Session,
    *,
    email: str,
    name: str,
    is_owner: bool = False,
    is_simulated: bool = False,
    password: str | None = None,
    by: uuid.UUID | None = None,
) -> Person:
    """A new person. Raises Invalid for a bad e-mail, name or password, Conflict for a known one."""
    email, name = _clean_email(email), _clean_name(name)
    _hold_address(session, email)
    if find_person(session, email) is not None:
        raise Conflict("Someone with this e-mail address is here already.", field="email")
    person = Person(email=email, name=name, is_owner=is_owner, is_simulated=is_simulated)
    session.add(person)
    session.flush()
    record_event(session, "person.created", actor_id=by, subject=email)
    if password is not None:
        set_password(session, person, password)
    return person


def change_person(session: Session, person: Person, *, name: str, email: str) -> Person:
    """Raises Invalid or Conflict, with the field's name."""
    email, name = _clean_email(email), _clean_name(name)
    _hold_address(session, email)
    other = find_person(session, email)
    if other is not None and other.id != person.id:
        raise Conflict("Someone else uses this e-mail address.", field="email")
    if (person.name, person.email) != (name, email):
        record_event(
            session,
            "person.changed",
            actor_id=person.id,
            subject=email,
            detail={"before": {"name": person.name, "email": person.email}},
        )
    person.name, person.email = name, email
    session.flush()
    return person


def set_languages(session: Session, person: Person, words: str) -> None:
    """Set the languages in which the person can judge texts, as typed. Raises Invalid."""
    languages = read_languages(words)
    if person.languages != languages:
        record_event(
            session,
            "person.languages_changed",
            actor_id=person.id,
            subject=person.email,
            detail={"before": person.languages, "after": languages},
        )
        person.languages = languages
        session.flush()


def set_password(session: Session, person: Person, password: str) -> None:
    """Raises Invalid where the password is too short, too long or too common."""
    check_password(password, email=person.email)
    person.password_hash = hash_password(password)
    record_event(session, "password.set", actor_id=person.id, subject=person.email)


def invite(
    session: Session,
    *,
    email: str,
    name: str,
    invited_by: Person,
    project_id: uuid.UUID | None = None,
    roles: Iterable[Role] = (),
) -> tuple[Person, str | None]:
    """Bring someone in, with roles in a project where one is named.

    Returns the person and the path of the invitation link; None for someone who is here already.
    Raises Invalid for a bad address, for no role in a named project, or for a deactivated person.
    """
    wanted = list(roles)
    if project_id is not None and not wanted:
        raise Invalid("Choose at least one role.", field="roles")
    person = find_person(session, email)
    if person is None:
        person = create_person(session, email=email, name=name, by=invited_by.id)
        path: str | None = make_invitation(session, person, invited_by.id)
    elif not person.is_active:
        raise Invalid("This person is deactivated. An owner can reactivate them.", field="email")
    elif project_id is None:
        raise Conflict("Someone with this e-mail address is here already.", field="email")
    else:
        path = None
    if project_id is not None:
        for role in wanted:
            grant_role(session, project_id=project_id, person=person, role=role, by=invited_by.id)
    return person, path


def grant_role(
    session: Session, *, project_id: uuid.UUID, person: Person, role: Role, by: uuid.UUID | None
) -> Membership:
    """Give `person` a role in the project; one that they hold already stays as it is."""
    given: Membership | None = session.scalar(
        insert(Membership)
        .values(project_id=project_id, person_id=person.id, role=role)
        .on_conflict_do_nothing()
        .returning(Membership)
    )
    if given is not None:
        _record(session, "role.granted", project_id, person, by, role=role.value)
        return given
    held = _membership(session, project_id, person.id, role)
    if held is None:
        raise Conflict("Someone else changed this person's roles at this moment. Try again.")
    return held


def revoke_role(
    session: Session, *, project_id: uuid.UUID, person: Person, role: Role, by: Person
) -> None:
    """Take a role away. Raises Conflict where nobody but an owner would be left to run things."""
    held = _membership(session, project_id, person.id, role)
    if held is None:
        return
    if role is Role.ADMIN and not by.is_owner:
        _keep_an_admin(session, project_id, person)
    taken = delete(Membership).where(Membership.id == held.id).returning(Membership.id)
    if session.scalar(taken) is not None:
        _record(session, "role.revoked", project_id, person, by.id, role=role.value)


def set_roles(
    session: Session, *, project_id: uuid.UUID, person: Person, roles: Iterable[Role], by: Person
) -> None:
    """Make `roles` the whole of what a member may do. Raises Invalid for none, Conflict."""
    wanted = set(roles)
    if not wanted:
        raise Invalid("Choose at least one role, or remove the person.", field="roles")
    for role in sorted(Role):
        if role in wanted:
            grant_role(session, project_id=project_id, person=person, role=role, by=by.id)
        else:
            revoke_role(session, project_id=project_id, person=person, role=role, by=by)


def remove_member(session: Session, *, project_id: uuid.UUID, person: Person, by: Person) -> None:
    """Take every role away; what the person has answered stays. Raises Conflict."""
    for role in Role:
        revoke_role(session, project_id=project_id, person=person, role=role, by=by)


def pause(
    session: Session, *, project_id: uuid.UUID, person: Person, by: uuid.UUID, reason: str = ""
) -> None:
    """Hand an annotator no more pairs until `resume`. Raises NotFound for others."""
    _set_paused(session, project_id, person, by, is_paused=True, reason=reason)


def resume(
    session: Session, *, project_id: uuid.UUID, person: Person, by: uuid.UUID, reason: str = ""
) -> None:
    """Let a paused annotator go on. Raises NotFound for others."""
    _set_paused(session, project_id, person, by, is_paused=False, reason=reason)


def leave(session: Session, *, project_id: uuid.UUID, person: Person) -> bool:
    """Give up one's own role of annotator; whatever else one may do stays. False for no role."""
    taken = session.scalar(
        delete(Membership)
        .where(
            Membership.project_id == project_id,
            Membership.person_id == person.id,
            Membership.role == Role.ANNOTATOR,
        )
        .returning(Membership.id)
    )
    if taken is not None:
        _record(session, "annotator.left", project_id, person, person.id)
    return taken is not None


def rest(session: Session, *, project_id: uuid.UUID, person: Person, until: date | None) -> None:
    """Pause oneself until the beginning of a day, UTC, or until one comes back oneself.

    Raises Invalid, Conflict or NotFound.
    """
    today = utc_now().date()
    if until is not None and not today < until <= today + timedelta(days=366):
        raise Invalid("Choose a day after today, and within a year.", field="until")
    held = _membership(session, project_id, person.id, Role.ANNOTATOR)
    if held is not None and held.rests and held.paused_by != person.id:
        raise Conflict("An admin has paused you here already. Ask them when it goes on.")
    back = datetime.combine(until, time(), tzinfo=UTC) if until else None
    _set_paused(session, project_id, person, person.id, is_paused=True, until=back)


def come_back(session: Session, *, project_id: uuid.UUID, person: Person) -> None:
    """End one's own pause. Raises Forbidden where an admin made it."""
    held = _membership(session, project_id, person.id, Role.ANNOTATOR)
    if held is not None and held.rests and held.paused_by != person.id:
        raise Forbidden("An admin has paused you here. Ask them when it goes on.")
    _set_paused(session, project_id, person, person.id, is_paused=False)


def deactivate(session: Session, person: Person, *, by: Person) -> None:
    """Close the door for someone, at once and everywhere; their answers stay. Raises Conflict."""
    if person.id == by.id:
        raise Conflict("You cannot deactivate yourself. Ask another owner.")
    person.is_active = False
    session.execute(delete(LoginSession).where(LoginSession.person_id == person.id))
    record_event(session, "person.deactivated", actor_id=by.id, subject=person.email)


def reactivate(session: Session, person: Person, *, by: Person) -> None:
    person.is_active = True
    record_event(session, "person.reactivated", actor_id=by.id, subject=person.email)


def end_login(session: Session, person: Person, login_id: uuid.UUID) -> None:
    """End one of a person's sessions: it is out at its next request. Raises NotFound."""
    found = session.scalar(
        select(LoginSession).where(LoginSession.id == login_id, LoginSession.person_id == person.id)
    )
    if found is None:
        raise NotFound("This session has ended already.")
    session.delete(found)
    record_event(session, "session.ended", actor_id=person.id, subject=person.email)


def end_other_logins(session: Session, person: Person, keep: uuid.UUID | None) -> None:
    """End every session of a person but the one kept."""
    others = delete(LoginSession).where(LoginSession.person_id == person.id)
    if keep is not None:
        others = others.where(LoginSession.id != keep)
    n_ended = len(session.execute(others.returning(LoginSession.id)).all())
    if n_ended:
        record_event(
            session,
            "session.others_ended",
            actor_id=person.id,
            subject=person.email,
            detail={"sessions": n_ended},
        )


def _hold_address(session: Session, email: str) -> None:
    """Two who take one address at once: the second one waits here and is then told."""
    session.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:key, 7))"), {"key": email.lower()}
    )


def _clean_email(email: str) -> str:
    email = email.strip()
    if not EMAIL.fullmatch(email):
        raise Invalid("Write an e-mail address, such as ada@example.org.", field="email")
    return email


def _clean_name(name: str) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= 80 or "\x00" in name:
        raise Invalid("Write a name of 1 to 80 characters.", field="name")
    return name


def _membership(
    session: Session, project_id: uuid.UUID, person_id: uuid.UUID, role: Role
) -> Membership | None:
    return session.scalar(
        select(Membership).where(
            Membership.project_id == project_id,
            Membership.person_id == person_id,
            Membership.role == role,
        )
    )


def _keep_an_admin(session: Session, project_id: uuid.UUID, person: Person) -> None:
    # Two admins who remove each other at the same moment: the second one waits, and is refused.
    session.execute(text("select id from project where id = :id for update"), {"id": project_id})
    if other_admins(session, project_id, person.id) == 0:
        raise Conflict("A project needs an admin. Make someone else admin first.")


def _set_paused(
    session: Session,
    project_id: uuid.UUID,
    person: Person,
    by: uuid.UUID,
    *,
    is_paused: bool,
    reason: str = "",
    until: datetime | None = None,
) -> None:
    held = _membership(session, project_id, person.id, Role.ANNOTATOR)
    if held is None:
        raise NotFound("This person is not an annotator of this project.")
    # An admin's pause takes the place of one's own, which one may end oneself.
    if held.rests != is_paused or (
        is_paused and (held.paused_by, held.paused_until) != (by, until)
    ):
        held.is_paused = is_paused
        held.paused_by, held.paused_at = (by, utc_now()) if is_paused else (None, None)
        held.paused_until = until
        action = "annotator.paused" if is_paused else "annotator.resumed"
        detail = {"reason": reason} if reason else {}
        _record(session, action, project_id, person, by, **detail)


def _record(
    session: Session,
    action: str,
    project_id: uuid.UUID,
    person: Person,
    by: uuid.UUID | None,
    **detail: str,
) -> None:
    record_event(
        session, action, actor_id=by, project_id=project_id, subject=person.email, detail=detail
    )
