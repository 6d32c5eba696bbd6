"""Who the people of a project are, as admins may see it: cells of ten persons or more."""

import uuid
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.cells import Cells, suppress, suppress_many
from app.accounts.demographics import QUESTIONS, UNSAID
from app.tables.consent import Consent, DemographicAnswer, Question
from app.tables.projects import Project


@dataclass(frozen=True)
class Composition:
    """A question with its cells, by label."""

    question: Question
    label: str
    cells: Cells


def composition(session: Session, project: Project) -> list[Composition]:
    """The questions that the project asks, of people whose consent stands; others are not read."""
    return [
        _of(session, project.id, question)
        for question in Question
        if question.value in project.demographic_questions
    ]


def _of(session: Session, project_id: uuid.UUID, question: Question) -> Composition:
    asked = QUESTIONS[question]
    is_counted = (
        DemographicAnswer.project_id == project_id,
        DemographicAnswer.question == question,
        Consent.ended_at.is_(None),
    )
    is_same = (Consent.project_id == DemographicAnswer.project_id) & (
        Consent.person_id == DemographicAnswer.person_id
    )
    rows = session.execute(
        select(DemographicAnswer.choice, func.count())
        .join(Consent, is_same)
        .where(*is_counted)
        .group_by(DemographicAnswer.choice)
    )
    counts = dict.fromkeys([*asked.choices, UNSAID], 0) | dict(rows.all())
    if asked.is_many:
        total = session.scalar(
            select(func.count(DemographicAnswer.person_id.distinct()))
            .join(Consent, is_same)
            .where(*is_counted)
        )
        cells = suppress_many(counts, total or 0)
    else:
        cells = suppress(counts)
    named = {asked.label_of(choice): n for choice, n in cells.shown.items()}
    return Composition(question, asked.label, Cells(named, cells.n_hidden, cells.total))
