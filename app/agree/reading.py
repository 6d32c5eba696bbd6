"""What patterns of counts say: every coefficient with its interval, for a page to show. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.agree.alpha import Level, alpha_of
from app.agree.coefficients import SIDES, gwet, identity_weights, observed_agreement
from app.agree.coefficients import sides as halves
from app.agree.exact import Floats, wilson
from app.agree.intervals import (
    FEWEST_ITEMS,
    Interval,
    many_alphas,
    pattern_coincidences,
    pattern_interval,
    percentiles,
)
from app.agree.stream import AgreementState, Reading

Integers = NDArray[np.int64]
# One side is called dominant beyond this share; chance agreement is then so high that alpha is
# small whatever people do.
DOMINANT = 0.75
# Of fewer answers than these, most may be on one side by chance.
FEWEST_FOR_SIDES = 20
DRAWS = 1_000
FLAG_DRAWS = 400


@dataclass(frozen=True)
class Figures:
    """A reading, and what stands beside it. `first_side` is the share of ratings 1 to 4.

    `n_shared` counts units with two ratings or more: only these say anything about agreement.
    """

    reading: Reading
    ac1: float | None
    raw_range: Interval
    side_range: Interval
    n_shared: int
    first_side: float | None

    @property
    def is_one_sided(self) -> bool:
        share = self.first_side
        is_enough = self.reading.n_ratings >= FEWEST_FOR_SIDES
        return is_enough and share is not None and max(share, 1 - share) > DOMINANT


def figures(counts: Integers, times: Integers, *, draws: int = DRAWS) -> Figures:
    """All there is to say of units with `counts` [P, 8], `times` [P] of each."""
    state = AgreementState.of_patterns(counts, times)
    two = halves(counts)  # [P, 2]
    is_shared = counts.sum(axis=1) >= 2
    given = two.T @ times if len(counts) else np.zeros(2)
    ranges = intervals(counts[is_shared], times[is_shared], draws=draws)
    return Figures(
        reading=replace(state.read(draws=0), alpha_range=ranges[0]),
        ac1=gwet(two, identity_weights(SIDES), times) if is_shared.any() else None,
        raw_range=ranges[1],
        side_range=ranges[2],
        n_shared=int(times[is_shared].sum()),
        first_side=float(given[0] / given.sum()) if given.sum() else None,
    )


def intervals(
    counts: Integers, times: Integers, *, draws: int, seed: int = 0
) -> tuple[Interval, Interval, Interval]:
    """95% intervals of ordinal alpha, raw side agreement and side alpha, by resampling units.

    `counts` [P, 8] of two ratings or more each, `times` [P]. One set of draws serves all three.
    """
    if times.sum() < FEWEST_ITEMS:
        return (Interval(None, None),) * 3
    rng = np.random.default_rng(seed)
    n, k = int(times.sum()), counts.shape[1]
    drawn = rng.multinomial(n, times / n, size=draws).astype(np.float64)  # [D, P]
    parts = pattern_coincidences(counts).reshape(len(counts), k * k)
    matrices = (drawn @ parts).reshape(draws, k, k)
    # A coincidence matrix adds up: pooling categories by side is summing its blocks.
    pooled = matrices.reshape(draws, SIDES, k // 2, SIDES, k // 2).sum(axis=(2, 4))
    two = halves(counts)
    totals = two.sum(axis=1)
    agreeing = (two * (two - 1)).sum(axis=1) / (totals * (totals - 1))  # [P]
    return (
        percentiles(many_alphas(matrices, Level.ORDINAL, np.arange(1.0, k + 1)), 0.95),
        percentiles(list(drawn @ agreeing / n), 0.95),
        percentiles(many_alphas(pooled, Level.NOMINAL, np.arange(1.0, SIDES + 1)), 0.95),
    )


@dataclass(frozen=True)
class FlagFigures:
    """Agreement on a flag. `share` is how often it was answered yes (or its mean rating).

    The ranges are 95%, by resampling units.
    """

    alpha: float | None
    alpha_range: Interval
    raw: float | None
    ac1: float | None
    share: float | None
    share_range: Interval
    n_units: int
    n_shared: int
    n_answers: int


def flag_figures(counts: Integers, times: Integers, level: Level, values: Floats) -> FlagFigures:
    """`counts` [P, K] over the flag's possible answers `values` [K]."""
    is_shared = counts.sum(axis=1) >= 2
    shared, how_often = counts[is_shared], times[is_shared]
    given = counts.T @ times  # [K]
    coincidence = np.tensordot(how_often.astype(np.float64), pattern_coincidences(shared), (0, 0))
    return FlagFigures(
        alpha=alpha_of(coincidence, level, values) if len(shared) else None,
        alpha_range=pattern_interval(shared, how_often, level, values, draws=FLAG_DRAWS),
        raw=observed_agreement(shared, identity_weights(len(values)), how_often),
        ac1=gwet(shared, identity_weights(len(values)), how_often),
        share=float(given @ values / given.sum()) if given.sum() else None,
        share_range=_share_range(counts, times, values),
        n_units=int(times.sum()),
        n_shared=int(how_often.sum()),
        n_answers=int(given.sum()),
    )


def _share_range(counts: Integers, times: Integers, values: Floats) -> Interval:
    n = int(times.sum())
    if n < FEWEST_ITEMS:
        return Interval(None, None)
    drawn = np.random.default_rng(0).multinomial(n, times / n, size=FLAG_DRAWS)  # [D, P]
    given = drawn @ counts  # [D, K]
    return percentiles(list(given @ values / given.sum(axis=1)), 0.95)


@dataclass(frozen=True)
class Steadiness:
    """How often someone's second answer to a pair took the side of the first, with Wilson's
    interval, and how far apart the two ratings were on average."""

    n: int
    same_side: float | None
    low: float
    high: float
    distance: float | None


def steadiness(first: Sequence[int], again: Sequence[int]) -> Steadiness:
    """From canonical ratings, 1 to 8, of the same pairs by the same person."""
    one, two = np.asarray(first, dtype=np.int64), np.asarray(again, dtype=np.int64)
    n = len(one)
    same = int(((one <= 4) == (two <= 4)).sum())
    low, high = wilson(same, n)
    mean = float(np.abs(one - two).mean()) if n else None
    return Steadiness(n, same / n if n else None, low, high, mean)
