"""The last look for a pair that somebody began and one person has not had: in steps, not at once.

Who has answered half a million pairs that still want others would walk through all of them at each
look. Here a look takes a few hundredths of a second at most; the next one goes on from there.
"""

import math
import time
import uuid
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.db import Statement

# Conditions on a `pair` named p; see `remaining`.
BEGUN = "p.n_taken > 0 and p.n_taken < p.overlap and p.is_open and not p.is_gold and not p.is_audit"
# A scalar probe: as NOT EXISTS the planner may turn it into a walk through all of one's work.
NOT_MINE = """coalesce((
    select false from assignment a
    where a.annotator_id = :annotator and a.pair_id = {id} and not a.is_retest
), true)"""

STEP = 5_000
LOOK_SECONDS = 0.03
# After a walk in vain that took more than one look, for so long nobody walks again. Where a walk
# is short, what somebody gives back is found at once.
PAUSE_SECONDS = 30.0
# A page that waits looks every 20 seconds; whoever comes later starts anew.
FORGOTTEN_SECONDS = 60.0
MOST_KEPT = 10_000


class Place(NamedTuple):
    """Where a walk stands in the index of begun pairs."""

    n_taken: int
    priority: float
    id: uuid.UUID


START = Place(2**31 - 1, math.inf, uuid.UUID(int=0))

_PART = f"""(
    select p.n_taken, p.priority, p.id from pair p
    where p.project_id = :project and {BEGUN} and {{behind}}
    order by p.n_taken desc, p.priority desc, p.id limit {STEP}
)"""  # noqa: S608
_BEHIND = (
    "p.n_taken = :n_taken and p.priority = :priority and p.id > :id",
    "p.n_taken = :n_taken and p.priority < :priority",
    "p.n_taken < :n_taken",
)
_STEP = Statement(
    f"""
with seen as materialized (
    {" union all ".join(_PART.format(behind=behind) for behind in _BEHIND)} limit {STEP}
)
select
    (select count(*) from seen) as n,
    (select s.id from seen s where {NOT_MINE.format(id="s.id")} limit 1) as found,
    s.n_taken, s.priority, s.id
from seen s order by s.n_taken, s.priority, s.id desc limit 1
"""  # noqa: S608
)


@dataclass(frozen=True)
class Walk:
    """`found` is a pair for this person; without one, `is_over` where there is none."""

    found: uuid.UUID | None
    is_over: bool

    @property
    def may_find(self) -> bool:
        return self.found is not None or not self.is_over


class _Walks:
    """How far each one came, and who walked long and in vain just now; of this process alone."""

    def __init__(self) -> None:
        self.places: dict[tuple[uuid.UUID, uuid.UUID], tuple[Place, float]] = {}
        self.ended: dict[tuple[uuid.UUID, uuid.UUID], float] = {}

    def begin(self, who: tuple[uuid.UUID, uuid.UUID]) -> Place | None:
        """Where to go on; None within the pause."""
        if time.monotonic() - self.ended.get(who, -math.inf) < PAUSE_SECONDS:
            return None
        place, at = self.places.pop(who, (START, math.inf))
        return place if time.monotonic() - at < FORGOTTEN_SECONDS else START

    def interrupt(self, who: tuple[uuid.UUID, uuid.UUID], place: Place) -> None:
        if len(self.places) >= MOST_KEPT:
            self.places.clear()
        self.places[who] = (place, time.monotonic())

    def end(self, who: tuple[uuid.UUID, uuid.UUID]) -> None:
        if len(self.ended) >= MOST_KEPT:
            self.ended.clear()
        self.ended[who] = time.monotonic()


_WALKS = _Walks()


def walk(session: Session, project_id: uuid.UUID, annotator_id: uuid.UUID) -> Walk:
    """Look for a begun pair that this person has not had, from where their last look ended."""
    who = (project_id, annotator_id)
    place = _WALKS.begin(who)
    if place is None:
        return Walk(None, True)
    is_long = place != START
    until = time.monotonic() + LOOK_SECONDS
    values = {"project": project_id, "annotator": annotator_id}
    while True:
        row = _STEP.first(session, {**values, **place._asdict()})
        if row is None or (row.found is None and row.n < STEP):
            if is_long:
                _WALKS.end(who)
            return Walk(None, True)
        if row.found is not None:
            # Whoever only counted comes again to take it.
            _WALKS.interrupt(who, place)
            return Walk(row.found, True)
        place, is_long = Place(row.n_taken, row.priority, row.id), True
        if time.monotonic() > until:
            _WALKS.interrupt(who, place)
            return Walk(None, False)
