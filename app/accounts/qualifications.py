"""What a project asks its annotators to have shown, and who is said to have shown it."""

import uuid
from collections.abc import Iterable, Sequence

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from app.accounts.audit import record_event
from app.errors import Conflict, Invalid, NotFound
from app.tables.accounts import Person
from app.tables.base import utc_now
from app.tables.projects import Project
from app.tables.qualifications import Qualification, QualificationGrant

LONGEST_NAME = 80


def add_qualification(
    session: Session, project: Project, name: str, *, by: uuid.UUID | None
) -> Qualification:
    """A new one, required from now on. Raises Invalid, or Conflict where the name is taken."""
    name = " ".join(name.split())
    if not 1 <= len(name) <= LONGEST_NAME or "\x00" in name:
        raise Invalid(f"Give it a name of 1 to {LONGEST_NAME} characters.", field="qualification")
    is_taken = select(Qualification.id).where(
        Qualification.project_id == project.id, func.lower(Qualification.name) == name.lower()
    )
    if session.scalar(is_taken) is not None:
        raise Conflict("This project has a qualification of that name.", field="qualification")
    qualification = Qualification(project_id=project.id, name=name, is_required=True)
    session.add(qualification)
    session.flush()
    _note(session, "qualification.added", qualification, by)
    return qualification


def set_required(
    session: Session, project: Project, id_: uuid.UUID, *, is_required: bool, by: uuid.UUID | None
) -> Qualification:
    """Ask for it from now on, or no longer; who holds it stays. Raises NotFound."""
    qualification = session.get(Qualification, id_)
    if qualification is None or qualification.project_id != project.id:
        raise NotFound("This project has no such qualification.")
    if qualification.is_required != is_required:
        qualification.is_required = is_required
        session.flush()
        what = "qualification.required" if is_required else "qualification.not_required"
        _note(session, what, qualification, by)
    return qualification


def set_held(
    session: Session,
    project: Project,
    person: Person,
    held: Iterable[uuid.UUID],
    *,
    by: uuid.UUID | None,
) -> None:
    """Let the person hold exactly these of the project's qualifications.

    Granted and revoked by name and time; a grant that stays keeps its own. Raises NotFound.
    """
    known = {one.id: one for one, _ in qualifications_of(session, project.id)}
    wanted = set(held)
    if wanted - known.keys():
        raise NotFound("This project has no such qualification.")
    grants = {
        grant.qualification_id: grant
        for grant in session.scalars(
            select(QualificationGrant).where(
                QualificationGrant.person_id == person.id,
                QualificationGrant.qualification_id.in_(known),
                QualificationGrant.revoked_at.is_(None),
            )
        )
    }
    for id_ in grants.keys() - wanted:
        grants[id_].revoked_at, grants[id_].revoked_by = utc_now(), by
        _note(session, "qualification.revoked", known[id_], by, person)
    for id_ in wanted - grants.keys():
        session.add(QualificationGrant(qualification_id=id_, person_id=person.id, granted_by=by))
        _note(session, "qualification.granted", known[id_], by, person)
    session.flush()


def qualifications_of(session: Session, project_id: uuid.UUID) -> Sequence[Row[Qualification, int]]:
    """The project's qualifications by name, each with how many people hold it."""
    held = (
        select(func.count())
        .where(
            QualificationGrant.qualification_id == Qualification.id,
            QualificationGrant.revoked_at.is_(None),
        )
        .scalar_subquery()
    )
    return session.execute(
        select(Qualification, held)
        .where(Qualification.project_id == project_id)
        .order_by(func.lower(Qualification.name))
    ).all()


def held_in(session: Session, project_id: uuid.UUID) -> dict[tuple[uuid.UUID, uuid.UUID], str]:
    """Who granted it, by (person, qualification), for all that is held in the project."""
    rows = session.execute(
        select(QualificationGrant, Person.name)
        .join(Qualification, Qualification.id == QualificationGrant.qualification_id)
        .outerjoin(Person, Person.id == QualificationGrant.granted_by)
        .where(Qualification.project_id == project_id, QualificationGrant.revoked_at.is_(None))
    )
    return {
        (
            grant.person_id,
            grant.qualification_id,
        ): f"by {'a test' if grant.attempt_id else name or 'a script'}, "
        f"{grant.granted_at:%-d %B %Y}"
        for grant, name in rows
    }


def _note(
    session: Session,
    what: str,
    qualification: Qualification,
    by: uuid.UUID | None,
    person: Person | None = None,
) -> None:
    record_event(
        session,
        what,
        actor_id=by,
        project_id=qualification.project_id,
        subject=person.name if person else qualification.name,
        detail={"qualification": qualification.name},
    )
