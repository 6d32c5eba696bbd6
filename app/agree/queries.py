"""What the pages of agreement read: patterns, named people, retests, flags."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row, func, select, text
from sqlalchemy.orm import Session, aliased

from app.agree.group_patterns import group_rows
from app.collect.left_out import left_out_people
from app.tables.accounts import Membership, Person, Role
from app.tables.agree import EVERY_VERSION, AgreementPattern, AgreementProgress
from app.tables.collect import AnswerRole, Comparison, Pair, Prompt
from app.tables.projects import GuidelineVersion

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
    """Distinct counts [P, 8] and how many units [P] have them."""

    counts: Integers
    times: Integers


def _shape(rows: Sequence[Any]) -> Patterns:
    counts = np.array([row.counts for row in rows], dtype=np.int64).reshape(-1, N_RATINGS)
    return Patterns(counts, np.array([row.n for row in rows], dtype=np.int64))


def _kept(project_id: uuid.UUID, chosen: Filter) -> list[Any]:
    found = [AgreementPattern.project_id == project_id, AgreementPattern.scope == chosen.version]
    if chosen.since is not None:
        found.append(AgreementPattern.week >= chosen.since)
    if chosen.until is not None:
        found.append(AgreementPattern.week <= chosen.until)
    return found


def _of_group(
    session: Session, project_id: uuid.UUID, chosen: Filter, group: uuid.UUID
) -> Sequence[Row[Any]]:
    return group_rows(
        session,
        project_id,
        group,
        version=chosen.version,
        since=chosen.since,
        until=chosen.until,
    )


def read_patterns(session: Session, project_id: uuid.UUID, chosen: Filter) -> Patterns:
    if chosen.group is not None:
        return _shape(_of_group(session, project_id, chosen, chosen.group))
    return _shape(
        session.execute(
            select(AgreementPattern.counts, func.sum(AgreementPattern.n).label("n"))
            .where(*_kept(project_id, chosen))
            .group_by(AgreementPattern.counts)
            .order_by(AgreementPattern.counts)
        ).all()
    )


def patterns_by_week(
    session: Session, project_id: uuid.UUID, chosen: Filter
) -> dict[date, Patterns]:
    """The patterns of each week that has any, oldest first."""
    weeks: dict[date, list[Any]] = {}
    found = (
        select(AgreementPattern.week, AgreementPattern.counts, AgreementPattern.n)
        .where(*_kept(project_id, chosen))
        .order_by(AgreementPattern.week, AgreementPattern.counts)
    )
    rows = (
        session.execute(found).all()
        if chosen.group is None
        else _of_group(session, project_id, chosen, chosen.group)
    )
    for row in rows:
        weeks.setdefault(row.week, []).append(row)
    return {week: _shape(rows) for week, rows in weeks.items()}


def versions_of(session: Session, project_id: uuid.UUID) -> Sequence[GuidelineVersion]:
    """The project's guideline versions, oldest first."""
    return session.scalars(
        select(GuidelineVersion)
        .where(GuidelineVersion.project_id == project_id)
        .order_by(GuidelineVersion.number)
    ).all()


def fresh_answers(project_id: uuid.UUID) -> list[Any]:
    """The conditions on `Comparison` and `Pair` that agreement is read under."""
    return [
        Comparison.project_id == project_id,
        Comparison.is_retest.is_(False),
        Comparison.role == AnswerRole.ANNOTATOR,
        Pair.is_gold.is_(False),
        Comparison.annotator_id.not_in(left_out_people(project_id)),
    ]


def shared_sample(
    session: Session, project_id: uuid.UUID, n_pairs: int
) -> Sequence[Row[uuid.UUID, uuid.UUID, int]]:
    """(pair, person, rating) of up to `n_pairs` pairs that two or more answered.

    Pairs' ids are random, so the first by id are a random sample; the same one while none is added.
    """
    sample = text(
        """
        select pair_id from agreement_unit
        where project_id = :project and scope = :every
            and (select sum(c) from unnest(counts) c) >= 2
        order by pair_id limit :n
        """
    )
    values = {"project": project_id, "every": EVERY_VERSION, "n": n_pairs}
    pairs = list(session.scalars(sample, values))
    return session.execute(
        select(Comparison.pair_id, Comparison.annotator_id, Comparison.rating)
        .join(Pair, Pair.id == Comparison.pair_id)
        .where(Comparison.pair_id.in_(pairs), *fresh_answers(project_id))
    ).all()


def progress_of(session: Session, project_id: uuid.UUID) -> AgreementProgress | None:
    return session.get(AgreementProgress, project_id, populate_existing=True)


def people_with_answers(session: Session, project_id: uuid.UUID) -> Sequence[Person]:
    """Everyone who answered in the project, by name."""
    answered = select(Comparison.annotator_id).where(Comparison.project_id == project_id).distinct()
    return session.scalars(
        select(Person).where(Person.id.in_(answered)).order_by(func.lower(Person.name), Person.id)
    ).all()


def ratings_of_two(
    session: Session, project_id: uuid.UUID, one: uuid.UUID, other: uuid.UUID
) -> tuple[Integers, Integers]:
    """The canonical ratings, 1 to 8, that two people gave to the pairs that both answered."""
    theirs = aliased(Comparison)
    rows = session.execute(
        select(Comparison.rating, theirs.rating)
        .join(theirs, theirs.pair_id == Comparison.pair_id)
        .join(Pair, Pair.id == Comparison.pair_id)
        .where(
            Comparison.project_id == project_id,
            Comparison.annotator_id == one,
            theirs.annotator_id == other,
            Comparison.is_retest.is_(False),
            theirs.is_retest.is_(False),
            Comparison.role == AnswerRole.ANNOTATOR,
            theirs.role == AnswerRole.ANNOTATOR,
            Pair.is_gold.is_(False),
        )
    ).all()
    both = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def retests(session: Session, project_id: uuid.UUID) -> Sequence[Row[uuid.UUID, int, int]]:
    """(annotator_id, first, again) of every pair that someone answered a second time."""
    again = aliased(Comparison)
    return session.execute(
        select(Comparison.annotator_id, Comparison.rating, again.rating.label("again"))
        .join(
            again,
            (again.pair_id == Comparison.pair_id)
            & (again.annotator_id == Comparison.annotator_id)
            & again.is_retest,
        )
        .where(Comparison.project_id == project_id, Comparison.is_retest.is_(False))
    ).all()


FLAGS = text(
    """
    select flag_id, counts, count(*) as n from (
        select fa.flag_id, array[{cells}] as counts
        from flag_answer fa
        join comparison c on c.id = fa.comparison_id
        join pair p on p.id = c.pair_id
        where c.project_id = :project and not c.is_retest and not p.is_gold
            and c.role = 'annotator'
            and not exists (
                select from exclusion e where e.project_id = :project
                and e.person_id = c.annotator_id and e.lifted_at is null
            )
        group by fa.flag_id, c.pair_id, fa.completion_id
    ) units group by flag_id, counts order by flag_id, counts
    """.replace(
        "{cells}",
        ", ".join(
            [f"count(*) filter (where fa.value = {k})" for k in range(8)]
            + ["count(*) filter (where fa.value is null)"]
        ),
    )
)


def flag_patterns(session: Session, project_id: uuid.UUID) -> dict[uuid.UUID, Patterns]:
    """Each flag's counts [P, 9] of the values 0 to 7 and of "not applicable"."""
    rows: dict[uuid.UUID, list[Row[Any]]] = {}
    for row in session.execute(FLAGS, {"project": project_id}):
        rows.setdefault(row.flag_id, []).append(row)
    return {
        flag_id: Patterns(
            np.array([row.counts for row in kept], dtype=np.int64),
            np.array([row.n for row in kept], dtype=np.int64),
        )
        for flag_id, kept in rows.items()
    }


N_COUNTED = text(
    """
    select coalesce(sum(n * (select sum(c) from unnest(counts) c)), 0)::bigint
    from agreement_pattern where project_id = :project and scope = :every
    """
)


def n_counted(session: Session, project_id: uuid.UUID) -> int:
    """Ratings that the state holds, over all versions and times."""
    values = {"project": project_id, "every": EVERY_VERSION}
    return int(session.execute(N_COUNTED, values).scalar_one())


def n_annotators(session: Session, project_id: uuid.UUID) -> int:
    found = select(func.count()).where(
        Membership.project_id == project_id, Membership.role == Role.ANNOTATOR
    )
    return session.scalar(found) or 0


def n_answers(session: Session, pair_id: uuid.UUID) -> int:
    """How many answers a pair has, retests left out."""
    found = select(func.count()).where(
        Comparison.pair_id == pair_id, Comparison.is_retest.is_(False)
    )
    return session.scalar(found) or 0


def pairs_to_fix(
    session: Session, project_id: uuid.UUID, words: str, limit: int = 40
) -> Sequence[Row[uuid.UUID, int, str]]:
    """(pair_id, n_taken, end of the prompt) of pairs that may become gold items.

    Those that nobody has begun first. `words` are looked for in the last turn of the prompt.
    """
    last_turn = Prompt.messages[-1]["content"].astext
    found = (
        select(Pair.id, Pair.n_taken, func.left(last_turn, 160).label("asks"))
        .join(Prompt, Prompt.id == Pair.prompt_id)
        .where(
            Pair.project_id == project_id,
            Pair.is_open,
            ~Pair.is_gold,
            ~Pair.is_audit,
            Pair.ranking_id.is_(None),
        )
        .order_by(Pair.n_taken, Pair.id)
        .limit(limit)
    )
    if words:
        found = found.where(last_turn.icontains(words, autoescape=True))
    return session.execute(found).all()
