"""What an hour is worth: one wage a project, and one's own where it differs."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import delete
from sqlalchemy.orm import Session

from app.accounts.audit import record_event
from app.agree.cost.queries import personal_wages, wage_of
from app.errors import Invalid
from app.tables.cost import PersonalWage, Wage
from app.tables.projects import Project

HIGHEST = 1_000_000


@dataclass(frozen=True)
class Wages:
    """Wages an hour in `currency`; `usual` is for whoever has none of their own."""

    currency: str
    usual: float | None
    own: Mapping[uuid.UUID, float]

    @property
    def is_any(self) -> bool:
        return self.usual is not None or bool(self.own)

    def per_second(self, person_id: uuid.UUID) -> float | None:
        per_hour = self.own.get(person_id, self.usual)
        return None if per_hour is None else per_hour / 3600


def wages_of(session: Session, project_id: uuid.UUID) -> Wages:
    found = wage_of(session, project_id)
    if found is None:
        return Wages("", None, {})
    return Wages(found.currency, found.per_hour, personal_wages(session, project_id))


def set_wages(
    session: Session,
    project: Project,
    *,
    currency: str,
    usual: float | None,
    own: Mapping[uuid.UUID, float],
    by: uuid.UUID,
) -> Wages:
    """Replace the project's wages, now and for all that was done before: work is always priced at
    the wages of today. Raises Invalid, with the field's name.
    """
    code = currency.strip().upper()
    if not (len(code) == 3 and code.isascii() and code.isalpha()):
        raise Invalid("Write the currency as three letters, such as EUR or USD.", field="currency")
    for one in (usual, *own.values()):
        if one is not None and not 0 <= one <= HIGHEST:
            raise Invalid(f"A wage is a number from 0 to {HIGHEST:,}.", field="usual")
    before = wages_of(session, project.id)
    after = Wages(code, usual, dict(own))
    if before == after:
        return after
    session.merge(Wage(project_id=project.id, currency=code, per_hour=usual))
    session.execute(delete(PersonalWage).where(PersonalWage.project_id == project.id))
    session.add_all(
        PersonalWage(project_id=project.id, person_id=person, per_hour=wage)
        for person, wage in own.items()
    )
    session.flush()
    record_event(
        session,
        "wages.changed",
        actor_id=by,
        project_id=project.id,
        subject=project.name,
        detail={
            "currency": code,
            "per_hour": usual,
            "own": {str(person): wage for person, wage in own.items()},
        },
    )
    return after
