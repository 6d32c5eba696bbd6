"""Groups' answers, read when asked for: the streamed state is of everyone."""

import uuid
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from app.agree.between import Side
from app.agree.tally import COUNTS, FLAGS, NUMBERED, RATINGS, WEEK, at_once
from app.tables.agree import EVERY_VERSION, NO_FLAG, NO_VERSION

OF_GROUP = """
    and c.annotator_id in (
        select m.person_id from group_member m join person_group g on g.id = m.group_id
        where m.group_id = :group and g.project_id = :project
    )
    and (:version = :every or coalesce(c.guideline_version_id, cast(:none as uuid)) = :version)
"""
TALLY = """
    with {numbered}
    select f.flag_id, week, counts, count(*) as n from (
        select part / 3 as flag, {week} as week, {counts} as counts
        from ({answers} {of_group}) answer group by pair_id, part
    ) unit
    join every_flag f on f.number = unit.flag
    where week >= coalesce(cast(:since as date), week)
        and week <= coalesce(cast(:until as date), week)
    group by f.flag_id, week, counts order by f.flag_id, week, counts
"""


def _statement(answers: str) -> Any:
    parts = {"numbered": NUMBERED, "week": WEEK, "counts": COUNTS, "of_group": OF_GROUP}
    return text(TALLY.format(answers=answers, **parts))


OF_RATINGS, OF_FLAGS = _statement(RATINGS), _statement(FLAGS)


def group_rows(
    session: Session,
    project_id: uuid.UUID,
    group_id: uuid.UUID,
    *,
    version: uuid.UUID,
    since: date | None,
    until: date | None,
    is_of_flags: bool = False,
) -> Sequence[Row[Any]]:
    """(flag_id, week, counts, n), oldest first, under the conditions of the streamed state.

    Reads every answer of the group's people, so its time grows with their answers.
    """
    values = {
        "project": project_id,
        "group": group_id,
        "version": version,
        "every": EVERY_VERSION,
        "none": NO_VERSION,
        "no_flag": NO_FLAG,
        "since": since,
        "until": until,
    }
    with at_once(session):
        return session.execute(OF_FLAGS if is_of_flags else OF_RATINGS, values).all()


BOTH = text(
    """
    with given as (
        select c.pair_id, m.group_id, avg(c.rating)::float8 as mean,
            avg(c.rating * c.rating)::float8 as square,
            avg(case when c.rating > 4 then 1 else 0 end)::float8 as share_b
        from comparison c
        join pair p on p.id = c.pair_id and not p.is_gold
        join group_member m on m.person_id = c.annotator_id and m.group_id in (:one, :other)
        join person_group g on g.id = m.group_id and g.project_id = c.project_id
        where c.project_id = :project and not c.is_retest and c.role = 'annotator'
            -- Nobody agrees with themselves: whoever is in both groups is in neither here.
            and not exists (
                select from group_member x where x.person_id = m.person_id
                and x.group_id in (:one, :other) and x.group_id <> m.group_id
            )
            and not exists (
                select from exclusion e where e.project_id = c.project_id
                and e.person_id = c.annotator_id and e.lifted_at is null
            )
        group by c.pair_id, m.group_id
    )
    select a.mean, a.square, a.share_b, b.mean, b.square, b.share_b
    from given a join given b on b.pair_id = a.pair_id and b.group_id = :other
    where a.group_id = :one order by a.pair_id
    """
)


def answers_of_both(
    session: Session, project_id: uuid.UUID, one: uuid.UUID, other: uuid.UUID
) -> tuple[Side, Side]:
    """What each of two groups said to the pairs that people of both answered."""
    values = {"project": project_id, "one": one, "other": other}
    rows = [tuple(row) for row in session.execute(BOTH, values)]
    both = np.array(rows, dtype=np.float64).reshape(-1, 6)
    return Side(*both[:, :3].T), Side(*both[:, 3:].T)
