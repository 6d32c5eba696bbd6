"""How sure an alpha is: intervals by resampling items, and a wider one for new annotators.

Resampling items keeps its promise (0.93 for a nominal 95% at 400 items of three ratings); the
bootstrap of Hayes and Krippendorff (2007) does not (0.80), for it treats pairs as independent.
Items with the same counts are interchangeable, so a draw is over distinct count patterns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.agree.alpha import Level, Matrix, alpha_of, distances

DRAWS = 1_000
FEWEST_ITEMS = 10


@dataclass(frozen=True)
class Interval:
    """A percentile interval; both ends None where too few draws were defined."""

    low: float | None
    high: float | None


def item_interval(
    counts: NDArray[np.generic],
    level: Level,
    values: Matrix,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    share: float = 0.95,
) -> Interval:
    """The interval that repeats the study on other items with the same annotators."""
    kept = np.asarray(counts, dtype=np.int64)
    kept = kept[kept.sum(axis=1) >= 2]
    if len(kept) < FEWEST_ITEMS:
        return Interval(None, None)
    patterns, how_often = np.unique(kept, axis=0, return_counts=True)
    return pattern_interval(patterns, how_often, level, values, draws=draws, seed=seed, share=share)


def pattern_interval(
    patterns: NDArray[np.int64],
    how_often: NDArray[np.int64],
    level: Level,
    values: Matrix,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    share: float = 0.95,
) -> Interval:
    """The same from distinct count patterns [P, K] of two ratings or more, and how many items [P]
    have each."""
    if how_often.sum() < FEWEST_ITEMS or draws == 0:
        return Interval(None, None)
    found = _resampled(patterns, how_often, level, values, draws=draws, seed=seed)
    return percentiles(found, share)


def _resampled(
    patterns: NDArray[np.int64],
    how_often: NDArray[np.int64],
    level: Level,
    values: Matrix,
    *,
    draws: int,
    seed: int,
) -> list[float | None]:
    n_items = int(how_often.sum())
    parts = pattern_coincidences(patterns)  # [P, K, K]
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(n_items, how_often / n_items, size=draws)  # [D, P]
    matrices = np.tensordot(drawn.astype(np.float64), parts, axes=(1, 0))  # [D, K, K]
    return many_alphas(matrices, level, values)


Counted = tuple[NDArray[np.int64], NDArray[np.int64]]


def difference_interval(
    before: Counted, after: Counted, *, draws: int = 400, seed: int = 0
) -> Interval:
    """The 95% interval of ordinal alpha after less before; each side resamples its own items.

    Each side is count patterns [P, K] and how many items [P] have them; undefined where either has
    fewer than ten items of two ratings or more.
    """
    alphas = []
    for k, (counts, times) in enumerate((before, after)):
        is_shared = counts.sum(axis=1) >= 2
        patterns, how_often = counts[is_shared], times[is_shared]
        if how_often.sum() < FEWEST_ITEMS:
            return Interval(None, None)
        scale = np.arange(1.0, counts.shape[1] + 1)
        alphas.append(
            _resampled(patterns, how_often, Level.ORDINAL, scale, draws=draws, seed=2 * seed + k)
        )
    return percentiles(
        [
            None if was is None or now is None else now - was
            for was, now in zip(alphas[0], alphas[1], strict=True)
        ],
        0.95,
    )


def pattern_coincidences(patterns: NDArray[np.int64]) -> Matrix:
    """The coincidence matrix of each count pattern [P, K] on its own, [P, K, K]."""
    one = patterns.astype(np.float64)
    pairs = one[:, :, None] * one[:, None, :] - one[:, :, None] * np.eye(one.shape[1])
    return np.asarray(pairs / (one.sum(axis=1) - 1)[:, None, None])


def two_way_interval(
    items: NDArray[np.int64],
    annotators: NDArray[np.int64],
    categories: NDArray[np.int64],
    level: Level,
    values: Matrix,
    *,
    draws: int = 400,
    seed: int = 0,
    share: float = 0.95,
) -> Interval:
    """The interval that would hold for new annotators too: items and annotators are resampled.

    `items`, `annotators` and `categories` are [M], numbered from 0. A rating counts as often as its
    item times its annotator was drawn; conservative (0.997 for a nominal 95% with 20 annotators).
    """
    n_items, n_annotators = int(items.max()) + 1, int(annotators.max()) + 1
    if n_items < FEWEST_ITEMS or n_annotators < 3:
        return Interval(None, None)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        item_weight = rng.multinomial(n_items, np.full(n_items, 1 / n_items))
        person_weight = rng.multinomial(n_annotators, np.full(n_annotators, 1 / n_annotators))
        weight = person_weight[annotators].astype(np.float64)  # [M]
        coincidence = _between_people(items, categories, weight, item_weight, len(values))
        found.append(alpha_of(coincidence, level, values))
    return percentiles(found, share)


def _between_people(
    items: NDArray[np.int64],
    categories: NDArray[np.int64],
    weight: Matrix,
    item_weight: NDArray[np.int64],
    n_categories: int,
) -> Matrix:
    """The coincidence matrix [K, K] of ratings with `weight` [M] on items with `item_weight` [N].

    Someone drawn twice must not count as agreeing with themselves, so only pairs of two people
    enter; an item still brings as many ratings as weigh on it. Equal to `coincidences` at weight 1.
    """
    n = len(item_weight)
    cells = items * n_categories + categories
    given, own = (
        np.bincount(cells, one, n * n_categories).reshape(n, n_categories)
        for one in (weight, weight**2)
    )  # [N, K] each
    total = given.sum(axis=1)
    pairs = total**2 - own.sum(axis=1)  # [N]
    scale = np.divide(total * item_weight, pairs, out=np.zeros(n), where=pairs > 1e-9)
    return np.asarray((given * scale[:, None]).T @ given - np.diag((own * scale[:, None]).sum(0)))


def many_alphas(matrices: Matrix, level: Level, values: Matrix) -> list[float | None]:
    """`alpha_of` each of the coincidence matrices [D, K, K], all at once."""
    margins = matrices.sum(axis=2)  # [D, K]
    n = margins.sum(axis=1)  # [D]
    if level is Level.ORDINAL:
        middle = np.cumsum(margins, axis=1) - margins / 2
        metric = (middle[:, :, None] - middle[:, None, :]) ** 2  # [D, K, K]
    else:
        metric = np.broadcast_to(distances(level, values, margins[0]), matrices.shape)
    products = (margins[:, None, :] @ metric @ margins[:, :, None])[:, 0, 0]
    expected = products / np.maximum(n - 1, 1)
    observed = (matrices * metric).sum(axis=(1, 2))
    is_defined = (n >= 2) & (expected > 1e-9 * metric.max(axis=(1, 2)))
    return [
        1.0 - float(o / e) if ok else None
        for o, e, ok in zip(observed, expected, is_defined, strict=True)
    ]


def percentiles(found: Sequence[float | None], share: float) -> Interval:
    defined = [one for one in found if one is not None]
    if len(defined) < len(found) / 2:
        return Interval(None, None)
    low, high = np.quantile(defined, [(1 - share) / 2, (1 + share) / 2])
    return Interval(float(low), float(high))
