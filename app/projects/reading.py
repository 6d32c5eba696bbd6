"""Who has read which version of the guidelines, by their own word."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Row, and_, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.errors import Conflict, NotFound
from app.projects.queries import current_guidelines
from app.tables.accounts import Membership, Person, Role
from app.tables.home import GuidelineReading
from app.tables.projects import GuidelineVersion, Project

# Columns of the statement `collect.standing.standing`: the number of a version that is unread.
UNREAD = """
    (
        select case when not exists (
            select from guideline_reading r
            where r.guideline_version_id = g.id and r.person_id = :annotator
        ) then g.number end
        from guideline_version g where g.project_id = :project order by g.number desc limit 1
    ) as unread
"""


@dataclass(frozen=True)
class Reading:
    """The current guidelines, and the newest version that a person confirmed to have read."""

    current: GuidelineVersion | None
    read: GuidelineVersion | None

    @property
    def is_due(self) -> bool:
        return self.current is not None and self.current is not self.read


def reading_of(session: Session, project_id: uuid.UUID, person_id: uuid.UUID) -> Reading:
    read = session.scalar(
        select(GuidelineVersion)
        .join(GuidelineReading, GuidelineReading.guideline_version_id == GuidelineVersion.id)
        .where(GuidelineVersion.project_id == project_id, GuidelineReading.person_id == person_id)
        .order_by(GuidelineVersion.number.desc())
        .limit(1)
    )
    return Reading(current_guidelines(session, project_id), read)


def confirm_reading(session: Session, project: Project, person_id: uuid.UUID, number: int) -> None:
    """Note that a person has read version `number`; said twice it is as well.

    Raises NotFound where there are no guidelines, and Conflict where the version is not current.
    """
    current = current_guidelines(session, project.id)
    if current is None:
        raise NotFound("This project has no guidelines yet, so there is nothing to confirm.")
    if current.number != number:
        raise Conflict(
            f"Version {current.number} of the guidelines has come since. Read that one, and "
            "confirm it."
        )
    note_reading(session, current, person_id)


def note_reading(session: Session, version: GuidelineVersion, person_id: uuid.UUID) -> None:
    values = {"guideline_version_id": version.id, "person_id": person_id}
    session.execute(insert(GuidelineReading).values(values).on_conflict_do_nothing())


def readers(session: Session, version: GuidelineVersion) -> Sequence[Row[str, bool]]:
    """The project's active annotators by name, each with whether they confirmed this version."""
    return session.execute(
        select(Person.name, GuidelineReading.id.is_not(None))
        .join(Membership, Membership.person_id == Person.id)
        .outerjoin(
            GuidelineReading,
            and_(
                GuidelineReading.person_id == Person.id,
                GuidelineReading.guideline_version_id == version.id,
            ),
        )
        .where(
            Membership.project_id == version.project_id,
            Membership.role == Role.ANNOTATOR,
            Person.is_active,
            ~Person.is_simulated,
        )
        .order_by(func.lower(Person.name), Person.id)
    ).all()
