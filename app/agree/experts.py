"""Answers in another role than an annotator's: an adjudicator's and a researcher's.

Each is one more comparison, for which its pair makes room; nothing that others said changes.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.collect.flagging import FlagIn, check_flags, write_flags
from app.collect.leases import LONGEST_REASON, check_text
from app.collect.pairing import is_flipped, is_rating
from app.collect.standing import one_at_a_time
from app.errors import Conflict, Invalid
from app.projects.asking import asking_of
from app.tables.accounts import Person
from app.tables.base import utc_now
from app.tables.collect import (
    AnswerRole,
    Assignment,
    AssignmentState,
    Comparison,
    Draw,
    Pair,
    Prompt,
)
from app.tables.projects import Project

LONGEST_SITTING = 3_600.0
DRAWS = {AnswerRole.ADJUDICATOR: Draw.ADJUDICATION, AnswerRole.RESEARCHER: Draw.RESEARCH}


@dataclass(frozen=True)
class ExpertIn:
    """`rating` and `flags` are canonical; `seconds` are those since the page was opened."""

    rating: int
    seconds: float
    flags: Sequence[FlagIn] = ()
    comment: str = ""


def has_had(session: Session, pair_id: uuid.UUID, person_id: uuid.UUID) -> bool:
    """Whether the person has had the pair on their page, in whatever role."""
    found = select(Assignment.id).where(
        Assignment.pair_id == pair_id, Assignment.annotator_id == person_id
    )
    return session.scalar(found.limit(1)) is not None


def answer_as(
    session: Session,
    project: Project,
    pair: Pair,
    person: Person,
    said: ExpertIn,
    *,
    role: AnswerRole,
    flipped: bool = False,
) -> Comparison:
    """Record the answer. Raises Invalid, or Conflict where the person has had the pair before."""
    one_at_a_time(session, person.id)
    if not is_rating(said.rating):
        raise Invalid("Choose one of the eight cells: a rating from 1 to 8.", field="rating")
    check_text(said.comment, LONGEST_REASON, "comment")
    if has_had(session, pair.id, person.id):
        raise Conflict("You have had this pair yourself, so someone else has to decide on it.")
    asking = asking_of(session, project.id)
    answers = check_flags(asking.every_flag, said.flags)
    assignment = _assignment(session, pair, person, DRAWS[role], flipped)
    comparison = Comparison(
        project_id=project.id,
        assignment_id=assignment.id,
        pair_id=pair.id,
        annotator_id=person.id,
        guideline_version_id=asking.guidelines_id,
        role=role,
        rating=said.rating,
        comment=said.comment.strip(),
        seconds=max(0.0, min(said.seconds, LONGEST_SITTING)),
        is_flipped=flipped,
        idempotency_key=str(assignment.id),
    )
    session.add(comparison)
    session.flush()
    write_flags(session, comparison.id, pair.id, answers)
    return comparison


def _assignment(
    session: Session, pair: Pair, person: Person, draw: Draw, flipped: bool
) -> Assignment:
    # Beside the pair's own number of answers: it takes nobody's place.
    session.execute(
        update(Pair)
        .where(Pair.id == pair.id, ~Pair.is_gold)
        .values(overlap=Pair.overlap + 1, n_taken=Pair.n_taken + 1)
        .execution_options(synchronize_session=False)
    )
    session.expire(pair)
    assignment = Assignment(
        project_id=pair.project_id,
        pair_id=pair.id,
        annotator_id=person.id,
        state=AssignmentState.DONE,
        draw=draw,
        draw_probability=1.0,
        is_flipped=flipped,
        lease_until=utc_now(),
        ended_at=utc_now(),
    )
    session.add(assignment)
    session.flush()
    return assignment


def next_for_researcher(
    session: Session, project: Project, person: Person
) -> tuple[Pair, bool] | None:
    """An answered pair that this person has not had, and whether B is shown on the left.

    In an order of the person's own that knows nothing of the answers, so what comes is a random
    sample of all that annotators answered. None where nothing is left.
    """
    answered = (
        select(Comparison.id)
        .where(
            Comparison.pair_id == Pair.id,
            Comparison.role == AnswerRole.ANNOTATOR,
            Comparison.is_retest.is_(False),
            Comparison.annotator_id != person.id,
        )
        .exists()
    )
    had = (
        select(Assignment.id)
        .where(Assignment.pair_id == Pair.id, Assignment.annotator_id == person.id)
        .exists()
    )
    pair = session.scalar(
        select(Pair)
        .join(Prompt, Prompt.id == Pair.prompt_id)
        .where(Pair.project_id == project.id, ~Pair.is_gold, answered, ~had)
        .order_by(func.md5(func.concat(Pair.id, str(person.id))))
        .limit(1)
    )
    return (pair, is_flipped(person.id, pair.id, project.seed)) if pair else None
