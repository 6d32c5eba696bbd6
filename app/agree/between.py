"""Agreement between two people or two groups, one reader of each. Pure.

For two people, kappa is J. Cohen's, "Weighted kappa" (1968), with quadratic weights. For groups it
is the same with a reader drawn at random from each: H. J. A. Schouten, "Measuring pairwise
interobserver agreement when all subjects are judged by the same observers" (1982); S. Vanbelle and
A. Albert, "Agreement between two independent groups of raters" (2009). All of it needs only each
item's mean rating, mean square and share of the side B, so that any number of readers will do.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.agree.exact import Floats
from app.agree.intervals import DRAWS, FEWEST_ITEMS, Interval, percentiles

# Draws whose weights stand in memory at once.
AT_ONCE = 50


@dataclass(frozen=True)
class Side:
    """One person's or one group's answers to N items: mean rating, mean of its square, and the
    share that chose B, [N] each."""

    mean: Floats
    square: Floats
    share_b: Floats


@dataclass(frozen=True)
class Between:
    """Over `n` items that both answered; None is undefined, intervals are 95% over items."""

    n: int
    kappa: float | None
    kappa_range: Interval
    same_side: float | None
    same_side_range: Interval


def of_one(ratings: NDArray[np.int64]) -> Side:
    """One person's canonical ratings [N], 1 to 8."""
    given = ratings.astype(np.float64)
    return Side(given, given**2, (given > 4).astype(np.float64))


def between(one: Side, other: Side, *, draws: int = DRAWS, seed: int = 0) -> Between:
    """Agreement of the two on the same items, in the same order."""
    n = len(one.mean)
    apart = one.square + other.square - 2 * one.mean * other.mean  # [N]
    same = one.share_b * other.share_b + (1 - one.share_b) * (1 - other.share_b)  # [N]
    rows = np.stack([apart, one.mean, other.mean, one.square + other.square, same], axis=1)
    if n == 0:
        nothing = Interval(None, None)
        return Between(0, None, nothing, None, nothing)
    kappa, share = _read(np.asarray(rows.mean(axis=0))[None, :])[0]
    if n < FEWEST_ITEMS or draws == 0:
        nothing = Interval(None, None)
        return Between(n, kappa, nothing, share, nothing)
    found = _resampled(rows, draws, seed)
    ranges = [percentiles([one[k] for one in found], 0.95) for k in range(2)]
    return Between(n, kappa, ranges[0], share, ranges[1])


def _resampled(rows: Floats, draws: int, seed: int) -> list[tuple[float | None, float | None]]:
    rng = np.random.default_rng(seed)
    n = len(rows)
    found: list[tuple[float | None, float | None]] = []
    for start in range(0, draws, AT_ONCE):
        size = min(AT_ONCE, draws - start)
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=size)  # [D, N]
        found += _read(drawn @ rows / n)  # [D, 5]
    return found


def _read(means: Floats) -> list[tuple[float | None, float | None]]:
    """Kappa and the share on the same side, from means over items [D, 5].

    Expected disagreement is that of two readers of two items drawn apart.
    """
    apart, one, other, squares, same = means.T
    expected = squares - 2 * one * other
    return [
        (1 - float(a) / float(e) if e > 1e-9 else None, float(s))
        for a, e, s in zip(apart, expected, same, strict=True)
    ]
