"""Simulated annotators behind the services that people use: same leases, same rows, same rules."""

import uuid
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.collect.service import FlagIn, Nothing, SideName, next_assignment, record_comparison
from app.db import session_scope
from app.tables.accounts import Membership, Person, Role
from app.tables.collect import Assignment, Completion, Pair, Prompt
from app.tables.projects import Flag, Project
from worker.demo.annotators import Annotator, Judgement

ANSWERS_A_SITTING = 20


def enlist(session: Session, project: Project, crowd: Sequence[Annotator]) -> list[uuid.UUID]:
    """A person and a membership for each simulated annotator; ids in the order of `crowd`."""
    ids = []
    for annotator in crowd:
        person = Person(
            name=f"{annotator.name} (simulated)",
            email=f"{annotator.name}.{project.slug}@simulated.invalid",
            is_simulated=True,
        )
        session.add(person)
        session.flush()
        session.add(Membership(project_id=project.id, person_id=person.id, role=Role.ANNOTATOR))
        ids.append(person.id)
    session.flush()
    return ids


def answer_everything(
    project_id: uuid.UUID, crowd: Sequence[Annotator], ids: Sequence[uuid.UUID], seed: int
) -> int:
    """Let the crowd answer in turns until nobody is offered another pair. Returns how many."""
    at_work = list(zip(crowd, ids, strict=True))
    n = 0
    while at_work:
        for one in list(at_work):
            with session_scope() as session:
                answered = _sit_down(session, project_id, *one, seed)
            n += answered
            if answered < ANSWERS_A_SITTING:
                at_work.remove(one)
    return n


def _sit_down(
    session: Session, project_id: uuid.UUID, annotator: Annotator, person_id: uuid.UUID, seed: int
) -> int:
    project = session.get_one(Project, project_id)
    flags = session.scalars(select(Flag).where(Flag.project_id == project_id)).all()
    by_label = {flag.label.lower(): flag.id for flag in flags}
    for n in range(ANSWERS_A_SITTING):
        assignment = next_assignment(session, project, person_id)
        if isinstance(assignment, Nothing):
            return n
        _answer(session, assignment, annotator, by_label, seed)
    return ANSWERS_A_SITTING


def _answer(
    session: Session,
    assignment: Assignment,
    annotator: Annotator,
    by_label: dict[str, uuid.UUID],
    seed: int,
) -> None:
    pair = session.get_one(Pair, assignment.pair_id)
    prompt = session.get_one(Prompt, pair.prompt_id)
    text_a = session.get_one(Completion, pair.completion_a_id).text
    text_b = session.get_one(Completion, pair.completion_b_id).text
    judgement = annotator.compare(
        prompt.messages, text_a, text_b, is_a_left=not assignment.is_flipped, seed=seed
    )
    record_comparison(
        session,
        assignment_id=assignment.id,
        annotator_id=assignment.annotator_id,
        rating=judgement.rating,
        seconds=judgement.seconds,
        idempotency_key=str(assignment.id),
        flags=_flags(judgement, by_label),
    )


def _flags(judgement: Judgement, by_label: dict[str, uuid.UUID]) -> list[FlagIn]:
    raised: tuple[tuple[SideName, tuple[str, ...]], ...] = (
        ("A", judgement.flags_a),
        ("B", judgement.flags_b),
    )
    return [
        FlagIn(flag_id=by_label[name], side=side, value=1)
        for side, names in raised
        for name in names
        if name in by_label
    ]
