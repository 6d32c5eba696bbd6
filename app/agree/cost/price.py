"""What one of something costs, with an interval. Pure.

A price is a ratio of sums, Σ cost / Σ number, over days of people: the answers of one person on
one day resemble each other, so whole days are resampled (a bootstrap over clusters; A. Davison,
D. Hinkley, "Bootstrap Methods" (1997), section 3.8). With more days than `MANY_DAYS` the interval
is the normal one of the linearised ratio over days (W. Cochran, "Sampling Techniques" (1977),
chapter 6), which that bootstrap then comes to, without a draw. With fewer than `FEWEST_DAYS` it is
the normal one over answers, which takes each answer to be on its own and is narrower.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from app.agree.exact import NORMAL, Floats

FEWEST_DAYS = 10
MANY_DAYS = 500
FEWEST_ANSWERS = 20
DRAWS = 1_000


class Basis(StrEnum):
    """What the interval resamples."""

    DAYS = "days"
    ANSWERS = "answers"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Price:
    """`value` for one of `n`, with its 95% interval; None is undefined."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    basis: Basis


UNKNOWN = Price(None, None, None, 0, Basis.NOTHING)


@dataclass(frozen=True)
class Spent:
    """Days of people [D]: what was spent, the sum of squares of what each answer took, how many
    answers took it, and how often the thing was done."""

    costs: Floats
    squares: Floats
    n_answers: Floats
    n_given: Floats

    @classmethod
    def of(cls, rows: Sequence[tuple[float, float, float, float]]) -> "Spent":
        table = np.array(rows, dtype=np.float64).reshape(-1, 4)
        return cls(*table.T)

    @property
    def total(self) -> float:
        return float(self.costs.sum())


def price(spent: Spent, *, draws: int = DRAWS, seed: int = 0) -> Price:
    """The cost of one, as the ratio of both sums, with its 95% interval."""
    n = float(spent.n_given.sum())
    if n <= 0:
        return UNKNOWN
    value = spent.total / n
    if len(spent.costs) > MANY_DAYS:
        return Price(value, *_linearised(spent, value), int(n), Basis.DAYS)
    if len(spent.costs) >= FEWEST_DAYS:
        return Price(value, *_over_days(spent, draws, seed), int(n), Basis.DAYS)
    m = float(spent.n_answers.sum())
    if m < FEWEST_ANSWERS:
        return Price(value, None, None, int(n), Basis.NOTHING)
    variance = max(0.0, float(spent.squares.sum()) - spent.total**2 / m) * m / (m - 1)
    reach = NORMAL.inv_cdf(0.975) * variance**0.5 / n
    return Price(value, max(0.0, value - reach), value + reach, int(n), Basis.ANSWERS)


def _linearised(spent: Spent, value: float) -> tuple[float, float]:
    rest = spent.costs - value * spent.n_given  # [D], sums to 0
    n_days = len(rest)
    error = (float(rest @ rest) * n_days / (n_days - 1)) ** 0.5 / float(spent.n_given.sum())
    reach = NORMAL.inv_cdf(0.975) * error
    return max(0.0, value - reach), value + reach


def _over_days(spent: Spent, draws: int, seed: int) -> tuple[float | None, float | None]:
    rng = np.random.default_rng(seed)
    n_days = len(spent.costs)
    drawn = rng.multinomial(n_days, np.full(n_days, 1 / n_days), size=draws).astype(np.float64)
    costs, given = drawn @ spent.costs, drawn @ spent.n_given  # [draws] each
    known = costs[given > 0] / given[given > 0]
    if len(known) < draws / 2:
        return None, None
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)
