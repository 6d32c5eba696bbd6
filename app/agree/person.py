"""One person's work, for an admin and for the person alike: the same numbers.

Set against their own history and never against a rank; nothing about agreement before twenty
answers that others share.
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.groups import groups_by_person
from app.agree.answers import Integers
from app.agree.calibration import STRENGTHS, SURENESS, Claim, Firmness, borne_out, firmness
from app.agree.evidence import Evidence, Kind
from app.agree.exact import Floats, wilson
from app.agree.gold_answers import Share, Told, as_evidence, gold_by_person, gold_flags, told
from app.agree.herding import QUIET_FOR, herding
from app.agree.newcomers import way_of
from app.agree.opinions import prompts_of
from app.agree.reading import Steadiness
from app.agree.reliability import reliability
from app.agree.scrutiny import FEWEST_SHARED, scrutinise
from app.agree.service import retested
from app.agree.way_in import Way
from app.agree.workforce import Trust, Work, load_work, pace_of, trust_of
from app.collect.pairing import shown
from app.tables.accounts import Person
from app.tables.agree import Exclusion, StaffNote
from app.tables.base import utc_now
from app.tables.projects import Project

BLOCKS = 12
SHOWN_DIFFERENCES = 20


@dataclass(frozen=True)
class Block:
    """Some answers in a row: how many agreed with most of the others, with Wilson's interval."""

    first: int
    last: int
    share: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Difference:
    """An answer on the other side from most others'; `rest` is their mean rating."""

    comparison_id: uuid.UUID
    pair_id: uuid.UUID
    rating: int
    rest: float
    n_others: int
    at: datetime
    asks: str


@dataclass(frozen=True)
class Record:
    """What is kept about the person besides answers, the newest first."""

    steadiness: Steadiness | None
    exclusions: Sequence[Exclusion]
    notes: Sequence[StaffNote]
    deciders: dict[uuid.UUID, str]  # names of those who wrote and decided
    gold: Share
    gold_flags: Share
    told: list[Told]
    groups: list[str]
    way: Way


@dataclass(frozen=True)
class Portrait:
    """`n_shared` counts the answers that others' most common side can be set against.

    Shares are None and lists empty below twenty of them. `firm` and `sure` are how often others
    bore out what the rating's strength and the stated confidence claim. `left` and its interval
    are of all answers; `seconds` is the median of the last fifty, `seconds_before` of those before.
    """

    person: Person
    n: int
    n_shared: int
    agreement: tuple[float, float, float] | None
    history: list[Block]
    firm: list[Claim]
    sure: list[Claim]
    firmness: Firmness | None
    trust: Trust
    left: tuple[float, float, float] | None
    seconds: float | None
    seconds_before: float | None
    differences: list[Difference]
    evidence: dict[Kind, Evidence]
    record: "Record"

    @property
    def is_enough(self) -> bool:
        return self.n_shared >= FEWEST_SHARED


def portrait(session: Session, project: Project, person: Person) -> Portrait:
    work = load_work(session, project.id)
    steady = {one.id: found for one, found in retested(session, project)}
    exclusions, notes = _exclusions(session, project, person), _notes(session, project, person)
    record = Record(
        steady.get(person.id),
        exclusions,
        notes,
        _names(session, {*(one.by_id for one in exclusions), *(one.by_id for one in notes)}),
        gold_by_person(session, project).get(person.id, Share(0, 0)),
        gold_flags(session, project, person),
        told(session, project, person),
        [one.name for one in groups_by_person(session, project.id).get(person.id, ())],
        way_of(session, project, person),
    )
    if work is None or person.id not in work.people:
        nothing = Trust(None, None, None, 0)
        return Portrait(
            person, 0, 0, None, [], [], [], None, nothing, None, None, None, [], {}, record
        )
    return _draw(session, work, person, record)


def _draw(session: Session, work: Work, person: Person, record: Record) -> Portrait:
    j = work.people.index(person.id)
    mine = np.flatnonzero(work.answers.people == j)
    sides = side_agreement(work, mine)
    decided = sides[~np.isnan(sides)]
    n_shared = len(decided)
    is_enough = n_shared >= FEWEST_SHARED
    n_left = int((work.answers.shown[mine] < 4).sum())
    seconds = [work.rows[k].seconds for k in mine]
    gold = as_evidence({person.id: record.gold}, work.people)
    found = scrutinise(work.answers, pace_of(work), gold)[j]
    found.append(herding(session, work.answers, work.pairs, work.rows)[j])
    return Portrait(
        person,
        len(mine),
        n_shared,
        _share(int(decided.sum()), n_shared) if is_enough else None,
        blocks(decided) if is_enough else [],
        borne_out(_strengths(work, mine), sides, STRENGTHS) if is_enough else [],
        borne_out([work.rows[k].confidence for k in mine], sides, SURENESS) if is_enough else [],
        _firmness(work, mine) if is_enough else None,
        trust_of(reliability(work.answers), j, int(work.is_shared[mine].sum())),
        _share(n_left, len(mine)),
        float(np.median(seconds[-50:])),
        float(np.median(seconds[:-50])) if len(seconds) > 50 else None,
        _differences(session, work, mine, sides) if is_enough else [],
        {one.kind: one for one in found},
        record,
    )


def side_agreement(work: Work, mine: Integers) -> Floats:
    """For each answer in `mine`: 1 if most of the others chose its side, 0 if not, NaN if neither.

    Others who are split evenly, or are none, decide nothing.
    """
    answers = work.answers
    is_b = (answers.choices >= 4).astype(np.float64)
    pairs = answers.pairs[mine]
    others_b = np.bincount(answers.pairs, is_b, answers.n_pairs)[pairs] - is_b[mine]
    n = answers.n_by_pair[pairs] - 1
    lean = np.sign(others_b - n / 2)
    same = np.where((lean > 0) == (is_b[mine] > 0), 1.0, 0.0)
    return np.where((n == 0) | (lean == 0), np.nan, same)


def blocks(agreed: Floats) -> list[Block]:
    """The history [n] in up to twelve parts of twenty answers or more, oldest first."""
    n_parts = max(1, min(BLOCKS, len(agreed) // FEWEST_SHARED))
    edges = np.linspace(0, len(agreed), n_parts + 1).astype(int)
    found = []
    for start, end in pairwise(edges):
        k, n = int(agreed[start:end].sum()), int(end - start)
        found.append(Block(int(start) + 1, int(end), k / n, *wilson(k, n), n))
    return found


def _strengths(work: Work, mine: Integers) -> list[int]:
    return [int(one) for one in work.answers.strengths[mine]]


def _firmness(work: Work, mine: Integers) -> Firmness | None:
    answers, strengths = work.answers, work.answers.strengths
    kept = mine[answers.n_by_pair[answers.pairs[mine]] >= 2]
    pairs = answers.pairs[kept]
    total = np.bincount(answers.pairs, strengths, answers.n_pairs)[pairs]
    others = (total - strengths[kept]) / (answers.n_by_pair[pairs] - 1)
    return firmness(strengths[kept], others)


def _share(k: int, n: int) -> tuple[float, float, float] | None:
    return (k / n, *wilson(k, n)) if n else None


def _differences(session: Session, work: Work, mine: Integers, sides: Floats) -> list[Difference]:
    """The newest answers on the other side from most others, once they have settled.

    Ratings stand as on the page that the person saw.
    """
    before = utc_now() - QUIET_FOR
    answers = work.answers
    ratings = (answers.choices + 1).astype(np.float64)
    total = np.bincount(answers.pairs, ratings, answers.n_pairs)
    apart = [
        k
        for k, same in zip(mine[::-1], sides[::-1], strict=True)
        if same == 0 and work.rows[k].created_at <= before
    ][:SHOWN_DIFFERENCES]
    asks = prompts_of(session, [work.rows[k].pair_id for k in apart])
    found = []
    for k in apart:
        row = work.rows[k]
        n = int(answers.n_by_pair[answers.pairs[k]]) - 1
        rest = float(total[answers.pairs[k]] - ratings[k]) / n
        found.append(
            Difference(
                row.id,
                row.pair_id,
                shown(row.rating, row.is_flipped),
                answers.n_choices + 1 - rest if row.is_flipped else rest,
                n,
                row.created_at,
                asks.get(row.pair_id, ""),
            )
        )
    return found


def _exclusions(session: Session, project: Project, person: Person) -> Sequence[Exclusion]:
    return session.scalars(
        select(Exclusion)
        .where(Exclusion.project_id == project.id, Exclusion.person_id == person.id)
        .order_by(Exclusion.created_at.desc())
    ).all()


def _names(session: Session, ids: Collection[uuid.UUID | None]) -> dict[uuid.UUID, str]:
    found = session.execute(select(Person.id, Person.name).where(Person.id.in_(ids)))
    return dict(found.all())


def _notes(session: Session, project: Project, person: Person) -> Sequence[StaffNote]:
    return session.scalars(
        select(StaffNote)
        .where(StaffNote.project_id == project.id, StaffNote.person_id == person.id)
        .order_by(StaffNote.created_at.desc())
    ).all()
