"""Ridge regression whose strength is learned from the data, and its leave-one-out predictions."""

from dataclasses import dataclass

import numpy as np

from app.agree.exact import Floats

STEPS = 12


@dataclass(frozen=True)
class Predicted:
    """`mean` [N] and `variance` [N] of what the other rows predict.

    `explained` is the variance that features stand for: what is predicted of it and, from no more
    rows than there are, not yet known.
    """

    mean: Floats
    variance: Floats
    explained: float

    @classmethod
    def nothing(cls, n: int) -> "Predicted":
        return cls(np.zeros(n), np.zeros(n), 0.0)


def leave_one_out(features: Floats, targets: Floats, weights: Floats) -> Predicted:
    """Predict each of `targets` [N] (mean 0) from `features` [N, D] and the other rows.

    `weights` [N] are how many observations a target is worth; 0 leaves a row out. Prior and noise
    precision by MacKay's fixed point, "Bayesian Interpolation" (1992), eqs. 4.9 and 4.10. No
    intercept: swapping A and B must change the sign of a prediction and nothing else.
    """
    root = np.sqrt(weights)[:, None]
    basis, singular, rotation = np.linalg.svd(features * root, full_matrices=False)
    if len(singular) == 0 or singular[0] < 1e-9:
        return Predicted.nothing(len(targets))
    seen = basis.T @ (targets * root[:, 0])  # [D]
    prior, noise = _evidence(singular, seen, float((weights * targets**2).sum()), weights)
    shrunk = singular**2 + prior * noise  # [D]
    rotated = features @ rotation.T  # [N, D]
    fitted = rotated @ (singular * seen / shrunk)
    spread = (rotated**2 / shrunk).sum(axis=1)  # [N]: variance of the fit over the noise
    leverage = np.minimum(weights * spread, 0.99)
    mean = (fitted - leverage * targets) / (1 - leverage)
    variance = noise * spread / (1 - leverage)
    known = float(np.average(mean * targets, weights=weights))
    unknown = float(np.average(variance, weights=weights)) if known > 0 else 0.0
    return Predicted(mean, variance, max(known + unknown, 0.0))


def _evidence(singular: Floats, seen: Floats, total: float, weights: Floats) -> tuple[float, float]:
    """Prior precision and noise variance of the largest evidence."""
    n = max(float((weights > 0).sum()), 1.0)
    prior, noise = 1.0, max(total / n, 1e-9)
    for _ in range(STEPS):
        shrunk = singular**2 + prior * noise
        solution = singular * seen / shrunk
        certain = float((singular**2 / shrunk).sum())
        residual = total - float((seen**2).sum()) + float(((seen - singular * solution) ** 2).sum())
        prior = max(certain, 1e-6) / max(float((solution**2).sum()), 1e-9)
        noise = max(residual, 1e-9) / max(n - certain, 1.0)
    return prior, noise
