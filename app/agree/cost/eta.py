"""When the open work will be done, from the days that have been. Pure.

Days to come are drawn from the days that were, twice over: once for not knowing the pace (the
recent days themselves are resampled), once for how days differ. So the interval is one for the day
itself and not for a mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.agree.exact import Floats

# Fewer days say nothing of how days differ; more are too long ago.
FEWEST_DAYS, RECENT_DAYS = 7, 28
FARTHEST_DAYS = 1_825
DRAWS = 1_000


@dataclass(frozen=True)
class Eta:
    """Days until the work is done: the median and a 95% interval; None is undefined, and `reason`
    says why. `high` alone is None where it lies beyond five years."""

    days: int | None
    low: int | None
    high: int | None
    n_days: int
    reason: str = ""


def days_until_done(
    n_left: int, per_day: Sequence[float] | Floats, *, draws: int = DRAWS, seed: int = 0
) -> Eta:
    """`per_day` [D] are the answers that counted on each of the recent days, idle ones too."""
    recent = np.asarray(per_day, dtype=np.float64)
    if n_left <= 0:
        return Eta(0, 0, 0, len(recent))
    if len(recent) < FEWEST_DAYS:
        return Eta(None, None, None, len(recent), f"Needs {FEWEST_DAYS} days of work to go by.")
    if recent.sum() <= 0:
        return Eta(None, None, None, len(recent), "Nobody who can answer now did so lately.")
    found = _draw(n_left, recent, draws, seed)
    low, middle, high = np.quantile(found, [0.025, 0.5, 0.975], method="higher")
    if middle >= FARTHEST_DAYS:
        return Eta(None, None, None, len(recent), "More than five years at this pace.")
    return Eta(int(middle), int(low), int(high) if high < FARTHEST_DAYS else None, len(recent))


def _draw(n_left: int, recent: Floats, draws: int, seed: int) -> Floats:
    """How many days each draw takes, [draws], at most `FARTHEST_DAYS`."""
    rng = np.random.default_rng(seed)
    n, done, took = len(recent), np.zeros(draws), np.full(draws, float(FARTHEST_DAYS))
    paces = recent[rng.integers(0, n, (draws, n))]  # [draws, n], the pace as it may be
    open_ = np.arange(draws)
    for day in range(1, FARTHEST_DAYS + 1):
        done[open_] += paces[open_, rng.integers(0, n, len(open_))]
        is_over = done[open_] >= n_left
        took[open_[is_over]] = day
        open_ = open_[~is_over]
        if len(open_) == 0:
            break
    return took
