"""Rankings, ratings and demonstrations, said anew: the last word counts, every version is kept."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.collect.changing import after_window
from app.collect.controls import PromptTimeIn
from app.collect.kinds.derived import Verdict, say_anew, write_completion
from app.collect.kinds.order import dense, pairs_of_ranking
from app.collect.kinds.service import DEMONSTRATED, check_all, checked_text
from app.collect.kinds.times import add_times
from app.collect.leases import check_text
from app.errors import Conflict, Forbidden
from app.tables.base import utc_now
from app.tables.collect import AssignmentState, Completion, Prompt
from app.tables.kinds import (
    CompletionRating,
    Demonstration,
    PromptAssignment,
    PromptKind,
    PromptRevision,
    RankedCompletion,
)
from app.tables.projects import Project


@dataclass(frozen=True)
class Said:
    """What an answer about a prompt says: a rank or rating of each completion, or a text."""

    choices: Mapping[uuid.UUID, int] = field(default_factory=dict)
    words: str = ""
    comment: str = ""


@dataclass(frozen=True)
class Took:
    """Active seconds of a change, and their checked parts by control."""

    seconds: float = 0.0
    times: Sequence[PromptTimeIn] = ()


def said_in(session: Session, assignment: PromptAssignment) -> Said:
    """What an answer says now."""
    choices: dict[uuid.UUID, int] = {}
    words = ""
    if assignment.kind is PromptKind.RANK:
        ranked = select(RankedCompletion).where(RankedCompletion.ranking_id == assignment.id)
        choices = {one.completion_id: one.rank for one in session.scalars(ranked)}
    elif assignment.kind is PromptKind.RATE:
        rated = select(CompletionRating).where(CompletionRating.assignment_id == assignment.id)
        choices = {one.completion_id: one.rating for one in session.scalars(rated)}
    elif written := session.get(Demonstration, assignment.id):
        words = session.get_one(Completion, written.completion_id).text
    return Said(choices, words, assignment.comment)


def versions_of(
    session: Session, assignment: PromptAssignment
) -> Sequence[tuple[PromptRevision, Said]]:
    """What an answer said before each of its changes, newest first."""
    found = select(PromptRevision).where(PromptRevision.assignment_id == assignment.id)
    rows = session.scalars(found.order_by(PromptRevision.revision.desc())).all()
    return [(one, _said_before(session, one)) for one in rows]


def _said_before(session: Session, was: PromptRevision) -> Said:
    choices = {uuid.UUID(one): number for one, number in was.choices.items()}
    words = session.get_one(Completion, was.completion_id).text if was.completion_id else ""
    return Said(choices, words, was.comment)


def why_unchangeable(project: Project, assignment: PromptAssignment) -> str:
    """A sentence where this answer can no longer be changed, or nothing."""
    return after_window(project, assignment.ended_at or utc_now())


def change(
    session: Session,
    project: Project,
    assignment: PromptAssignment,
    new: Said,
    *,
    after: int | None = None,
    took: Took = Took(),
) -> None:
    """Say something else than before; what was said before is kept as a revision. Flushes.

    What follows from a ranking follows anew, each comparison with its own version kept. `after` is
    the revision that the annotator saw: Conflict where another tab was faster. The same again
    changes nothing and takes no time. Raises Forbidden once the project's time for changes has
    passed, and Invalid.
    """
    if assignment.state is not AssignmentState.DONE:
        raise Conflict("You have not answered this yet. Reload the page.")
    new = _checked(assignment, new)
    old = said_in(session, assignment)
    if new == old:
        return
    if refusal := why_unchangeable(project, assignment):
        raise Forbidden(refusal)
    if after is not None and after != assignment.revision:
        raise Conflict("You have changed this answer in another tab. Reload the page to see it.")
    _keep(session, assignment, old)
    if assignment.kind is PromptKind.RANK:
        _rank(session, assignment, new.choices, took.seconds)
    elif assignment.kind is PromptKind.RATE:
        _rate(session, assignment, new.choices)
    else:
        _write(session, assignment, new.words)
    assignment.comment = new.comment
    assignment.revision += 1
    assignment.changed_at = utc_now()
    assignment.seconds = (assignment.seconds or 0.0) + took.seconds
    add_times(session, assignment, took.times)
    session.flush()


def _checked(assignment: PromptAssignment, new: Said) -> Said:
    """The same, tidied. Raises Invalid."""
    check_text(new.comment, 10_000, "comment")
    comment = new.comment.strip()
    if assignment.kind is PromptKind.DEMONSTRATE:
        return Said(words=checked_text(new.words, "text"), comment=comment)
    if assignment.kind is PromptKind.RATE:
        check_all(assignment, new.choices, range(1, 8), "rating")
        return Said(dict(new.choices), comment=comment)
    check_all(assignment, new.choices, range(1, len(assignment.shown) + 1), "rank")
    return Said(dense(new.choices), comment=comment)


def _keep(session: Session, assignment: PromptAssignment, old: Said) -> None:
    written = session.get(Demonstration, assignment.id)
    session.add(
        PromptRevision(
            assignment_id=assignment.id,
            revision=assignment.revision,
            choices={str(one): number for one, number in old.choices.items()},
            completion_id=written.completion_id if written else None,
            comment=old.comment,
            created_at=assignment.changed_at or assignment.ended_at,
        )
    )


def _rank(
    session: Session, assignment: PromptAssignment, ranks: Mapping[uuid.UUID, int], seconds: float
) -> None:
    for one, rank in ranks.items():
        session.get_one(RankedCompletion, (assignment.id, one)).rank = rank
    found = session.scalars(select(Completion).where(Completion.id.in_(list(ranks))))
    completions = {one.id: one for one in found}
    verdicts = [
        Verdict(completions[one], completions[other], is_tie)
        for one, other, is_tie in pairs_of_ranking(ranks)
    ]
    say_anew(session, assignment.id, verdicts, seconds)


def _rate(session: Session, assignment: PromptAssignment, ratings: Mapping[uuid.UUID, int]) -> None:
    for one, rating in ratings.items():
        session.get_one(CompletionRating, (assignment.id, one)).rating = rating


def _write(session: Session, assignment: PromptAssignment, words: str) -> None:
    prompt = session.get_one(Prompt, assignment.prompt_id)
    completion = write_completion(
        session, prompt, words, source=DEMONSTRATED, author_id=assignment.annotator_id
    )
    session.get_one(Demonstration, assignment.id).completion_id = completion.id
