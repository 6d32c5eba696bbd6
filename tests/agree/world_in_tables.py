"""Simulated people whose answers stand in the tables, written in bulk."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.agree.answers import Answers
from app.tables.accounts import Membership, Person, Role
from app.tables.base import utc_now
from app.tables.collect import (
    Assignment,
    AssignmentState,
    Comparison,
    Completion,
    Draw,
    Pair,
    Prompt,
)
from app.tables.projects import Project


def write_answers(
    session: Session,
    project: Project,
    answers: Answers,
    *,
    names: Sequence[str] = (),
    start: datetime | None = None,
    days: int = 42,
    version_ids: Sequence[uuid.UUID] = (),
    seconds: float = 40.0,
) -> tuple[list[Person], list[uuid.UUID]]:
    """People, pairs and comparisons as `answers` say, spread evenly over `days`; flushes.

    `version_ids` share the time evenly. Returns the people and the pairs' ids in their numbers.
    """
    people = _people(session, project, answers.n_people, names)
    pairs = _pairs(session, project, answers)
    begin = start or utc_now() - timedelta(days=days)
    m = len(answers.pairs)
    assignments, comparisons = [], []
    for k in range(m):
        at = begin + timedelta(days=days * k / m)
        who, pair = people[answers.people[k]].id, pairs[answers.pairs[k]]
        common = {
            "project_id": project.id,
            "pair_id": pair,
            "annotator_id": who,
            "is_flipped": bool(answers.is_flipped[k]),
            "created_at": at,
        }
        assignment_id = uuid.uuid4()
        assignments.append(
            {
                **common,
                "id": assignment_id,
                "state": AssignmentState.DONE,
                "draw": Draw.OVERLAP,
                "draw_probability": 1.0,
                "lease_until": at,
                "ended_at": at,
            }
        )
        comparisons.append(
            {
                **common,
                "assignment_id": assignment_id,
                "rating": int(answers.choices[k]) + 1,
                "seconds": seconds + k % 17,
                "idempotency_key": str(k),
                "guideline_version_id": version_ids[k * len(version_ids) // m]
                if version_ids
                else None,
                "updated_at": at,
            }
        )
    session.execute(insert(Assignment), assignments)
    session.execute(insert(Comparison), comparisons)
    session.flush()
    return people, pairs


def _people(session: Session, project: Project, n: int, names: Sequence[str]) -> list[Person]:
    people = []
    for k in range(n):
        name = names[k] if k < len(names) else f"person {k + 1}"
        person = Person(name=name, email=f"{name.replace(' ', '')}@example.org")
        session.add(person)
        people.append(person)
    session.flush()
    session.add_all(
        Membership(project_id=project.id, person_id=one.id, role=Role.ANNOTATOR) for one in people
    )
    session.flush()
    return people


def _pairs(session: Session, project: Project, answers: Answers) -> list[uuid.UUID]:
    n_by_pair = answers.n_by_pair
    prompts, completions, pairs = [], [], []
    for k in range(answers.n_pairs):
        prompt, a, b = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
        says = f"Question {k}: how should I water ferns?"
        prompts.append(
            {
                "id": prompt,
                "project_id": project.id,
                "messages": [{"role": "user", "content": says}],
                "html": [f"<p>{says}</p>"],
                "renderer": 1,
                "content_hash": prompt.bytes,
            }
        )
        for one, words in ((a, f"Sparingly, {k} times."), (b, "Every morning. " * (1 + k % 5))):
            completions.append(
                {
                    "id": one,
                    "project_id": project.id,
                    "prompt_id": prompt,
                    "text": words,
                    "html": f"<p>{words}</p>",
                    "renderer": 1,
                    "content_hash": one.bytes,
                }
            )
        n = int(n_by_pair[k])
        pairs.append(
            {
                "id": uuid.uuid4(),
                "project_id": project.id,
                "prompt_id": prompt,
                "completion_a_id": a,
                "completion_b_id": b,
                "overlap": max(n, 1),
                "n_taken": n,
            }
        )
    session.execute(insert(Prompt), prompts)
    session.execute(insert(Completion), completions)
    session.execute(insert(Pair), pairs)
    return [pair["id"] for pair in pairs]


def answer_twice(session: Session, first: Comparison, rating: int) -> None:
    """A retest of that answer: the same pair and person, sides swapped."""
    shared = {
        "project_id": first.project_id,
        "pair_id": first.pair_id,
        "annotator_id": first.annotator_id,
        "is_flipped": not first.is_flipped,
        "is_retest": True,
    }
    assignment = Assignment(
        **shared,
        state=AssignmentState.DONE,
        draw=Draw.RETEST,
        draw_probability=1.0,
        lease_until=utc_now(),
        ended_at=utc_now(),
    )
    session.add(assignment)
    session.flush()
    session.add(
        Comparison(
            **shared,
            assignment_id=assignment.id,
            rating=rating,
            seconds=9.0,
            idempotency_key="again",
        )
    )
    session.flush()
