"""How often researchers and annotators choose the same side: the figure that papers report.

Three sources, apart because their pairs were chosen differently: researchers' own answers, to pairs
at random; gold items, chosen for being clear, so that they read high; decisions on disputed pairs,
which read low. Each week is that of the annotator's answer. One researcher's answer is set against
each annotator's to the pair; a fixed range that has both sides says nothing.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

import numpy as np
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from app.agree.exact import NORMAL, Floats
from app.tables.projects import Project


class Source(StrEnum):
    OWN = "own"
    GOLD = "gold"
    DECIDED = "decided"


# Few answers are researchers', so theirs are found first, by indexes, and then those beside them.
_MATCHES = text(
    """
    with researcher as materialized (
        select person_id from membership where project_id = :project and role = 'researcher'
    ),
    ours as materialized (
        select c.pair_id, c.annotator_id as by_id, c.rating <= 4 as is_a,
            case when c.role = 'adjudicator' then 'decided' else 'own' end as source
        from comparison c where c.project_id = :project and c.role <> 'annotator'
        union all
        select c.pair_id, c.annotator_id, c.rating <= 4, 'own'
        from researcher r join comparison c on c.annotator_id = r.person_id
        where c.project_id = :project and c.role = 'annotator' and not c.is_retest
        union all
        select g.pair_id, g.created_by, g.high <= 4, 'gold' from gold_item g
        where g.project_id = :project and (g.high <= 4 or g.low >= 5)
    )
    select ours.source, date_trunc('week', c.created_at at time zone 'UTC')::date as week,
        ours.pair_id, count(*) as n, count(*) filter (where ours.is_a = (c.rating <= 4)) as n_same
    from ours join comparison c on c.pair_id = ours.pair_id
    join pair p on p.id = ours.pair_id and p.is_gold = (ours.source = 'gold')
    where c.role = 'annotator' and not c.is_retest and c.annotator_id is distinct from ours.by_id
        and c.annotator_id not in (select person_id from researcher)
        and not exists (
            select from exclusion e where e.project_id = c.project_id
            and e.person_id = c.annotator_id and e.lifted_at is null
        )
    group by ours.source, week, ours.pair_id
    """
)


@dataclass(frozen=True)
class Match:
    """`share` of `n` comparisons on `n_pairs` pairs chose the same side; None for none.

    The 95% interval is Wilson's on the number of pairs that would be as much worth as these, for
    answers to one pair go together (Kish's effective sample size); None below two pairs.
    """

    share: float | None
    low: float | None
    high: float | None
    n: int
    n_pairs: int


@dataclass(frozen=True)
class Week:
    week: date
    match: Match


@dataclass(frozen=True)
class Researchers:
    whole: dict[Source, Match]
    weeks: dict[Source, list[Week]]


def with_researchers(session: Session, project: Project) -> Researchers:
    rows = session.execute(_MATCHES, {"project": project.id}).all()
    whole, weeks = {}, {}
    for source in Source:
        of_it = [row for row in rows if row.source == source]
        whole[source] = match(of_it)
        weeks[source] = [
            Week(week, match([row for row in of_it if row.week == week]))
            for week in sorted({row.week for row in of_it})
        ]
    return Researchers(whole, weeks)


def match(rows: Sequence[Row[Any]]) -> Match:
    """The share over rows of (pair_id, n, n_same)."""
    if not rows:
        return Match(None, None, None, 0, 0)
    pairs: dict[uuid.UUID, tuple[int, int]] = {}
    for row in rows:
        before = pairs.get(row.pair_id, (0, 0))
        pairs[row.pair_id] = before[0] + row.n, before[1] + row.n_same
    counts = np.array(list(pairs.values()), dtype=np.float64)  # [P, 2]
    n, same = counts[:, 0], counts[:, 1]
    return Match(float(same.sum() / n.sum()), *clustered(n, same), int(n.sum()), len(pairs))


def clustered(n: Floats, same: Floats) -> tuple[float | None, float | None]:
    """Wilson's interval with the sample size divided by the design effect of pairs [P].

    The design effect is the linearised variance of the ratio estimate over p(1-p)/n (Kish 1965,
    section 6.4), never below 1. None below two pairs.
    """
    n_pairs, total = len(n), float(n.sum())
    if n_pairs < 2:
        return None, None
    share = float(same.sum() / total)
    spread = share * (1 - share) / total
    between = n_pairs / (n_pairs - 1) * float(((same - share * n) ** 2).sum()) / total**2
    worth = total / max(1.0, between / spread) if spread > 0 else total / max(1.0, float(n.mean()))
    z2 = NORMAL.inv_cdf(0.975) ** 2 / worth
    middle = (share + z2 / 2) / (1 + z2)
    half = (share * (1 - share) * z2 + z2 * z2 / 4) ** 0.5 / (1 + z2)
    return max(0.0, middle - half), min(1.0, middle + half)
