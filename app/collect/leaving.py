"""Going: open work goes back to the others, answers stay."""

from sqlalchemy.orm import Session

from app.accounts.service import leave
from app.collect.ahead import put_down
from app.errors import NotFound
from app.tables.accounts import Person
from app.tables.projects import Project


def leave_project(session: Session, project: Project, person: Person) -> None:
    """End one's own part as an annotator; answers stay. Raises NotFound where there is none."""
    put_down(session, project.id, person.id)
    if not leave(session, project_id=project.id, person=person):
        raise NotFound("You are no annotator of this project, so there is nothing to leave.")
