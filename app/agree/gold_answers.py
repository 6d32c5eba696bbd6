"""What people answered to gold items: within the accepted range or not, and who is told.

Whoever fixed an answer is not measured by it.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

from app.agree.exact import wilson
from app.agree.scrutiny import Gold
from app.collect.changing import TOLD_AFTER
from app.collect.pairing import shown
from app.tables.accounts import Person
from app.tables.base import utc_now
from app.tables.collect import AnswerRole, Comparison
from app.tables.gold import GoldItem
from app.tables.projects import GuidelineVersion, Project

MOST_TOLD = 100

_ANSWERED = """
    from comparison c join gold_item g on g.pair_id = c.pair_id
    where c.project_id = :project and not c.is_retest and c.role = 'annotator'
        and c.annotator_id is distinct from g.created_by
"""
_BY_PERSON = text(
    f"""
    select c.annotator_id, count(*) as n,
        count(*) filter (where c.rating between g.low and g.high) as n_right
    {_ANSWERED} group by c.annotator_id
    """
)
_FLAGS_BY_PERSON = text(
    f"""
    select count(*) as n, count(*) filter (where exists (
        select from flag_answer fa where fa.comparison_id = c.id and fa.flag_id = f.flag_id
            and fa.completion_id is not distinct from f.completion_id
            and fa.value is not distinct from f.value
    )) as n_right
    {_ANSWERED.replace("where", "join gold_flag f on f.gold_item_id = g.id where")}
        and c.annotator_id = :person
    """  # noqa: S608
)
_ITEMS = text(
    """
    select g.pair_id, g.low, g.high, g.created_at, g.retired_at, g.retired_by,
        t.round as test_round, q.name as test_name,
        (select left(p.messages -> -1 ->> 'content', 160)) as asks,
        (select count(distinct a.annotator_id) from assignment a where a.pair_id = g.pair_id)
            as n_seen,
        count(c.id) as n, count(c.id) filter (where c.rating between g.low and g.high) as n_right
    from gold_item g
    join pair on pair.id = g.pair_id
    join prompt p on p.id = pair.prompt_id
    left join test_item t on t.gold_item_id = g.id
    left join qualification_test qt on qt.id = t.test_id
    left join qualification q on q.id = qt.qualification_id
    left join comparison c on c.pair_id = g.pair_id and not c.is_retest and c.role = 'annotator'
        and c.annotator_id is distinct from g.created_by
    where g.project_id = :project
    group by g.id, p.id, t.gold_item_id, q.id
    order by g.retired_at is not null, t.round nulls first, g.created_at desc
    """
)


@dataclass(frozen=True)
class Share:
    """`n_right` of `n`, with Wilson's 95% interval."""

    n_right: int
    n: int

    @property
    def value(self) -> float | None:
        return self.n_right / self.n if self.n else None

    @property
    def low(self) -> float:
        return wilson(self.n_right, self.n)[0]

    @property
    def high(self) -> float:
        return wilson(self.n_right, self.n)[1]


def gold_by_person(session: Session, project: Project) -> dict[uuid.UUID, Share]:
    """How many gold items each person answered, and within the accepted range."""
    rows = session.execute(_BY_PERSON, {"project": project.id})
    return {row.annotator_id: Share(row.n_right, row.n) for row in rows}


def as_evidence(found: dict[uuid.UUID, Share], people: Sequence[uuid.UUID]) -> Gold:
    """The same for people in a given order; 0 of 0 for those without."""
    shares = [found.get(one, Share(0, 0)) for one in people]
    return Gold([one.n_right for one in shares], [one.n for one in shares])


def gold_flags(session: Session, project: Project, person: Person) -> Share:
    """The fixed flags of the items that a person answered, and how many were answered so."""
    row = session.execute(_FLAGS_BY_PERSON, {"project": project.id, "person": person.id}).one()
    return Share(row.n_right, row.n)


def gold_items(session: Session, project: Project) -> Sequence[Row[Any]]:
    """Every item with how many saw it, answered it and answered within the range; in use first."""
    return session.execute(_ITEMS, {"project": project.id}).all()


@dataclass(frozen=True)
class Told:
    """A gold answer as its annotator is told of it, in the order that was shown."""

    comparison_id: uuid.UUID
    at: datetime
    rating: int
    low: int
    high: int
    is_right: bool
    explanation_html: str
    guidelines: int | None


def told(session: Session, project: Project, person: Person) -> list[Told]:
    """What the person may know of gold items by now: retired ones, and answers a day old.

    Nothing where the project does not tell. The newest `MOST_TOLD`.
    """
    if not project.is_gold_told:
        return []
    rows = session.execute(
        select(Comparison, GoldItem, GuidelineVersion.number)
        .join(GoldItem, GoldItem.pair_id == Comparison.pair_id)
        .outerjoin(GuidelineVersion, GuidelineVersion.id == GoldItem.guideline_version_id)
        .where(
            Comparison.project_id == project.id,
            Comparison.annotator_id == person.id,
            Comparison.is_retest.is_(False),
            Comparison.role == AnswerRole.ANNOTATOR,
            GoldItem.created_by.is_distinct_from(person.id),
            GoldItem.retired_at.is_not(None) | (Comparison.created_at < utc_now() - TOLD_AFTER),
        )
        .order_by(Comparison.created_at.desc())
        .limit(MOST_TOLD)
    )
    return [_told(comparison, item, number) for comparison, item, number in rows]


def _told(comparison: Comparison, item: GoldItem, number: int | None) -> Told:
    low, high = sorted(shown(one, comparison.is_flipped) for one in (item.low, item.high))
    return Told(
        comparison.id,
        comparison.created_at,
        shown(comparison.rating, comparison.is_flipped),
        low,
        high,
        item.low <= comparison.rating <= item.high,
        item.explanation_html,
        number,
    )
