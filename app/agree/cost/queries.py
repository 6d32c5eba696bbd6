"""What the page about cost reads: days of work, time on controls, wages, open work."""

import uuid
from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import Row, func, select, text
from sqlalchemy.orm import Session

from app.tables.accounts import Membership, Person, Role
from app.tables.collect import Pair
from app.tables.cost import PersonalWage, Wage, WorkDay
from app.tables.projects import Flag
from app.tables.studies import Study, StudyKind

# By weeks, for days of many people and flags are many rows and say no more.
CONTROLS = text(
    """
    select person_id, date_trunc('week', day)::date as week, control, flag_id,
        sum(n_given) as n_given, sum(n_timed) as n_timed, sum(seconds) as seconds,
        sum(squares) as squares
    from work_control where project_id = :project
    group by person_id, date_trunc('week', day), control, flag_id
    order by control, flag_id, week, person_id
    """
)

PROMPT_CONTROLS = text(
    """
    select a.kind, t.control, count(distinct a.id) as n, sum(t.seconds) as seconds
    from prompt_assignment a join prompt_control_time t on t.assignment_id = a.id
    where a.project_id = :project
    group by a.kind, t.control
    order by a.kind, t.control
    """
)
PROMPT_MEASURED = text(
    """
    select a.kind, count(*) as n from prompt_assignment a
    where a.project_id = :project
        and exists (select from prompt_control_time t where t.assignment_id = a.id)
    group by a.kind
    """
)


def work_days(session: Session, project_id: uuid.UUID) -> Sequence[Row[Any]]:
    """(person_id, day, n, n_fresh, n_timed, seconds, squares), oldest first."""
    columns = (WorkDay.n, WorkDay.n_fresh, WorkDay.n_timed, WorkDay.seconds, WorkDay.squares)
    found = (
        select(WorkDay.person_id, WorkDay.day, *columns)
        .where(WorkDay.project_id == project_id)
        .order_by(WorkDay.day, WorkDay.person_id)
    )
    rows: Sequence[Any] = session.execute(found).all()
    return rows


def control_weeks(session: Session, project_id: uuid.UUID) -> Sequence[Row[Any]]:
    return session.execute(CONTROLS, {"project": project_id}).all()


def prompt_controls(session: Session, project_id: uuid.UUID) -> Sequence[Row[Any]]:
    """(kind, control, n, seconds): answers about prompts that spent time there, and how much."""
    return session.execute(PROMPT_CONTROLS, {"project": project_id}).all()


def prompt_measured(session: Session, project_id: uuid.UUID) -> dict[str, int]:
    """How many answers about prompts have any time by control, by kind."""
    rows = session.execute(PROMPT_MEASURED, {"project": project_id})
    return {row.kind: row.n for row in rows}


def wage_of(session: Session, project_id: uuid.UUID) -> Wage | None:
    return session.get(Wage, project_id)


def personal_wages(session: Session, project_id: uuid.UUID) -> dict[uuid.UUID, float]:
    rows = session.execute(
        select(PersonalWage.person_id, PersonalWage.per_hour).where(
            PersonalWage.project_id == project_id
        )
    )
    return dict(rows.all())


def paid_people(
    session: Session, project_id: uuid.UUID, worked: Sequence[uuid.UUID]
) -> list[tuple[Person, bool]]:
    """Annotators, and whoever `worked`, by name; and whether each is here and not paused."""
    memberships = session.scalars(
        select(Membership).where(
            Membership.project_id == project_id, Membership.role == Role.ANNOTATOR
        )
    ).all()
    able = {one.person_id for one in memberships if not one.rests}
    everyone = {one.person_id for one in memberships} | set(worked)
    people = session.scalars(
        select(Person).where(Person.id.in_(everyone)).order_by(func.lower(Person.name), Person.id)
    )
    return [(one, one.is_active and one.id in able) for one in people]


def n_answers_open(session: Session, project_id: uuid.UUID) -> int:
    """How many answers the open pairs still wait for; gold items wait for none."""
    found = select(func.coalesce(func.sum(Pair.overlap - Pair.n_taken), 0)).where(
        Pair.project_id == project_id, Pair.is_open, ~Pair.is_gold, Pair.n_taken < Pair.overlap
    )
    return int(session.scalar(found) or 0)


def flags_of(session: Session, project_id: uuid.UUID) -> Sequence[Flag]:
    return session.scalars(
        select(Flag).where(Flag.project_id == project_id).order_by(Flag.position, Flag.label)
    ).all()


def flag_worths(session: Session, project_id: uuid.UUID) -> dict[str, dict[str, float]]:
    """By a flag's key: `value`, `low`, `high` of the accuracy that its answers bring a model.

    Of the newest finished study of what data is worth; a flag with too few answers has none.
    """
    report = session.scalar(
        select(Study.report)
        .where(
            Study.project_id == project_id,
            Study.kind == StudyKind.WORTH,
            Study.finished_at.is_not(None),
        )
        .order_by(Study.finished_at.desc())
        .limit(1)
    )
    parts = (report or {}).get("parts") or []
    return {
        part["key"]: part["accuracy"]
        for part in parts
        if part["kind"] == "flag" and part.get("accuracy")
    }


def first_day(days: Sequence[Row[Any]]) -> date | None:
    return days[0].day if days else None
