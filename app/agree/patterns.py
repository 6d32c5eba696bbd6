"""The streamed patterns of counts, filtered: of ratings, and of each flag."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.agree.group_patterns import group_rows
from app.agree.tally import N_CELLS
from app.tables.agree import EVERY_VERSION, NO_FLAG, AgreementPattern

Integers = NDArray[np.int64]
N_RATINGS = 8


@dataclass(frozen=True)
class Filter:
    """Which units to read: one guideline version or all, first answered from one day to another.

    With a `group`, only the answers of its people.
    """

    version: uuid.UUID = EVERY_VERSION
    since: date | None = None
    until: date | None = None
    group: uuid.UUID | None = None


@dataclass(frozen=True)
class Patterns:
    """Distinct counts [P, K] and how many units [P] have them.

    K is 8 for ratings, and 9 for a flag: its values 0 to 7, and "not applicable".
    """

    counts: Integers
    times: Integers


def read_patterns(session: Session, project_id: uuid.UUID, chosen: Filter) -> Patterns:
    """Of the ratings."""
    return _of_ratings(_rows(session, project_id, chosen))


def patterns_by_week(
    session: Session, project_id: uuid.UUID, chosen: Filter
) -> dict[date, Patterns]:
    """The ratings' patterns of each week that has any, oldest first."""
    weeks: dict[date, list[Any]] = defaultdict(list)
    for row in _rows(session, project_id, chosen):
        weeks[row.week].append(row)
    return {week: _of_ratings(rows) for week, rows in weeks.items()}


def flag_patterns(
    session: Session, project_id: uuid.UUID, chosen: Filter
) -> dict[uuid.UUID, dict[date, Patterns]]:
    """The patterns of each flag that anyone answered, by week, oldest first."""
    flags: dict[uuid.UUID, dict[date, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for row in _rows(session, project_id, chosen, is_of_flags=True):
        flags[row.flag_id][row.week].append(row)
    return {
        flag_id: {week: _shape(rows) for week, rows in weeks.items()}
        for flag_id, weeks in flags.items()
    }


def pooled(parts: Iterable[Patterns], n_counts: int = N_RATINGS) -> Patterns:
    """All of some parts: each pattern once, for drawing among patterns takes time by them."""
    every = [(one.counts, one.times) for one in parts]
    counts = np.concatenate([np.zeros((0, n_counts), np.int64), *(one for one, _ in every)])
    times = np.concatenate([np.zeros(0, np.int64), *(one for _, one in every)])
    found, where = np.unique(counts, axis=0, return_inverse=True)
    return Patterns(found, np.bincount(where.ravel(), times, len(found)).astype(np.int64))


def _of_ratings(rows: Sequence[Any]) -> Patterns:
    """Merged over weeks; nobody rates 0."""
    found = _shape(rows)
    return pooled([Patterns(found.counts[:, 1:], found.times)])


def _shape(rows: Sequence[Any]) -> Patterns:
    counts = np.array([row.counts for row in rows], dtype=np.int64).reshape(-1, N_CELLS)
    return Patterns(counts, np.array([row.n for row in rows], dtype=np.int64))


def _rows(
    session: Session, project_id: uuid.UUID, chosen: Filter, *, is_of_flags: bool = False
) -> Sequence[Any]:
    """(flag_id, week, counts, n) in this order."""
    if chosen.group is not None:
        return group_rows(
            session,
            project_id,
            chosen.group,
            version=chosen.version,
            since=chosen.since,
            until=chosen.until,
            is_of_flags=is_of_flags,
        )
    one = AgreementPattern
    found = select(one.flag_id, one.week, one.counts, func.sum(one.n).label("n")).where(
        one.project_id == project_id,
        one.flag_id != NO_FLAG if is_of_flags else one.flag_id == NO_FLAG,
        one.is_whole if chosen.version == EVERY_VERSION else one.scope == chosen.version,
    )
    if chosen.since is not None:
        found = found.where(one.week >= chosen.since)
    if chosen.until is not None:
        found = found.where(one.week <= chosen.until)
    columns = (one.flag_id, one.week, one.counts)
    return session.execute(found.group_by(*columns).order_by(*columns)).all()


N_COUNTED = text(
    """
    select coalesce(sum(n * (select sum(c) from unnest(counts) c)), 0)::bigint
    from agreement_pattern where project_id = :project and flag_id = :no_flag and is_whole
    """
)


def n_counted(session: Session, project_id: uuid.UUID) -> int:
    """Ratings that the state holds, over all versions and times."""
    values = {"project": project_id, "no_flag": NO_FLAG}
    return int(session.execute(N_COUNTED, values).scalar_one())
