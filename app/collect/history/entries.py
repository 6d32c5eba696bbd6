"""What one line of one's history shows, read for some answers of one walk at a time."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, case, exists, func, literal, or_, select, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, aliased

from app.tables.collect import Assignment, Comparison, Completion, Draw, FlagAnswer, Pair, Prompt
from app.tables.kinds import (
    CompletionRating,
    Demonstration,
    PromptAssignment,
    PromptKind,
    RankedCompletion,
    RankingComparison,
    Rewrite,
)
from app.tables.projects import Project

# What a line is called, by what it is.
KINDS = {
    "comparison": "comparisons",
    "conversation": "conversations",
    "rewrite": "rewrites",
    "rank": "rankings",
    "rate": "ratings",
    "demonstrate": "demonstrations",
}


@dataclass(frozen=True)
class Wanted:
    """What is looked for. `rating` is a range in the order shown; `words` must all be found."""

    words: tuple[str, ...] = ()
    rating: tuple[int, int] | None = None
    flag_id: uuid.UUID | None = None
    said: str = ""
    kind: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Entry:
    """One answer: a comparison, or an assignment of another kind with what was said there.

    `choices` are ranks or ratings in the order shown, `words` the beginning of what was written.
    """

    id: uuid.UUID
    at: datetime
    kind: str
    slug: str
    prompt: str
    comment: str
    seconds: float
    revision: int
    comparison: Comparison | None = None
    choices: tuple[int, ...] = ()
    words: str = ""


_A, _B, _EDITED = aliased(Completion), aliased(Completion), aliased(Completion)
_LAST_TURN = func.left(Prompt.messages[-1]["content"].astext, 160)


def comparisons(session: Session, ids: Sequence[uuid.UUID], wanted: Wanted) -> list[Entry]:
    """Those among the comparisons that are wanted; what follows from another answer never is."""
    if not ids or wanted.kind in ("rank", "rate", "demonstrate"):
        return []
    found = (
        select(Comparison, Project.slug, _LAST_TURN, Assignment.draw, _EDITED.text)
        .join(Project, Project.id == Comparison.project_id)
        .join(Assignment, Assignment.id == Comparison.assignment_id)
        .join(Pair, Pair.id == Comparison.pair_id)
        .join(Prompt, Prompt.id == Pair.prompt_id)
        .join(_A, _A.id == Pair.completion_a_id)
        .join(_B, _B.id == Pair.completion_b_id)
        .outerjoin(Rewrite, Rewrite.comparison_id == Comparison.id)
        .outerjoin(_EDITED, _EDITED.id == Rewrite.edited_id)
        .where(Comparison.id == func.any(literal(list(ids))), *_tests(wanted))
    )
    return [_comparison(row) for row in session.execute(found)]


def _comparison(row: Any) -> Entry:
    one, slug, prompt, draw, edited = row
    kind = "conversation" if draw is Draw.CONVERSATION else "rewrite" if edited else "comparison"
    return Entry(
        one.id, one.created_at, kind, slug, prompt, one.comment, one.seconds, one.revision,
        comparison=one, words=(edited or "")[:200],
    )  # fmt: skip


def _tests(wanted: Wanted) -> list[ColumnElement[bool]]:
    tests = [
        _has(word, Comparison.comment, _A.text, _B.text, _EDITED.text) for word in wanted.words
    ]
    tests.append(~exists().where(RankingComparison.comparison_id == Comparison.id))
    follower = aliased(Rewrite)
    tests.append(~exists().where(follower.derived_comparison_id == Comparison.id))
    if wanted.rating is not None:
        shown = case((Comparison.is_flipped, 9 - Comparison.rating), else_=Comparison.rating)
        tests.append(shown.between(*wanted.rating))
    if wanted.flag_id is not None:
        yes = select(FlagAnswer.flag_id).where(
            FlagAnswer.comparison_id == Comparison.id,
            FlagAnswer.flag_id == wanted.flag_id,
            FlagAnswer.value >= 1,
        )
        tests.append(yes.exists())
    said = {
        "equal": Comparison.is_about_equal,
        "bad": Comparison.is_both_bad,
        "comment": Comparison.comment != "",
        "changed": Comparison.revision > 1,
    }
    if wanted.said in said:
        tests.append(said[wanted.said] == true())
    kinds = {
        "comparison": Assignment.draw != Draw.CONVERSATION,
        "conversation": Assignment.draw == Draw.CONVERSATION,
        "rewrite": Rewrite.comparison_id.is_not(None),
    }
    if wanted.kind in kinds:
        tests.append(kinds[wanted.kind])
    return tests


def prompts(session: Session, ids: Sequence[uuid.UUID], wanted: Wanted) -> list[Entry]:
    """Those among the rankings, ratings and demonstrations that are wanted."""
    if not ids or wanted.kind in ("comparison", "conversation", "rewrite"):
        return []
    if wanted.rating or wanted.flag_id or wanted.said in ("equal", "bad"):
        return []
    rows = session.execute(_prompts(ids, wanted)).all()
    given = _choices(session, [one.id for one, *_ in rows])
    return [_prompt(row, given) for row in rows]


def _prompts(ids: Sequence[uuid.UUID], wanted: Wanted) -> Select[Any]:
    found = (
        select(PromptAssignment, Project.slug, _LAST_TURN, _EDITED.text)
        .join(Project, Project.id == PromptAssignment.project_id)
        .join(Prompt, Prompt.id == PromptAssignment.prompt_id)
        .outerjoin(Demonstration, Demonstration.assignment_id == PromptAssignment.id)
        .outerjoin(_EDITED, _EDITED.id == Demonstration.completion_id)
        .where(PromptAssignment.id == func.any(literal(list(ids))))
    )
    for word in wanted.words:
        shown = exists().where(
            _A.id == func.any(PromptAssignment.shown), _A.text.icontains(word, autoescape=True)
        )
        found = found.where(or_(_has(word, PromptAssignment.comment, _EDITED.text), shown))
    if wanted.kind:
        found = found.where(PromptAssignment.kind == wanted.kind)
    if wanted.said == "comment":
        found = found.where(PromptAssignment.comment != "")
    if wanted.said == "changed":
        found = found.where(PromptAssignment.revision > 1)
    return found


def _choices(
    session: Session, ids: Sequence[uuid.UUID]
) -> Mapping[tuple[uuid.UUID, uuid.UUID], int]:
    """The rank or rating of each completion of each assignment."""
    ranks = select(
        RankedCompletion.ranking_id, RankedCompletion.completion_id, RankedCompletion.rank
    ).where(RankedCompletion.ranking_id.in_(ids))
    ratings = select(
        CompletionRating.assignment_id, CompletionRating.completion_id, CompletionRating.rating
    ).where(CompletionRating.assignment_id.in_(ids))
    rows = session.execute(ranks.union_all(ratings)).all() if ids else ()
    return {(row[0], row[1]): row[2] for row in rows}


def _prompt(row: Any, given: Mapping[tuple[uuid.UUID, uuid.UUID], int]) -> Entry:
    one, slug, prompt, written = row
    choices = tuple(given[one.id, shown] for shown in one.shown if (one.id, shown) in given)
    return Entry(
        one.id, one.ended_at, PromptKind(one.kind).value, slug, prompt, one.comment,
        one.seconds or 0.0, one.revision, choices=choices, words=(written or "")[:200],
    )  # fmt: skip


def _has(word: str, *places: Any) -> ColumnElement[bool]:
    """Whether a word, or a part of one, stands in the conversation or in one of the places."""
    turn = (
        func.jsonb_array_elements(Prompt.messages, type_=JSONB).table_valued("value").alias("turn")
    )
    content = turn.c.value.op("->>")("content")
    in_turns = select(literal(1)).select_from(turn).where(content.icontains(word, autoescape=True))
    return or_(*(place.icontains(word, autoescape=True) for place in places), in_turns.exists())
