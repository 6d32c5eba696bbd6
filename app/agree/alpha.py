"""Krippendorff's alpha from counts, in batch and as a stream.

K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), and "Content Analysis"
(4th ed., 2018), ch. 12. All of it works on a count matrix: `counts` [N, K] holds how often each of
K categories was given to each of N items. Who rated does not enter; items with fewer than two
ratings contribute nothing.
"""

from collections.abc import Iterable
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


class Level(StrEnum):
    NOMINAL = "nominal"
    ORDINAL = "ordinal"
    INTERVAL = "interval"
    RATIO = "ratio"


def coincidences(counts: NDArray[np.generic]) -> Matrix:
    """The coincidence matrix [K, K] of `counts` [N, K]: each item's pairs over its ratings less 1.

    Krippendorff (2011), step 2.
    """
    kept = np.asarray(counts, dtype=np.float64)
    totals = kept.sum(axis=1)  # [N]
    kept, totals = kept[totals >= 2], totals[totals >= 2]
    shares = kept / (totals - 1)[:, None]  # [N, K]
    return np.asarray(shares.T @ kept - np.diag(shares.sum(axis=0)))  # [K, K]


def distances(level: Level, values: Matrix, marginals: Matrix) -> Matrix:
    """Squared distances [K, K] between categories of `values` [K] with `marginals` [K].

    Krippendorff (2011), section C: the ordinal metric counts the ratings that lie between two
    categories, half of each end.
    """
    if level is Level.NOMINAL:
        return 1.0 - np.eye(len(values))
    if level is Level.ORDINAL:
        middle = np.cumsum(marginals) - marginals / 2  # [K]
        return np.asarray(np.subtract.outer(middle, middle) ** 2)
    gaps = np.subtract.outer(values, values)
    if level is Level.INTERVAL:
        return np.asarray(gaps**2)
    sums = np.add.outer(values, values)
    return np.asarray(np.divide(gaps, sums, out=np.zeros_like(gaps), where=sums != 0) ** 2)


def alpha_of(coincidence: Matrix, level: Level, values: Matrix) -> float | None:
    """1 less observed over expected disagreement; None where everyone gave one category."""
    marginals = coincidence.sum(axis=1)  # [K]
    n = float(marginals.sum())
    if n < 2:
        return None
    metric = distances(level, values, marginals)
    expected = float(marginals @ metric @ marginals) / (n - 1)
    # A stream leaves rounding dust where everyone came to give one category; a single pair that
    # differs is worth about the whole metric.
    if expected <= 1e-9 * float(metric.max()):
        return None
    return 1.0 - float((coincidence * metric).sum()) / expected


def alpha(
    counts: NDArray[np.generic], level: Level = Level.ORDINAL, values: Matrix | None = None
) -> float | None:
    """Krippendorff's alpha of `counts` [N, K]; categories are 1 to K where `values` is left out."""
    n_categories = np.shape(counts)[1]
    scale = np.arange(1.0, n_categories + 1) if values is None else np.asarray(values, np.float64)
    return alpha_of(coincidences(counts), level, scale)


class RunningAlpha:
    """The coincidence matrix kept up to date: exact after any order of additions and removals.

    Adding category b to an item that has m ratings with counts c: for m >= 2 the item's old pairs
    change weight from 1/(m-1) to 1/m; then b meets every rating that is there, at weight 1/m.
    """

    def __init__(self, values: Iterable[float]) -> None:
        self.values = np.asarray(list(values), dtype=np.float64)
        k = len(self.values)
        self.coincidence: Matrix = np.zeros((k, k))

    def add(self, counts: NDArray[np.int64], category: int) -> None:
        """One more rating of an item: `counts` [K] is changed in place, `category` is 0 to K-1."""
        m = int(counts.sum())
        if m >= 2:
            self.coincidence += self._pairs(counts) * (1 / m - 1 / (m - 1))
        if m >= 1:
            self.coincidence[category] += counts / m
            self.coincidence[:, category] += counts / m
        counts[category] += 1

    def remove(self, counts: NDArray[np.int64], category: int) -> None:
        """One rating of an item less. Raises ValueError if the item never had it."""
        if counts[category] < 1:
            raise ValueError("The item has no rating of this category to take back.")
        counts[category] -= 1
        m = int(counts.sum())
        if m >= 1:
            self.coincidence[category] -= counts / m
            self.coincidence[:, category] -= counts / m
        if m >= 2:
            self.coincidence -= self._pairs(counts) * (1 / m - 1 / (m - 1))

    def read(self, level: Level = Level.ORDINAL) -> float | None:
        return alpha_of(self.coincidence, level, self.values)

    @staticmethod
    def _pairs(counts: NDArray[np.int64]) -> Matrix:
        one = counts.astype(np.float64)
        return np.asarray(np.outer(one, one) - np.diag(one))
