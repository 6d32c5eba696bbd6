"""The agreement page's figures from a small state that is kept up to date, answer by answer.

The state is the coincidence matrix and how many items have which counts: a few hundred numbers,
however many answers there are. The counts of single items live elsewhere.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.agree.alpha import Level, Matrix, RunningAlpha, alpha_of
from app.agree.coefficients import (
    SIDES,
    gwet,
    identity_weights,
    observed_agreement,
    quadratic_weights,
    sides,
)
from app.agree.intervals import DRAWS, Interval, pattern_coincidences, pattern_interval

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Reading:
    """What the page shows; None is undefined. `interval_alpha` is alpha at the interval level."""

    alpha: float | None
    alpha_range: Interval
    interval_alpha: float | None
    side_alpha: float | None
    raw_side_agreement: float | None
    ac2_quadratic: float | None
    n_items: int
    n_ratings: int


@dataclass
class AgreementState:
    """Exact after any order of `add` and `remove`; an edit is one of each."""

    running: RunningAlpha
    patterns: Counter[tuple[int, ...]] = field(default_factory=Counter)

    @classmethod
    def empty(cls, n_categories: int = 8) -> "AgreementState":
        return cls(RunningAlpha(np.arange(1.0, n_categories + 1)))

    @classmethod
    def recomputed(cls, counts: Counts) -> "AgreementState":
        """From the counts [N, K] of all items at once."""
        return cls.of_patterns(*distinct(counts))

    @classmethod
    def of_patterns(cls, counts: Counts, times: Counts) -> "AgreementState":
        """From distinct counts [P, K] and how many items [P] have each, as they are stored."""
        state = cls.empty(counts.shape[1])
        is_shared = counts.sum(axis=1) >= 2
        state.running.coincidence = np.tensordot(
            times[is_shared].astype(np.float64), pattern_coincidences(counts[is_shared]), axes=1
        )
        for pattern, n in zip(counts.tolist(), times.tolist(), strict=True):
            state.patterns[tuple(pattern)] += n
        return state

    def add(self, counts: Counts, category: int) -> None:
        """One more answer to an item: its `counts` [K] are changed in place."""
        self._forget(counts)
        self.running.add(counts, category)
        self.patterns[tuple(counts.tolist())] += 1

    def remove(self, counts: Counts, category: int) -> None:
        """One answer less. Raises ValueError if the item never had it, and changes nothing."""
        before = counts.copy()
        self.running.remove(counts, category)
        self._forget(before)
        if counts.any():
            self.patterns[tuple(counts.tolist())] += 1

    def _forget(self, counts: Counts) -> None:
        if not counts.any():
            return
        key = tuple(counts.tolist())
        self.patterns[key] -= 1
        if self.patterns[key] == 0:
            del self.patterns[key]

    def read(self, *, draws: int = DRAWS, seed: int = 0) -> Reading:
        """Every figure, with the interval by resampling items."""
        values = self.running.values
        patterns, how_often = self._table()
        is_shared = patterns.sum(axis=1) >= 2
        shared, times = patterns[is_shared], how_often[is_shared]
        halves = sides(patterns)
        return Reading(
            alpha=self.running.read(Level.ORDINAL),
            alpha_range=pattern_interval(
                shared, times, Level.ORDINAL, values, draws=draws, seed=seed
            ),
            interval_alpha=self.running.read(Level.INTERVAL),
            side_alpha=alpha_of(self._side_coincidence(), Level.NOMINAL, np.arange(1.0, SIDES + 1)),
            raw_side_agreement=observed_agreement(halves, identity_weights(SIDES), how_often),
            ac2_quadratic=gwet(patterns, quadratic_weights(values), how_often),
            n_items=int(how_often.sum()),
            n_ratings=int((patterns.sum(axis=1) * how_often).sum()),
        )

    def _table(self) -> tuple[Counts, Counts]:
        """The patterns [P, K] and how many items [P] have each, sorted."""
        kept = sorted(self.patterns.items())
        rows = np.array([row for row, _ in kept], dtype=np.int64)
        times = np.array([n for _, n in kept], dtype=np.int64)
        return rows.reshape(-1, len(self.running.values)), times

    def _side_coincidence(self) -> Matrix:
        """Categories pooled by half: a coincidence matrix adds up, [K, K] → [2, 2]."""
        half = len(self.running.values) // 2
        whole = self.running.coincidence
        top = [whole[:half, :half].sum(), whole[:half, half:].sum()]
        return np.array([top, [whole[half:, :half].sum(), whole[half:, half:].sum()]])


def distinct(counts: Counts) -> tuple[Counts, Counts]:
    """The distinct rows of `counts` [N, K] that are not empty, [P, K], and how often each, [P].

    Rows are packed into one number first: sorting a million of those is ten times faster.
    """
    kept = counts[counts.sum(axis=1) > 0]
    if len(kept) == 0:
        return kept, np.zeros(0, dtype=np.int64)
    base = int(kept.max()) + 1
    if base ** kept.shape[1] >= 2**62:
        rows, times = np.unique(kept, axis=0, return_counts=True)
        return rows, times
    powers = base ** np.arange(kept.shape[1] - 1, -1, -1, dtype=np.int64)
    _, first, times = np.unique(kept @ powers, return_index=True, return_counts=True)
    return kept[first], times
