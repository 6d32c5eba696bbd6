"""People, their roles and what they have done, read for pages."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Row, Select, and_, delete, func, or_, select
from sqlalchemy.orm import Session

from app.tables.accounts import (
    ApiToken,
    AuditEvent,
    LinkPurpose,
    LoginSession,
    Membership,
    OneTimeLink,
    Person,
    Role,
)
from app.tables.base import utc_now
from app.tables.collect import Comparison
from app.tables.projects import Project


def find_person(session: Session, email: str) -> Person | None:
    return session.scalar(select(Person).where(func.lower(Person.email) == email.strip().lower()))


def has_owner_with_password(session: Session) -> bool:
    found = select(Person.id).where(
        Person.is_owner, Person.is_active, Person.password_hash.is_not(None)
    )
    return session.scalar(found.limit(1)) is not None


def other_admins(session: Session, project_id: uuid.UUID, person_id: uuid.UUID) -> int:
    """How many active people besides this one are admins of the project."""
    found = (
        select(func.count())
        .select_from(Membership)
        .join(Person, Person.id == Membership.person_id)
        .where(
            Membership.project_id == project_id,
            Membership.role == Role.ADMIN,
            Membership.person_id != person_id,
            Person.is_active,
        )
    )
    return session.scalar(found) or 0


def drop_unused_links(session: Session, person_id: uuid.UUID, *purposes: LinkPurpose) -> bool:
    """Whether any of them still signed in."""
    until = session.scalars(
        delete(OneTimeLink)
        .where(
            OneTimeLink.person_id == person_id,
            OneTimeLink.purpose.in_(purposes),
            OneTimeLink.used_at.is_(None),
        )
        .returning(OneTimeLink.expires_at)
    ).all()
    return any(one > utc_now() for one in until)


def valid_link(session: Session, token_hash: bytes) -> Row[OneTimeLink, Person] | None:
    """The link and its person, locked, where the link still signs in."""
    return session.execute(
        select(OneTimeLink, Person)
        .join(Person, Person.id == OneTimeLink.person_id)
        .where(
            OneTimeLink.token_hash == token_hash,
            OneTimeLink.used_at.is_(None),
            OneTimeLink.expires_at > utc_now(),
            Person.is_active,
        )
        .with_for_update(of=OneTimeLink)
    ).one_or_none()


def sessions_of(session: Session, person_id: uuid.UUID) -> Sequence[LoginSession]:
    return session.scalars(
        select(LoginSession)
        .where(LoginSession.person_id == person_id, LoginSession.expires_at > utc_now())
        .order_by(LoginSession.last_seen_at.desc())
    ).all()


def api_tokens_of(session: Session, person_id: uuid.UUID) -> Sequence[ApiToken]:
    """Those that still work, the newest first."""
    return session.scalars(
        select(ApiToken)
        .where(
            ApiToken.person_id == person_id,
            ApiToken.revoked_at.is_(None),
            ApiToken.expires_at > utc_now(),
        )
        .order_by(ApiToken.created_at.desc())
    ).all()


@dataclass(frozen=True)
class Place:
    """One project and what a person may do there."""

    project: Project
    roles: list[Role]
    is_paused: bool


def memberships_of(session: Session, person_id: uuid.UUID) -> list[Place]:
    rows = session.execute(
        select(Project, Membership)
        .join(Membership, Membership.project_id == Project.id)
        .where(Membership.person_id == person_id)
        .order_by(func.lower(Project.name), Membership.role)
    )
    places: dict[uuid.UUID, Place] = {}
    for project, membership in rows:
        place = places.setdefault(project.id, Place(project, [], membership.rests))
        place.roles.append(membership.role)
    return list(places.values())


@dataclass(frozen=True)
class PersonRow:
    """A person as a table shows them. `last_seen` is None before the first sign-in."""

    person: Person
    roles: list[Role]
    projects: list[str]
    is_paused: bool
    n_comparisons: int
    last_seen: datetime | None
    link_until: datetime | None


_last_seen = (
    select(LoginSession.person_id, func.max(LoginSession.last_seen_at).label("at"))
    .group_by(LoginSession.person_id)
    .subquery()
)


def _figures(project_id: uuid.UUID | None) -> Select[Person, int, datetime, datetime]:
    """Each person with comparisons done (in one project or in all), last seen, open invitation."""
    done = select(
        Comparison.annotator_id,
        func.count().label("n"),
        func.max(Comparison.created_at).label("at"),
    ).group_by(Comparison.annotator_id)
    if project_id is not None:
        done = done.where(Comparison.project_id == project_id)
    comparisons = done.subquery()
    links = (
        select(OneTimeLink.person_id, func.max(OneTimeLink.expires_at).label("until"))
        .where(OneTimeLink.used_at.is_(None), OneTimeLink.expires_at > func.now())
        .group_by(OneTimeLink.person_id)
        .subquery()
    )
    return (
        select(
            Person,
            func.coalesce(comparisons.c.n, 0),
            func.greatest(_last_seen.c.at, comparisons.c.at),
            links.c.until,
        )
        .outerjoin(comparisons, comparisons.c.annotator_id == Person.id)
        .outerjoin(_last_seen, _last_seen.c.person_id == Person.id)
        .outerjoin(links, links.c.person_id == Person.id)
        .order_by(Person.is_active.desc(), func.lower(Person.name), Person.id)
    )


def _rows(
    session: Session,
    figures: Select[Person, int, datetime, datetime],
    project_id: uuid.UUID | None,
) -> list[PersonRow]:
    roles = select(Membership, Project.name).join(Project, Project.id == Membership.project_id)
    if project_id is not None:
        roles = roles.where(Membership.project_id == project_id)
    held: dict[uuid.UUID, list[tuple[Membership, str]]] = {}
    for membership, project in session.execute(roles.order_by(Membership.role, Project.name)):
        held.setdefault(membership.person_id, []).append((membership, project))
    return [
        PersonRow(
            person,
            sorted({m.role for m, _ in held.get(person.id, [])}),
            sorted({name for _, name in held.get(person.id, [])}),
            any(m.rests for m, _ in held.get(person.id, [])),
            n,
            seen,
            until,
        )
        for person, n, seen, until in session.execute(figures)
    ]


def everyone(session: Session) -> list[PersonRow]:
    return _rows(session, _figures(None), None)


def members(session: Session, project_id: uuid.UUID) -> list[PersonRow]:
    of_project = select(Membership.person_id).where(Membership.project_id == project_id)
    return _rows(session, _figures(project_id).where(Person.id.in_(of_project)), project_id)


@dataclass(frozen=True)
class AuditRow:
    event: AuditEvent
    actor: str | None
    project: str | None


def audit_page(
    session: Session,
    *,
    project_id: uuid.UUID | None = None,
    action: str = "",
    before: int | None = None,
    size: int = 50,
) -> list[AuditRow]:
    """Up to `size` + 1 events, the newest first, so that the caller sees whether more follow."""
    found = (
        select(AuditEvent, Person.name, Project.name)
        .outerjoin(Person, Person.id == AuditEvent.actor_id)
        .outerjoin(Project, Project.id == AuditEvent.project_id)
        .order_by(AuditEvent.id.desc())
        .limit(size + 1)
    )
    if project_id is not None:
        found = found.where(AuditEvent.project_id == project_id)
    if action:
        found = found.where(AuditEvent.action == action)
    if before is not None:
        found = found.where(AuditEvent.id < before)
    return [AuditRow(*row) for row in session.execute(found)]


def audit_actions(session: Session, project_id: uuid.UUID | None = None) -> Sequence[str]:
    found = select(AuditEvent.action).distinct().order_by(AuditEvent.action)
    if project_id is not None:
        found = found.where(AuditEvent.project_id == project_id)
    return session.scalars(found).all()


def is_resting() -> ColumnElement[bool]:
    """Whether a membership's pause holds now, as `Membership.rests` says it."""
    is_open = or_(Membership.paused_until.is_(None), Membership.paused_until > func.now())
    return and_(Membership.is_paused, is_open)


@dataclass(frozen=True)
class Pause:
    """Since when an annotator rests in a project, who said so, and until when if they said so."""

    is_own: bool
    by: str
    since: datetime | None
    until: datetime | None


def pause_of(session: Session, project_id: uuid.UUID, person_id: uuid.UUID) -> Pause | None:
    """None for someone who is not paused."""
    row = session.execute(
        select(Membership, Person.name)
        .outerjoin(Person, Person.id == Membership.paused_by)
        .where(
            Membership.project_id == project_id,
            Membership.person_id == person_id,
            Membership.role == Role.ANNOTATOR,
        )
    ).one_or_none()
    if row is None or not row.Membership.rests:
        return None
    held = row.Membership
    return Pause(held.paused_by == person_id, row.name or "", held.paused_at, held.paused_until)
