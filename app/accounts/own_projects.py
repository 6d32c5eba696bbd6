"""Where a person has or had a part, for what stays theirs after they have gone."""

import uuid
from collections.abc import Sequence

from sqlalchemy import Select, exists, func, or_, select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.tables.accounts import Membership, Person, Role
from app.tables.collect import Comparison, Completion
from app.tables.consent import Consent
from app.tables.projects import Project


def own_projects(session: Session, person_id: uuid.UUID) -> Sequence[Project]:
    """Where the person annotates, or did: by role, by consent, by an answer or a text."""
    return session.scalars(_own(person_id).order_by(func.lower(Project.name))).all()


def own_project(session: Session, person: Person, slug: str) -> Project:
    """One of these. Raises NotFound."""
    found = session.scalar(_own(person.id).where(Project.slug == slug))
    if found is None:
        raise NotFound("You have no part in a project of that name.")
    return found


def _own(person_id: uuid.UUID) -> Select[Project]:
    is_member = exists().where(
        Membership.project_id == Project.id,
        Membership.person_id == person_id,
        Membership.role == Role.ANNOTATOR,
    )
    has_consented = exists().where(Consent.project_id == Project.id, Consent.person_id == person_id)
    has_answered = exists().where(
        Comparison.project_id == Project.id, Comparison.annotator_id == person_id
    )
    has_written = exists().where(
        Completion.project_id == Project.id, Completion.author_id == person_id
    )
    return select(Project).where(or_(is_member, has_consented, has_answered, has_written))
