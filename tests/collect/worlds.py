"""Small projects with people and pairs."""

import uuid
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.collect.intake import CompletionIn, Message, PromptIn, add_prompts
from app.collect.invariants import broken_rules
from app.collect.service import Nothing, next_assignment, record_comparison
from app.tables.accounts import Person, Role
from app.tables.collect import Assignment, Comparison, Pair
from app.tables.projects import Flag, FlagKind, FlagScope, Polarity, Project
from tests.support import join, make_person, make_project

__all__ = [
    "answer",
    "broken_rules",
    "expire",
    "lease",
    "make_annotators",
    "make_flag",
    "make_pairs",
    "make_world",
]

RUN_OUT = text("update assignment set lease_until = now() - interval '1 minute' where id = :id")


def make_pairs(session: Session, project: Project, n: int) -> list[Pair]:
    """`n` prompts with one pair each; commits."""
    add_prompts(
        session,
        project,
        [
            PromptIn(
                messages=[Message(role="user", content=f"Question {number}?")],
                completions=[
                    CompletionIn(text=f"The left words of {number}.", source="secret-one"),
                    CompletionIn(text=f"The right words of {number}.", source="secret-two"),
                ],
            )
            for number in range(n)
        ],
    )
    session.commit()
    return list(session.scalars(select(Pair).where(Pair.project_id == project.id)))


def make_annotators(session: Session, project: Project, *names: str) -> list[Person]:
    people = [make_person(session, name) for name in names]
    for person in people:
        join(session, project, person, Role.ANNOTATOR)
    session.commit()
    return people


def make_world(
    session: Session, *names: str, n_pairs: int = 3, **settings: object
) -> tuple[Project, list[Person]]:
    project = make_project(session, **settings)
    people = make_annotators(session, project, *names)
    make_pairs(session, project, n_pairs)
    return project, people


def make_flag(session: Session, project: Project, label: str, **values: object) -> Flag:
    flag = Flag(
        **{
            "project_id": project.id,
            "key": label.lower().replace(" ", "_"),
            "label": label,
            "scope": FlagScope.COMPLETION,
            "kind": FlagKind.YES_NO,
            "polarity": Polarity.BAD,
            **values,
        }
    )
    session.add(flag)
    session.commit()
    return flag


def lease(session: Session, project: Project, annotator_id: uuid.UUID) -> Assignment:
    """The annotator's next assignment, committed; fails where there is none."""
    assignment = next_assignment(session, project, annotator_id)
    assert not isinstance(assignment, Nothing), assignment
    session.commit()
    return assignment


def answer(
    session: Session, project: Project, person: Person, rating: int = 3, **values: Any
) -> Comparison:
    """The person's answer to their next pair, committed; `rating` in the frame of A and B."""
    held = lease(session, project, person.id)
    said = record_comparison(
        session,
        assignment_id=held.id,
        annotator_id=person.id,
        rating=rating,
        idempotency_key=str(held.id),
        **{"seconds": 5.0, **values},
    )
    session.commit()
    return said


def expire(session: Session, assignment_id: uuid.UUID) -> None:
    """Let the lease have run out a minute ago; commits."""
    session.execute(RUN_OUT, {"id": assignment_id})
    session.commit()
