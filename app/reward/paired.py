"""Two reward models on the same held-out comparisons: differences with paired intervals. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
N_DRAWS = 2000
MOST_CLUSTERS = 4000


@dataclass(frozen=True)
class Couple:
    """One comparison: the pair it is of, and both models' margins of what was preferred."""

    pair: str
    left: float
    right: float


@dataclass(frozen=True)
class Difference:
    """The right model's figure less the left one's, with its 95% interval."""

    left: float
    right: float
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.right - self.left

    @property
    def is_clear(self) -> bool:
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Contest:
    """What two models make of the same comparisons. A score tie is half right, and of no side."""

    n: int
    n_pairs: int
    accuracy: Difference
    log_loss: Difference
    n_both_right: int
    n_only_left: int
    n_only_right: int
    n_both_wrong: int


def contest(couples: Sequence[Couple], seed: int = 0) -> Contest | None:
    """Both models' accuracy and log-loss (nats) and their differences; None without a comparison.

    Intervals are percentiles of 2,000 resamplings of pairs: both models meet the same pairs in each
    draw, and answers to one pair stay together (Efron and Tibshirani 1993, chapter 8).
    """
    if not couples:
        return None
    margins = np.array([(one.left, one.right) for one in couples])  # [N, 2]
    right = (margins > 0) + 0.5 * (margins == 0)  # [N, 2]
    losses = np.logaddexp(0, -margins)  # [N, 2]
    sums = _by_pair(
        np.concatenate([right, losses, np.ones((len(couples), 1))], axis=1), couples
    )  # [N, 5] → [P, 5]
    stream = np.random.default_rng(seed)
    used = sums[:MOST_CLUSTERS]
    weights = stream.multinomial(len(used), np.full(len(used), 1 / len(used)), size=N_DRAWS)
    drawn = weights @ used  # [D, 5]
    is_right = margins > 0
    return Contest(
        n=len(couples),
        n_pairs=len(sums),
        accuracy=_difference(right, drawn, 0),
        log_loss=_difference(losses, drawn, 2),
        n_both_right=int(is_right.all(axis=1).sum()),
        n_only_left=int((is_right[:, 0] & ~is_right[:, 1]).sum()),
        n_only_right=int((~is_right[:, 0] & is_right[:, 1]).sum()),
        n_both_wrong=int((~is_right).all(axis=1).sum()),
    )


def _difference(values: Floats, drawn: Floats, column: int) -> Difference:
    """values: [N, 2]; drawn: [D, 5], whose last column is the number of comparisons."""
    gaps = (drawn[:, column + 1] - drawn[:, column]) / drawn[:, 4]  # [D]
    low, high = np.percentile(gaps, [2.5, 97.5])
    left, right = values.mean(axis=0)
    return Difference(float(left), float(right), float(low), float(high))


def _by_pair(values: Floats, couples: Sequence[Couple]) -> Floats:
    numbers = {pair: place for place, pair in enumerate(dict.fromkeys(c.pair for c in couples))}
    out = np.zeros((len(numbers), values.shape[1]))
    np.add.at(out, [numbers[one.pair] for one in couples], values)
    return out
