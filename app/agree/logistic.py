"""Logistic regression by Newton's method, with a bootstrap over clusters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.agree.exact import Floats

STEPS = 30
# Keeps a coefficient finite where an outcome is perfectly separated; too weak to be seen otherwise.
RIDGE = 1e-6


@dataclass(frozen=True)
class Fit:
    """`coefficients` [P] with their standard `errors` [P], on the log-odds scale."""

    coefficients: Floats
    errors: Floats


def logistic(
    design: Floats,
    outcome: Floats,
    *,
    ridge: Floats | float = RIDGE,
    weights: Floats | None = None,
) -> Fit:
    """Regress `outcome` [M], each 0 to 1, on `design` [M, P]; give an intercept as a column.

    `ridge` [P] or one number is the prior precision; `weights` [M] are how often a row counts.
    """
    often = np.ones(len(outcome)) if weights is None else weights
    n = design.shape[1]
    penalty = np.broadcast_to(np.asarray(ridge, dtype=np.float64), (n,))
    beta = np.zeros(n)
    for _ in range(STEPS):
        chance = sigmoid(design @ beta)
        slope = design.T @ (often * (outcome - chance)) - penalty * beta
        step = np.linalg.solve(_curvature(design, chance, often, penalty), slope)
        beta = beta + np.clip(step, -4, 4)
        if np.abs(step).max() < 1e-9:
            break
    inverse = np.linalg.inv(_curvature(design, sigmoid(design @ beta), often, penalty))
    return Fit(beta, np.sqrt(np.diag(inverse)))


def _curvature(design: Floats, chance: Floats, often: Floats, penalty: Floats) -> Floats:
    spread = often * np.maximum(chance * (1 - chance), 1e-12)
    return np.asarray((design * spread[:, None]).T @ design + np.diag(penalty))


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)) without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


def resampled(
    design: Floats,
    outcome: Floats,
    clusters: NDArray[np.int64],
    start: Floats,
    *,
    draws: int = 400,
    seed: int = 0,
) -> Floats:
    """Coefficients [draws, P] of whole clusters drawn with replacement.

    `clusters` [M] are numbered from 0. Three Newton steps from `start`, the fit to everything: a
    draw moves it by a standard error or two, where the error of three steps is far below one.
    """
    rng = np.random.default_rng(seed)
    n_clusters, n = int(clusters.max()) + 1, design.shape[1]
    found = np.empty((draws, n))
    for draw in range(draws):
        drawn = np.bincount(rng.integers(0, n_clusters, n_clusters), minlength=n_clusters)
        often = drawn[clusters].astype(np.float64)  # [M]
        beta = start
        for _ in range(3):
            chance = sigmoid(design @ beta)
            slope = design.T @ (often * (outcome - chance))
            curvature = _curvature(design, chance, often, np.full(n, RIDGE))
            beta = beta + np.clip(np.linalg.solve(curvature, slope), -2, 2)
        found[draw] = beta
    return found
