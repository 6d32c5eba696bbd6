"""Comparisons that follow from feedback of another kind, written like those that were asked."""

import uuid
from dataclasses import dataclass

from sqlalchemy import select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.collect.changing import keep_version
from app.collect.intake import text_hash
from app.collect.kinds.order import BARELY, MIDDLE, rating_of
from app.collect.pairing import comes_first
from app.collect.queries import take_room
from app.markdown import RENDERER, render_markdown
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
from app.tables.kinds import RankingComparison
from app.tables.projects import Project


@dataclass(frozen=True)
class Verdict:
    """What follows about two completions; the order of the two says nothing where it is a tie."""

    better: Completion
    worse: Completion
    is_tie: bool = False


@dataclass(frozen=True)
class Origin:
    """Where verdicts come from: whose they are, how the prompt was drawn, how long it took."""

    project: Project
    prompt: Prompt
    annotator_id: uuid.UUID
    draw: Draw
    probability: float
    seconds: float
    key: str
    guideline_version_id: uuid.UUID | None
    ranking_id: uuid.UUID | None = None
    is_surplus: bool = False


def write_completion(
    session: Session, prompt: Prompt, words: str, *, source: str, author_id: uuid.UUID
) -> Completion:
    """A completion that an annotator wrote here; the same text of the same person is one."""
    key = text_hash(words)
    known = session.scalar(
        select(Completion).where(
            Completion.prompt_id == prompt.id,
            Completion.content_hash == key,
            Completion.source == source,
            Completion.author_id == author_id,
        )
    )
    if known is not None:
        return known
    completion = Completion(
        id=uuid.uuid4(),
        project_id=prompt.project_id,
        prompt_id=prompt.id,
        text=words,
        html=render_markdown(words),
        renderer=RENDERER,
        content_hash=key,
        source=source,
        author_id=author_id,
    )
    session.add(completion)
    session.flush()
    return completion


def write_comparisons(
    session: Session, origin: Origin, verdicts: list[Verdict]
) -> list[Comparison]:
    """A pair and a comparison for each verdict; flushes.

    The strength is always the same (`order.MIDDLE`), for neither a rank nor an edit says one; a
    tie is "about equal" beside a side that a coin forces. Pairs that are made here
    stay out of the queue. Two completions that this annotator had on a page before are left out:
    what was said there stands.
    """
    sides = {_key(origin, verdict): verdict for verdict in verdicts}
    pairs = _pairs(session, origin, list(sides))
    had = set(
        session.scalars(
            select(Assignment.pair_id).where(
                Assignment.annotator_id == origin.annotator_id,
                Assignment.pair_id.in_([pair.id for pair in pairs]),
            )
        )
    )
    fresh = [pair for pair in pairs if pair.id not in had]
    return [
        _write(session, origin, pair, sides[pair.completion_a_id, pair.completion_b_id], len(fresh))
        for pair in fresh
    ]


def _key(origin: Origin, verdict: Verdict) -> tuple[uuid.UUID, uuid.UUID]:
    one, other = verdict.better, verdict.worse
    is_first = comes_first(origin.prompt.content_hash, one.content_hash, other.content_hash)
    return (one.id, other.id) if is_first else (other.id, one.id)


def _pairs(session: Session, origin: Origin, keys: list[tuple[uuid.UUID, uuid.UUID]]) -> list[Pair]:
    """The pairs, made where they are not there, in one order for all who lock them."""
    if not keys:
        return []
    rows = [
        {
            "project_id": origin.project.id,
            "prompt_id": origin.prompt.id,
            "completion_a_id": a,
            "completion_b_id": b,
            "overlap": origin.project.overlap,
            "is_open": False,
            "ranking_id": origin.ranking_id,
        }
        for a, b in sorted(keys)
    ]
    session.execute(insert(Pair).values(rows).on_conflict_do_nothing())
    found = select(Pair).where(tuple_(Pair.completion_a_id, Pair.completion_b_id).in_(keys))
    return list(session.scalars(found.order_by(Pair.id)))


def _write(
    session: Session, origin: Origin, pair: Pair, verdict: Verdict, n_pairs: int
) -> Comparison:
    is_a_better = verdict.better.id == pair.completion_a_id
    is_surplus = origin.is_surplus or not take_room(session, pair.id)
    assignment = Assignment(
        id=uuid.uuid4(),
        project_id=origin.project.id,
        pair_id=pair.id,
        annotator_id=origin.annotator_id,
        state=AssignmentState.DONE,
        draw=origin.draw,
        draw_probability=origin.probability,
        is_flipped=False,
        lease_until=utc_now(),
        ended_at=utc_now(),
    )
    session.add(assignment)
    # The comparison names the assignment, and no relationship tells the order to SQLAlchemy.
    session.flush()
    comparison = Comparison(
        project_id=origin.project.id,
        assignment_id=assignment.id,
        pair_id=pair.id,
        annotator_id=origin.annotator_id,
        guideline_version_id=origin.guideline_version_id,
        rating=_rating(pair, verdict, is_a_better),
        is_about_equal=verdict.is_tie,
        # One ranking takes its time once, not once a pair.
        seconds=origin.seconds / n_pairs,
        is_flipped=False,
        is_surplus=is_surplus,
        idempotency_key=origin.key,
    )
    session.add(comparison)
    session.flush()
    return comparison


def say_anew(
    session: Session, ranking_id: uuid.UUID, verdicts: list[Verdict], seconds: float
) -> None:
    """Let the comparisons that followed from a ranking follow from what it says now; flushes.

    Each that says something else keeps its version before; all share the `seconds` of the change.
    """
    said = {frozenset((one.better.id, one.worse.id)): one for one in verdicts}
    rows = session.execute(
        select(Comparison, Pair)
        .join(RankingComparison, RankingComparison.comparison_id == Comparison.id)
        .join(Pair, Pair.id == Comparison.pair_id)
        .where(RankingComparison.ranking_id == ranking_id)
        .order_by(Comparison.id)
        .with_for_update(of=Comparison)
    ).all()
    for comparison, pair in rows:
        comparison.seconds += seconds / len(rows)
        verdict = said[frozenset((pair.completion_a_id, pair.completion_b_id))]
        rating = _rating(pair, verdict, verdict.better.id == pair.completion_a_id)
        if (rating, verdict.is_tie) != (comparison.rating, comparison.is_about_equal):
            keep_version(session, comparison)
            comparison.rating, comparison.is_about_equal = rating, verdict.is_tie
    session.flush()


def _rating(pair: Pair, verdict: Verdict, is_a_better: bool) -> int:
    if not verdict.is_tie:
        return rating_of(is_a_better, MIDDLE)
    return rating_of(bool(pair.completion_a_id.bytes[-1] & 1), BARELY)
