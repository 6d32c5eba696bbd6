"""What is left to answer: in a project, and in it for one person.

The start page and the compare page count by the same function, and handing out in `collect` goes
by the same conditions. They are written for a `pair` named p.
"""

import math
import time
import uuid
from collections.abc import Collection

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.db import Statement
from app.projects.walk import BEGUN, NOT_MINE, walk
from app.tables.collect import Pair

# Beyond this a person does not count what is left, and neither do we.
MANY = 100
# How many pairs that others began are looked at, for the same reason.
LOOK = 300

# Where a project has so many fresh pairs, nobody's own are counted for so many seconds.
PLENTY, PLENTY_SECONDS = 1_000, 5.0
MOST_KEPT = 1_000

UNBEGUN = (
    "p.project_id = :project and p.n_taken = 0 and p.is_open and not p.is_gold and not p.is_audit"
)
FRESH = f"{UNBEGUN} and {NOT_MINE.format(id='p.id')}"

# Parts of a statement. What `LEFT` counts is for `left_of` to say; pairs that the person holds in
# a slot before `:slot` are answered by then.
LEFT_FROM = f"""
begun as materialized (
    select p.id from pair p where p.project_id = :project and {BEGUN}
    order by p.n_taken desc, p.priority desc, p.id limit {LOOK}
),
fresh as (select p.id from pair p where {FRESH} limit {MANY + 1}),
-- Apart, for each state has an index of its own; together they would walk all of one's work.
held as (
    select from assignment a
    where a.annotator_id = :annotator and a.project_id = :project and a.state = 'leased'
        and a.slot >= :slot
),
dropped as (
    select from assignment a join pair p on p.id = a.pair_id
    where a.annotator_id = :annotator and a.project_id = :project and a.state = 'expired'
        and p.is_open and (p.is_gold or a.is_retest or p.n_taken < p.overlap)
    limit {MANY + 1}
)"""  # noqa: S608
# Where fresh pairs alone are more than a person counts, nothing else is looked at.
LEFT = f"""
case when (select count(*) from fresh) > {MANY} then {MANY + 1} else
    (select count(*) from begun where {NOT_MINE.format(id="begun.id")})
    + (select count(*) from fresh) + (select count(*) from held)
    + (select count(*) from dropped)
end as n_left,
case when (select count(*) from fresh) > {MANY} then 0 else
    (select count(*) from begun)
end as n_looked
"""  # noqa: S608
_PLENTY = Statement(
    f"select count(*) as n from (select from pair p where {UNBEGUN} limit {PLENTY}) found"  # noqa: S608
)
_LEFT = text(f"with {LEFT_FROM} select {LEFT}")


def n_left(session: Session, project_id: uuid.UUID, annotator_id: uuid.UUID) -> int:
    """How many pairs this annotator could still answer, with the one on their page.

    Counted up to `MANY` + 1; among pairs that others began in the first `LOOK`, and behind them as
    one at most, which may be a guess while a long walk (`walk`) is not over. 0 is exact.
    """
    who = {"project": project_id, "annotator": annotator_id, "slot": 0}
    row = session.execute(_LEFT, who).one()
    return left_of(session, project_id, annotator_id, row.n_left, row.n_looked)


def left_of(
    session: Session, project_id: uuid.UUID, annotator_id: uuid.UUID, n_left: int, n_looked: int
) -> int:
    """`n_left`, by what the columns `LEFT` of another statement have counted."""
    if n_left == 0 and n_looked == LOOK:
        return int(walk(session, project_id, annotator_id).may_find)
    return min(n_left, MANY + 1)


_plenty: dict[uuid.UUID, tuple[float, bool]] = {}


def has_plenty(session: Session, project_id: uuid.UUID) -> bool:
    """Whether there is more to answer than anybody counts, without a look at one person's part.

    Among a thousand pairs that nobody holds or has answered a hundred are left for everyone but
    whoever skipped nearly all of them. Trusted for a few seconds, in which others take some.
    """
    now = time.monotonic()
    until, is_so = _plenty.get(project_id, (-math.inf, False))
    if now > until:
        is_so = _PLENTY.one(session, {"project": project_id}).n == PLENTY
        if len(_plenty) >= MOST_KEPT:
            _plenty.clear()
        _plenty[project_id] = (now + PLENTY_SECONDS, is_so)
    return is_so


def open_pairs(session: Session, project_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, int]:
    """How many pairs of each project still wait for an answer; gold items do not count."""
    found = (
        select(Pair.project_id, func.count())
        .where(
            Pair.project_id.in_(project_ids),
            Pair.is_open,
            ~Pair.is_gold,
            Pair.n_taken < Pair.overlap,
        )
        .group_by(Pair.project_id)
    )
    return dict(session.execute(found).all())


def count_open_pairs(session: Session, project_id: uuid.UUID) -> int:
    return open_pairs(session, [project_id]).get(project_id, 0)
