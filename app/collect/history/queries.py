"""The walk through one's own answers: pages by key, and a search that ends in time.

Nobody's history is searched as a whole. Answers are walked from the newest on in spans of some
hundreds by the indexes of annotator, project and time; each span is looked through for what is
wanted. A page ends when it is full, or when the time is up: then it says how far it looked, and
the next page goes on from there. So a search through many answers costs each page the same.
"""

import time
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from app.collect.history.entries import Entry, Wanted, comparisons, prompts

__all__ = ["Entry", "Page", "Place", "Wanted", "answers_of"]

SECONDS = 0.5  # how long one page looks before it says how far it came
SPAN, LONGEST_SPAN, SHORTEST_SPAN = 200, 2_000, 20
SPAN_SECONDS = 0.15  # what a span should take: long texts make it shorter

# Ends are infinite rather than left out: a plan for "no end or before it" would walk from the top.
_SPAN = """
select x.id, x.at, x.is_prompt from unnest(cast(:projects as uuid[])) as p(id)
cross join lateral (
    (select c.id, c.created_at as at, false as is_prompt from comparison c
    where c.annotator_id = :person and c.project_id = p.id
        and c.created_at >= cast(:since as timestamptz)
        and c.created_at < cast(:until as timestamptz)
        and (c.created_at, c.id) {than} (cast(:at as timestamptz), cast(:id as uuid))
    order by c.created_at {way}, c.id {way} limit :n)
    union all
    (select a.id, a.ended_at, true from prompt_assignment a
    where a.annotator_id = :person and a.project_id = p.id and a.state = 'done'
        and a.ended_at >= cast(:since as timestamptz)
        and a.ended_at < cast(:until as timestamptz)
        and (a.ended_at, a.id) {than} (cast(:at as timestamptz), cast(:id as uuid))
    order by a.ended_at {way}, a.id {way} limit :n)
) x
order by x.at {way}, x.id {way} limit :n
"""
_OLDER = text(_SPAN.format(than="<", way="desc"))
_NEWER = text(_SPAN.format(than=">", way="asc"))


@dataclass(frozen=True)
class Place:
    """An answer beside which a page begins: with the older ones, or with the newer (`is_back`)."""

    at: datetime
    answer_id: uuid.UUID
    is_back: bool = False


@dataclass(frozen=True)
class Page:
    """Answers, newest first.

    `next` is where the walk goes on, None at its end; `is_cut` says that time ran out.
    """

    rows: Sequence[Entry]
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
    walk = _Walk(session, person_id, list(project_ids), wanted)
    found: list[Entry] = []
    ends = time.monotonic() + seconds
    # More than one page: what follows from other answers is walked over, and not shown.
    n = SPAN if wanted != Wanted() else size * 2
    while True:
        began = time.monotonic()
        span = walk.span(place, n)
        found += _look(session, span, wanted, is_back)
        is_end = len(span) < n
        if span:
            place = Place(span[-1].at, span[-1].id, is_back)
        taken = time.monotonic() - began
        longer = _next_length(n, taken)
        # What the next span would take is known well enough not to begin what cannot be ended.
        is_cut = time.monotonic() + taken * longer / n > ends
        if is_end or is_cut or len(found) > size:
            break
        n = longer
    if len(found) > size:
        found = found[:size]
        last = found[-1]
        return Page(_newest_first(found), Place(last.at, last.id, is_back))
    return Page(_newest_first(found), None if is_end else place, not is_end and is_cut)


def _next_length(n: int, taken: float) -> int:
    """How long the next span is, after one of `n` answers took so many seconds."""
    wanted = int(n * min(2.0, SPAN_SECONDS / max(taken, 1e-6)))
    return max(SHORTEST_SPAN, min(LONGEST_SPAN, wanted))


def _newest_first(found: Sequence[Entry]) -> list[Entry]:
    return sorted(found, key=_place, reverse=True)


def _place(entry: Entry) -> tuple[datetime, uuid.UUID]:
    return entry.at, entry.id


def _look(session: Session, span: Sequence[Row[Any]], wanted: Wanted, is_back: bool) -> list[Entry]:
    """What is wanted of a span, in the order of the walk."""
    found = [
        *comparisons(session, [row.id for row in span if not row.is_prompt], wanted),
        *prompts(session, [row.id for row in span if row.is_prompt], wanted),
    ]
    return sorted(found, key=_place, reverse=not is_back)


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
