"""The SQL of one's own answers: pages by key, and a search that ends in time.

Nobody's history is searched as a whole. Answers are walked from the newest on in spans of some
hundreds by the index of annotator, project and time; each span is looked through for what is
wanted. A page ends when it is full, or when the time is up: then it says how far it looked, and
the next page goes on from there. So a search through many answers costs each page the same.
"""

import time
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, case, func, literal, or_, select, text, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, aliased

from app.tables.collect import Comparison, Completion, FlagAnswer, Pair, Prompt
from app.tables.projects import Project

SECONDS = 0.5  # how long one page looks before it says how far it came
SPAN, LONGEST_SPAN, SHORTEST_SPAN = 200, 2_000, 20
SPAN_SECONDS = 0.15  # what a span should take: long texts make it shorter

# Ends are infinite rather than left out: a plan for "no end or before it" would walk from the top.
_SPAN = """
select x.id, x.created_at from unnest(cast(:projects as uuid[])) as p(id)
cross join lateral (
    select c.id, c.created_at from comparison c
    where c.annotator_id = :person and c.project_id = p.id
        and c.created_at >= cast(:since as timestamptz)
        and c.created_at < cast(:until as timestamptz)
        and (c.created_at, c.id) {than} (cast(:at as timestamptz), cast(:id as uuid))
    order by c.created_at {way}, c.id {way} limit :n
) x
order by x.created_at {way}, x.id {way} limit :n
"""
_OLDER = text(_SPAN.format(than="<", way="desc"))
_NEWER = text(_SPAN.format(than=">", way="asc"))


@dataclass(frozen=True)
class Wanted:
    """What is looked for. `rating` is a range in the order shown; `words` must all be found."""

    words: tuple[str, ...] = ()
    rating: tuple[int, int] | None = None
    flag_id: uuid.UUID | None = None
    said: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Place:
    """An answer beside which a page begins: with the older ones, or with the newer (`is_back`)."""

    at: datetime
    answer_id: uuid.UUID
    is_back: bool = False


Answers = Sequence[Row[Comparison, str, str]]


@dataclass(frozen=True)
class Page:
    """Answers, newest first, each with its project's address and the end of its prompt.

    `next` is where the walk goes on, None at its end; `is_cut` says that time ran out.
    """

    rows: Answers
    next: Place | None
    is_cut: bool = False


def answers_of(
    session: Session,
    person_id: uuid.UUID,
    project_ids: Collection[uuid.UUID],
    wanted: Wanted,
    *,
    place: Place | None = None,
    size: int = 50,
    seconds: float = SECONDS,
) -> Page:
    """One page of a person's own answers, in at most about `seconds` and the time of one span."""
    is_back = place is not None and place.is_back
    tests = _tests(wanted)
    walk = _Walk(session, person_id, list(project_ids), wanted)
    found: list[Row[Comparison, str, str]] = []
    ends = time.monotonic() + seconds
    # One more than fits, to know whether another page follows.
    n = SPAN if tests else size + 1
    while True:
        began = time.monotonic()
        span = walk.span(place, n)
        found += _look(session, [row.id for row in span], tests, is_back)
        is_end = len(span) < n
        if span:
            place = Place(span[-1].created_at, span[-1].id, is_back)
        taken = time.monotonic() - began
        longer = _next_length(n, taken)
        # What the next span would take is known well enough not to begin what cannot be ended.
        is_cut = time.monotonic() + taken * longer / n > ends
        if is_end or is_cut or len(found) > size:
            break
        n = longer
    if len(found) > size:
        found = found[:size]
        last = found[-1][0]
        return Page(_newest_first(found), Place(last.created_at, last.id, is_back))
    return Page(_newest_first(found), None if is_end else place, not is_end and is_cut)


def _next_length(n: int, taken: float) -> int:
    """How long the next span is, after one of `n` answers took so many seconds."""
    wanted = int(n * min(2.0, SPAN_SECONDS / max(taken, 1e-6)))
    return max(SHORTEST_SPAN, min(LONGEST_SPAN, wanted))


def _newest_first(found: Answers) -> Answers:
    return sorted(found, key=lambda row: (row[0].created_at, row[0].id), reverse=True)


@dataclass(frozen=True)
class _Walk:
    session: Session
    person_id: uuid.UUID
    project_ids: list[uuid.UUID]
    wanted: Wanted

    def span(self, place: Place | None, n: int) -> Sequence[Row[Any]]:
        """The next `n` answers of the walk, whatever is wanted of them."""
        values = {
            "person": self.person_id,
            "projects": self.project_ids,
            "since": self.wanted.since or "-infinity",
            "until": self.wanted.until or "infinity",
            "at": place.at if place else "infinity",
            "id": place.answer_id if place else uuid.UUID(int=0),
            "n": n,
        }
        statement = _NEWER if place and place.is_back else _OLDER
        return self.session.execute(statement, values).all()


_A, _B = aliased(Completion), aliased(Completion)


def _look(
    session: Session, ids: list[uuid.UUID], tests: list[ColumnElement[bool]], is_back: bool
) -> Answers:
    if not ids:
        return []
    last_turn = Prompt.messages[-1]["content"].astext
    found = (
        select(Comparison, Project.slug, func.left(last_turn, 160))
        .join(Project, Project.id == Comparison.project_id)
        .join(Pair, Pair.id == Comparison.pair_id)
        .join(Prompt, Prompt.id == Pair.prompt_id)
        .join(_A, _A.id == Pair.completion_a_id)
        .join(_B, _B.id == Pair.completion_b_id)
        .where(Comparison.id == func.any(literal(ids)), *tests)
    )
    order = (Comparison.created_at, Comparison.id)
    return session.execute(
        found.order_by(*(order if is_back else (one.desc() for one in order)))
    ).all()


def _tests(wanted: Wanted) -> list[ColumnElement[bool]]:
    tests = [_has(word) for word in wanted.words]
    if wanted.rating is not None:
        shown = case((Comparison.is_flipped, 9 - Comparison.rating), else_=Comparison.rating)
        tests.append(shown.between(*wanted.rating))
    if wanted.flag_id is not None:
        yes = select(FlagAnswer.id).where(
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
    return tests


def _has(word: str) -> ColumnElement[bool]:
    """Whether a word, or a part of one, stands in the conversation, an answer or the comment."""
    turn = (
        func.jsonb_array_elements(Prompt.messages, type_=JSONB).table_valued("value").alias("turn")
    )
    content = turn.c.value.op("->>")("content")
    in_turns = select(literal(1)).select_from(turn).where(content.icontains(word, autoescape=True))
    places = (Comparison.comment, _A.text, _B.text)
    return or_(*(place.icontains(word, autoescape=True) for place in places), in_turns.exists())
