"""Whether anyone comes to answer as the reward model would, as evidence of its own kind.

One and the same reward run must have scored all the answers that are compared: the one that scored
both sides of the most of them, the live one if several did.
"""

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import ARRAY, Row, Uuid, bindparam, text
from sqlalchemy.orm import Session

from app.agree.answers import Answers
from app.agree.bias import FEWEST_DRIFTING, Drift, drift
from app.agree.evidence import RATE, Evidence, Kind
from app.agree.exact import NORMAL
from app.tables.base import utc_now

# An answer this fresh may still be changed; it must not tell its author what the model thinks.
QUIET_FOR = timedelta(days=1)
OTHER_REASONS = (
    "Whoever learns the guidelines, as the model did from answers, drifts like this too."
)

PAIRS = bindparam("pairs", type_=ARRAY(Uuid))
WHICH = text(
    """
    select r.id, r.number,
        exists (select from live_reward l where l.reward_run_id = r.id) as is_learning
    from pair p
    join completion_score a on a.completion_id = p.completion_a_id
    join completion_score b on b.completion_id = p.completion_b_id
        and b.reward_run_id = a.reward_run_id
    join reward_run r on r.id = a.reward_run_id
    where p.id = any(:pairs) group by r.id
    order by count(*) desc, r.is_live desc, r.number desc limit 1
    """
).bindparams(PAIRS)
MARGINS = text(
    """
    select p.id, a.score - b.score as margin
    from pair p
    join completion_score a on a.completion_id = p.completion_a_id and a.reward_run_id = :run
    join completion_score b on b.completion_id = p.completion_b_id and b.reward_run_id = :run
    where p.id = any(:pairs)
    """
).bindparams(PAIRS)


@dataclass(frozen=True)
class Opinion:
    """What one reward run thinks of pairs: score of A less score of B, by the pair's id.

    `is_learning`: its last layer followed answers, so that later pairs met a better model.
    """

    run: int
    is_learning: bool
    margins: dict[uuid.UUID, float]


def opinion_on(session: Session, pairs: list[uuid.UUID]) -> Opinion | None:
    """Of the run that scored both sides of the most of `pairs`; None where no run did."""
    run = session.execute(WHICH, {"pairs": pairs}).one_or_none()
    if run is None:
        return None
    rows = session.execute(MARGINS, {"pairs": pairs, "run": run.id})
    return Opinion(run.number, run.is_learning, {row.id: row.margin for row in rows})


def herding(
    session: Session, answers: Answers, pairs: list[uuid.UUID], rows: Sequence[Row[Any]]
) -> list[Evidence]:
    """One evidence a person, from the answers that are a day old.

    `pairs` [N] are ids in the numbers of `answers`, `rows` [M] the answers, oldest first, with
    `pair_id` and `created_at`.
    """
    before = utc_now() - QUIET_FOR
    return _evidence(answers, rows, opinion_on(session, pairs), before)


def _evidence(
    answers: Answers, rows: Sequence[Row[Any]], opinion: Opinion | None, before: datetime
) -> list[Evidence]:
    n_people = answers.n_people
    if opinion is None:
        return [_nothing(j) for j in range(n_people)]
    margin = np.array([opinion.margins.get(row.pair_id, 0.0) for row in rows])
    is_settled = np.array([row.created_at < before for row in rows])
    # A margin of 0 is no opinion.
    kept = is_settled & (margin != 0)
    people, margin = answers.people[kept], margin[kept]
    is_with = ((answers.choices[kept] < 4) == (margin > 0)).astype(np.float64)
    order = np.zeros(len(people))
    for j in range(n_people):
        mine = people == j
        order[mine] = np.arange(int(mine.sum()))
    n = np.bincount(people, minlength=n_people)
    n_tested = int((n >= FEWEST_DRIFTING).sum())
    found = drift(people, order, is_with, margin, n_people)
    return [_said(one, int(n[one.person]), opinion, n_tested) for one in found]


def _nothing(person: int) -> Evidence:
    says = "No reward run has scored the answers of these pairs yet."
    unseen = "Without its scores nothing about following a reward model is visible."
    return Evidence(Kind.DRIFT, person, 0, None, None, None, False, says, unseen)


def _said(one: Drift, n: int, opinion: Opinion, n_tested: int) -> Evidence:
    run = opinion.run
    if one.effect is None:
        says = (
            f"Reward run {run} scored the pairs of {n} answers; it takes {FEWEST_DRIFTING}, "
            "on both sides of its opinion, to compare early ones with late ones."
        )
        unseen = f"Below {FEWEST_DRIFTING} such answers nothing about following it is visible."
        return Evidence(Kind.DRIFT, one.person, n, None, None, None, False, says, unseen)
    effect = one.effect
    error = (effect.high - effect.low) / 2 / NORMAL.inv_cdf(0.975)
    reach = NORMAL.inv_cdf(1 - RATE / max(n_tested, 1)) + NORMAL.inv_cdf(0.8)
    says = (
        f"From the first to the last of {n} answers the log-odds of the side that reward run {run} "
        f"prefers changed by {_signed(effect.coefficient)}, 95% interval {_signed(effect.low)} "
        f"to {_signed(effect.high)}, at equal margins."
    )
    unseen = (
        f"At {n} answers odds that grow less than {math.exp(min(reach * error, 99)):,.1f} times "
        f"mostly go unseen. {OTHER_REASONS}"
    )
    if opinion.is_learning:
        unseen += f" Run {run} itself learned between trainings, and its progress looks alike."
    return Evidence(
        Kind.DRIFT, one.person, n, effect.coefficient, one.p, effect.low, one.is_flagged, says,
        unseen,
    )  # fmt: skip


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
