"""Agreement on fine scales, such as sliders and lengths, without matrices of K × K or N × K.

The coefficients of `alpha` and `coefficients`, from the ratings themselves: squared distances over
all pairs follow from sums of values and of squares, and ordinal distances are those of mid-ranks.
Krippendorff (2011), Gwet (2014), as there. A ratio scale alone needs its distances as a matrix.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.agree.alpha import Level, Matrix, distances
from app.agree.intervals import DRAWS, FEWEST_ITEMS, Interval, percentiles
from app.errors import Invalid

Integers = NDArray[np.int64]
# With more ratings than these a draw takes long, and 200 tell the interval well enough.
MANY, DRAWS_OF_MANY = 200_000, 200
MOST_FOR_RATIO = 3_000


@dataclass(frozen=True)
class Table:
    """E cells with ratings: `items`, `categories` and how often, `counts`, [E] each, by item.

    `values` [K] are what the categories stand for, ascending; items are numbered from 0 to N - 1.
    """

    items: Integers
    categories: Integers
    counts: Matrix
    values: Matrix

    @cached_property
    def totals(self) -> Matrix:
        """How many ratings each item has, [N]."""
        return np.asarray(np.bincount(self.items, self.counts), dtype=np.float64)

    def spread(self, values: Matrix) -> Matrix:
        """The squared distances of `values` [K] summed over ordered pairs within each item, [N]."""
        given = values[self.categories]
        first = np.bincount(self.items, self.counts * given)
        second = np.bincount(self.items, self.counts * given**2)
        return np.asarray(2 * (self.totals * second - first**2))


def table_of(items: Integers, categories: Integers, values: Matrix) -> Table:
    """From one row a rating, [M] each."""
    cells, counts = np.unique(items * len(values) + categories, return_counts=True)
    return Table(cells // len(values), cells % len(values), counts.astype(np.float64), values)


def shared(table: Table) -> Table:
    """The items with two ratings or more, numbered anew."""
    kept = table.totals[table.items] >= 2
    _, items = np.unique(table.items[kept], return_inverse=True)
    return Table(items, table.categories[kept], table.counts[kept], table.values)


def alpha_and_interval(
    table: Table, level: Level, *, draws: int = DRAWS, seed: int = 0
) -> tuple[float | None, Interval]:
    """Krippendorff's alpha and its 95% interval by resampling items.

    Raises Invalid for a ratio scale with too many different ratings.
    """
    kept = shared(table)
    if len(kept.items) == 0:
        return None, Interval(None, None)
    measure = _Measure(kept, level)
    n = len(kept.totals)
    found = measure.alpha(np.ones(n))
    if n < FEWEST_ITEMS:
        return found, Interval(None, None)
    if kept.counts.sum() > MANY:
        draws = min(draws, DRAWS_OF_MANY)
    rng = np.random.default_rng(seed)
    weights = (rng.multinomial(n, np.full(n, 1 / n)).astype(np.float64) for _ in range(draws))
    return found, percentiles([measure.alpha(one) for one in weights], 0.95)


class _Measure:
    """What of alpha does not change from draw to draw."""

    def __init__(self, table: Table, level: Level) -> None:
        self.table, self.level = table, level
        self.metric: Matrix | None = None
        # [N], where distances know nothing of the marginals.
        self.apart: Matrix = np.zeros(0)
        if level is Level.NOMINAL:
            same = np.bincount(table.items, table.counts**2)
            self.apart = table.totals**2 - same
        elif level is Level.RATIO:
            self.metric = _ratio_metric(table.values)
            self.apart = _apart(table, self.metric)

    def alpha(self, weights: Matrix) -> float | None:
        """With items counted `weights` [N] times."""
        table = self.table
        given = table.counts * weights[table.items]  # [E]
        marginals = np.zeros(len(table.values))
        np.add.at(marginals, table.categories, given)
        n = marginals.sum()
        if self.level is Level.NOMINAL:
            apart, expected = self.apart, n**2 - (marginals**2).sum()
        elif self.metric is not None:
            apart, expected = self.apart, marginals @ self.metric @ marginals
        else:
            x = self._places(marginals)
            x = x - marginals @ x / n
            apart, expected = table.spread(x), 2 * n * (marginals @ x**2)
        if np.count_nonzero(marginals) < 2 or expected <= 0:
            return None
        observed = (weights * apart / (table.totals - 1)).sum()
        return float(1 - observed * (n - 1) / expected)

    def _places(self, marginals: Matrix) -> Matrix:
        if self.level is Level.INTERVAL:
            return self.table.values
        return np.asarray(np.cumsum(marginals) - marginals / 2)


def _ratio_metric(values: Matrix) -> Matrix:
    if len(values) > MOST_FOR_RATIO:
        raise Invalid(
            f"At the level ratio a file may hold {MOST_FOR_RATIO:,} different ratings at most, and "
            f"this one holds {len(values):,}. Round them, or choose another level."
        )
    return distances(Level.RATIO, values, np.zeros(0))


def _apart(table: Table, metric: Matrix) -> Matrix:
    """Distances by `metric` [K, K] summed over ordered pairs within each item, [N]."""
    found = np.zeros(len(table.totals))
    starts = np.searchsorted(table.items, np.arange(len(table.totals) + 1))
    for item in range(len(found)):
        part = slice(starts[item], starts[item + 1])
        counts, places = table.counts[part], table.categories[part]
        found[item] = counts @ metric[np.ix_(places, places)] @ counts
    return found


def gwets(table: Table) -> tuple[float | None, float | None]:
    """AC1, and AC2 with quadratic weights; None where no item has two ratings, or one category."""
    kept, k = shared(table), len(table.values)
    if len(kept.items) == 0 or k < 2:
        return None, None
    pairs = kept.totals * (kept.totals - 1)
    same = np.bincount(kept.items, kept.counts**2) - kept.totals
    shares = np.bincount(table.categories, table.counts / table.totals[table.items], k)
    chance = (shares / len(table.totals) * (1 - shares / len(table.totals))).sum() / (k * (k - 1))
    v = (table.values - table.values.mean()) / np.ptp(table.values)
    near = pairs - kept.spread(v)
    return (
        _corrected(float((same / pairs).mean()), k * chance),
        _corrected(float((near / pairs).mean()), (k**2 - 2 * k * (v**2).sum()) * chance),
    )


def _corrected(observed: float, expected: float) -> float | None:
    return float((observed - expected) / (1 - expected)) if expected < 1 else None
