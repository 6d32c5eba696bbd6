"""Everyone's work in a project: evidence of each kind on its own, and what bias there is.

No kind is added to another, nothing is decided here.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

from app.accounts.queries import is_resting
from app.agree.answers import Answers
from app.agree.bias import Effect, LengthEffect, length_effect, pooled_position
from app.agree.evidence import Evidence, Kind
from app.agree.exact import Floats
from app.agree.gold_answers import Share, as_evidence, gold_by_person
from app.agree.herding import herding
from app.agree.reliability import Reliability, normal_scores, reliability
from app.agree.scrutiny import FEWEST_SHARED, Pace, scrutinise
from app.tables.accounts import Membership, Person, Role
from app.tables.agree import Exclusion
from app.tables.projects import Project

# The newest answers that are read: enough for any interval worth reading, and read in about 2 s.
WINDOW = 20_000
# A word with its space, in English; only pace depends on it.
LETTERS_A_WORD = 6.0
FEWEST_FOR_BIAS = 100

# The newest are found first, by their index: lengths of texts are looked up for those alone.
ANSWERS = text(
    """
    with newest as materialized (
        select c.id, c.pair_id, c.annotator_id, c.rating, c.confidence, c.is_flipped, c.seconds,
            c.created_at, p.prompt_id, p.completion_a_id, p.completion_b_id
        from comparison c
        join pair p on p.id = c.pair_id and not p.is_gold
        where c.project_id = :project and not c.is_retest and c.role = 'annotator' and (
            not :is_without_excluded or c.annotator_id not in (
                select person_id from exclusion where project_id = :project and lifted_at is null
            )
        )
        -- What follows from a ranking or an edit was on no page, and has no side and no pace.
        and not exists (select from ranking_comparison r where r.comparison_id = c.id)
        and not exists (select from rewrite w where w.derived_comparison_id = c.id)
        order by c.created_at desc, c.id limit :n
    )
    select n.*, length(a.text) as length_a, length(b.text) as length_b,
        length(q.messages::text) as length_prompt
    from newest n
    join prompt q on q.id = n.prompt_id
    join completion a on a.id = n.completion_a_id
    join completion b on b.id = n.completion_b_id
    order by n.created_at desc, n.id
    """
)


@dataclass(frozen=True)
class Work:
    """The newest answers as arrays, with whose and of what they are.

    `people` [J] and `pairs` [N] are ids in the numbers of `answers`; `rows` [M] oldest first.
    """

    answers: Answers
    people: list[uuid.UUID]
    pairs: list[uuid.UUID]
    rows: list[Row[Any]]
    is_all: bool

    @property
    def is_shared(self) -> Any:
        """Which answers [M] are to pairs that someone else answered too."""
        return self.answers.n_by_pair[self.answers.pairs] >= 2


def load_work(
    session: Session,
    project_id: uuid.UUID,
    *,
    n: int = WINDOW,
    is_without_excluded: bool = False,
) -> Work | None:
    """The newest `n` answers of the project; None where there is none."""
    values = {"project": project_id, "n": n + 1, "is_without_excluded": is_without_excluded}
    found = session.execute(ANSWERS, values).all()
    rows = list(reversed(found[:n]))
    if not rows:
        return None
    pairs = {pair: k for k, pair in enumerate(sorted({row.pair_id for row in rows}))}
    people = {one: k for k, one in enumerate(sorted({row.annotator_id for row in rows}))}
    answers = Answers(
        np.array([pairs[row.pair_id] for row in rows], dtype=np.int64),
        np.array([people[row.annotator_id] for row in rows], dtype=np.int64),
        np.array([row.rating - 1 for row in rows], dtype=np.int64),
        np.array([row.is_flipped for row in rows], dtype=bool),
        len(pairs),
        len(people),
    )
    return Work(answers, list(people), list(pairs), rows, len(found) <= n)


def pace_of(work: Work) -> Pace:
    letters = [row.length_a + row.length_b + row.length_prompt for row in work.rows]
    seconds = np.array([row.seconds for row in work.rows], dtype=np.float64)
    return Pace(seconds, np.array(letters, dtype=np.float64) / LETTERS_A_WORD)


@dataclass(frozen=True)
class Trust:
    """Reliability with its 95% interval, on `n` shared answers; None below twenty of them."""

    mean: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class WorkerRow:
    person: Person
    n: int
    trust: Trust
    evidence: dict[Kind, Evidence]
    is_paused: bool
    is_excluded: bool
    gold: Share

    @property
    def findings(self) -> list[Evidence]:
        return [one for one in self.evidence.values() if one.is_flagged]


@dataclass(frozen=True)
class Biases:
    """Pooled position and length effects; None where too few pairs have a second answer."""

    position: Effect | None
    length: LengthEffect | None
    n: int


@dataclass(frozen=True)
class Workforce:
    """Those with a finding first, then by name. `n` answers were read, `is_all` of them or not."""

    rows: list[WorkerRow]
    biases: Biases
    n: int
    is_all: bool


def survey(session: Session, project: Project) -> Workforce:
    work = load_work(session, project.id)
    if work is None:
        return Workforce([], Biases(None, None, 0), 0, True)
    model = reliability(work.answers)
    gold = gold_by_person(session, project)
    found = scrutinise(work.answers, pace_of(work), as_evidence(gold, work.people))
    for of_one, herd in zip(
        found, herding(session, work.answers, work.pairs, work.rows), strict=True
    ):
        of_one.append(herd)
    shared = np.bincount(work.answers.people, work.is_shared, work.answers.n_people).astype(int)
    rows = [
        WorkerRow(
            person,
            int(work.answers.n_by_person[j]),
            trust_of(model, j, int(shared[j])),
            {one.kind: one for one in found[j]},
            is_paused,
            is_excluded,
            gold.get(person.id, Share(0, 0)),
        )
        for j, (person, is_paused, is_excluded) in enumerate(_people(session, project, work.people))
    ]
    rows.sort(key=lambda row: (not row.findings, row.person.name.lower()))
    return Workforce(rows, biases(work), len(work.rows), work.is_all)


def trust_of(model: Reliability, j: int, n: int) -> Trust:
    if n < FEWEST_SHARED:
        return Trust(None, None, None, n)
    return Trust(float(model.mean[j]), float(model.low[j]), float(model.high[j]), n)


def biases(work: Work) -> Biases:
    """Position and length with quality held constant, from pairs that others answered too.

    Quality is the mean of the others' answers: with few of them it is noisy, and part of a real
    difference in quality is left in the length effect.
    """
    answers, kept = work.answers, work.is_shared
    n = int(kept.sum())
    if n < FEWEST_FOR_BIAS:
        return Biases(None, None, n)
    quality = -others_mean(answers)[kept]  # A less B
    is_a = (answers.choices[kept] < 4).astype(np.float64)
    flipped = answers.is_flipped[kept]
    is_left = np.where(flipped, 1 - is_a, is_a)
    lengths = np.array(
        [np.log((row.length_a + 1) / (row.length_b + 1)) for row in work.rows], dtype=np.float64
    )[kept]
    _, clusters = np.unique(
        [str(row.prompt_id) for row, keep in zip(work.rows, kept, strict=True) if keep],
        return_inverse=True,
    )
    position = pooled_position(is_left, np.where(flipped, -quality, quality))
    length = None
    if float(np.ptp(lengths)) > 0:
        length = length_effect(is_a, lengths, quality, clusters, draws=100)
    return Biases(position, length, n)


def others_mean(answers: Answers) -> Floats:
    """The mean normal score [M] of the other people's answers to the same pair; 0 if none."""
    scores = normal_scores(answers)
    total = np.bincount(answers.pairs, scores, answers.n_pairs)[answers.pairs] - scores
    n = answers.n_by_pair[answers.pairs] - 1
    return np.asarray(total / np.maximum(n, 1))


def _people(
    session: Session, project: Project, ids: Sequence[uuid.UUID]
) -> list[tuple[Person, bool, bool]]:
    """Each person with whether they are paused and whether their answers are excluded."""
    people = {one.id: one for one in session.scalars(select(Person).where(Person.id.in_(ids)))}
    paused = set(
        session.scalars(
            select(Membership.person_id).where(
                Membership.project_id == project.id,
                Membership.role == Role.ANNOTATOR,
                is_resting(),
            )
        )
    )
    excluded = set(
        session.scalars(
            select(Exclusion.person_id).where(
                Exclusion.project_id == project.id, Exclusion.lifted_at.is_(None)
            )
        )
    )
    return [(people[one], one in paused, one in excluded) for one in ids]
