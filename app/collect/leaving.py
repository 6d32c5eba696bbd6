"""What happens to open work when its annotator goes: it goes back to the others."""

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.service import leave
from app.collect.leases import release
from app.errors import NotFound
from app.tables.accounts import Person
from app.tables.collect import Assignment, AssignmentState
from app.tables.projects import Project


def release_all(session: Session, project_id: uuid.UUID, person_id: uuid.UUID) -> None:
    """Give every open pair of a person back to the queue; prompts go back when they run out."""
    held = session.scalars(
        select(Assignment.id).where(
            Assignment.project_id == project_id,
            Assignment.annotator_id == person_id,
            Assignment.state == AssignmentState.LEASED,
        )
    ).all()
    for assignment_id in held:
        release(session, assignment_id, person_id, project_id=project_id)


def leave_project(session: Session, project: Project, person: Person) -> None:
    """End one's own part as an annotator; answers stay. Raises NotFound where there is none."""
    release_all(session, project.id, person.id)
    if not leave(session, project_id=project.id, person=person):
        raise NotFound("You are no annotator of this project, so there is nothing to leave.")
