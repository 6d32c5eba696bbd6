"""Agreement by other names: raw agreement, Gwet's AC1 and AC2, weighted kappa.

K. L. Gwet, "Handbook of Inter-Rater Reliability" (4th ed., 2014), ch. 6: several raters, missing
ratings. J. Cohen, "Weighted kappa" (1968). All but kappa read a count matrix [N, K].
"""

import numpy as np
from numpy.typing import NDArray

from app.agree.alpha import Level, Matrix, alpha

SIDES = 2


def identity_weights(n_categories: int) -> Matrix:
    return np.eye(n_categories)


def quadratic_weights(values: Matrix) -> Matrix:
    """1 less the squared distance of two categories over the largest one, [K, K]."""
    gaps = np.subtract.outer(values, values) ** 2
    return np.asarray(1.0 - gaps / gaps.max()) if gaps.max() > 0 else np.ones_like(gaps)


def observed_agreement(
    counts: NDArray[np.generic], weights: Matrix, how_often: NDArray[np.int64] | None = None
) -> float | None:
    """The chance that two raters of one item agree, averaged over items with two or more.

    Gwet (2014), eq. 6.1, with weights [K, K]; None where no item has two ratings. Rows of `counts`
    may stand for `how_often` [N] items each.
    """
    kept = np.asarray(counts, dtype=np.float64)
    totals = kept.sum(axis=1)
    items = None if how_often is None else how_often[totals >= 2]
    kept, totals = kept[totals >= 2], totals[totals >= 2]
    if len(kept) == 0:
        return None
    weighted = kept @ weights.T  # [N, K]
    agreeing = (kept * (weighted - 1)).sum(axis=1) / (totals * (totals - 1))  # [N]
    return float(np.average(agreeing, weights=items))


def gwet(
    counts: NDArray[np.generic], weights: Matrix, how_often: NDArray[np.int64] | None = None
) -> float | None:
    """AC1 with identity weights, AC2 with others; pass every category, used or not.

    Gwet (2014), eq. 6.2 to 6.5: expected agreement is the sum of the weights over K(K-1), times
    the sum of p(1-p) over categories. None for a single category.
    """
    observed = observed_agreement(counts, weights, how_often)
    kept = np.asarray(counts, dtype=np.float64)
    totals = kept.sum(axis=1)
    n_categories = kept.shape[1]
    if observed is None or n_categories < 2:
        return None
    items = None if how_often is None else how_often[totals > 0]
    shares = np.average(kept[totals > 0] / totals[totals > 0][:, None], axis=0, weights=items)
    expected = weights.sum() / (n_categories * (n_categories - 1)) * (shares * (1 - shares)).sum()
    return float((observed - expected) / (1 - expected)) if expected < 1 else None


def sides(counts: NDArray[np.generic]) -> NDArray[np.int64]:
    """Counts [N, 2] of the lower and the upper half of an even scale."""
    kept = np.asarray(counts, dtype=np.int64)
    half = kept.shape[1] // 2
    return np.stack([kept[:, :half].sum(axis=1), kept[:, half:].sum(axis=1)], axis=1)


def side_alpha(counts: NDArray[np.generic]) -> float | None:
    """Krippendorff's alpha on the side alone, nominal."""
    return alpha(sides(counts), Level.NOMINAL)


def raw_side_agreement(counts: NDArray[np.generic]) -> float | None:
    """How often two annotators of one item choose the same side: what papers report, 63 to 77%."""
    return observed_agreement(sides(counts), identity_weights(SIDES))


def weighted_kappa(one: NDArray[np.int64], other: NDArray[np.int64], n: int) -> float | None:
    """Cohen's kappa with quadratic weights for two people's ratings [M] of the same items, 1 to n.

    None where it is 0/0: both always gave one and the same rating, or there is no item.
    """
    if len(one) == 0:
        return None
    table = np.zeros((n, n))
    np.add.at(table, (one - 1, other - 1), 1 / len(one))
    weights = 1.0 - quadratic_weights(np.arange(1.0, n + 1))
    expected = float((weights * np.outer(table.sum(axis=1), table.sum(axis=0))).sum())
    return 1.0 - float((weights * table).sum()) / expected if expected > 0 else None
