"""What is not known of a reward model's last layer: its Laplace posterior. Pure tensor functions.

The score of a completion is w·φ with φ [H], what the head reads. A comparison is a logistic factor
of x = φ(chosen) − φ(rejected), so around the most probable w the posterior is about normal with
precision λI + Σ ωᵢ pᵢ(1−pᵢ) xᵢxᵢᵀ (MacKay 1992, "The evidence framework applied to classification
networks"; Kristiadi et al. 2020, arXiv 2002.10118, on last layers). ωᵢ is how much a comparison
counts and pᵢ = σ(w·xᵢ). Only differences are seen, so a score alone has no error: one is told
relative to a reference, the mean completion that was learnt from.

All of it in float64: covariances are later changed thousands of times by rank one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

# Prior precisions, where a mean row of differences has length 1.
PRECISIONS = (0.03, 0.3, 3.0, 30.0, 300.0)
N_FOLDS = 3
FEWEST_TO_CHOOSE_BY = 30
_NEWTON_STEPS = 30


@dataclass(frozen=True)
class Posterior:
    """Normal over the head's weights, in the unit of logits: mean [d], covariance [d, d].

    `centre` [d] is the completion that scores are told relative to; `precision` the prior's.
    """

    mean: Tensor
    covariance: Tensor
    centre: Tensor
    precision: float

    def errors(self, x: Tensor) -> Tensor:
        """Standard errors of w·x for rows of differences, [N, d] → [N]."""
        return standard_errors(self.covariance, x)

    def errors_of_scores(self, features: Tensor) -> Tensor:
        """Standard errors of the scores of completions beside the mean one's, [N, d] → [N]."""
        return self.errors(features - self.centre)


def standard_errors(covariance: Tensor, x: Tensor) -> Tensor:
    """√(xᵀΣx) of each row, [d, d], [N, d] → [N]."""
    x = x.to(covariance)
    return ((x @ covariance) * x).sum(dim=1).clamp(min=0.0).sqrt()


def information(x: Tensor, p: Tensor, weights: Tensor) -> Tensor:
    """Σ ω p(1−p) x xᵀ over rows: [N, d], [N], [N] → [d, d]."""
    return (x * (weights * p * (1 - p)).unsqueeze(1)).T @ x


def fit_map(
    x: Tensor,
    targets: Tensor,
    weights: Tensor,
    precision: Tensor | float,
    *,
    anchor: Tensor | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """The most probable head [d] for rows x [N, d] whose first side wins with chance `targets` [N].

    Least Σ ω·BCE(w·x, y) + (w − a)ᵀΛ(w − a)/2, Λ = `precision` ([d, d], or a number times I) and
    a = `anchor`, 0 by default. By Newton's method with the step halved while it does not help.
    """
    d = x.shape[1]
    prior = precision if isinstance(precision, Tensor) else precision * torch.eye(d).to(x)
    centre = torch.zeros(d).to(x) if anchor is None else anchor

    def value(w: Tensor) -> float:
        losses = binary_cross_entropy_with_logits(x @ w, targets, weight=weights, reduction="sum")
        return float(losses + (w - centre) @ prior @ (w - centre) / 2)

    w = centre.clone() if start is None else start.clone()
    now = value(w)
    for _ in range(_NEWTON_STEPS):
        p = torch.sigmoid(x @ w)  # [N]
        slope = x.T @ (weights * (p - targets)) + prior @ (w - centre)  # [d]
        step = torch.linalg.solve(information(x, p, weights) + prior, slope)
        if float(slope @ step) < 1e-16 * (1 + abs(now)):
            break
        size = 1.0
        while size > 1e-6 and value(w - size * step) > now:
            size /= 2
        w, now = w - size * step, value(w - size * step)
    return w


def laplace(
    x: Tensor, weights: Tensor, mean: Tensor, precision: float, centre: Tensor
) -> Posterior:
    """The posterior around `mean` [d] after rows x [N, d] that count `weights` [N] each."""
    p = torch.sigmoid(x @ mean)
    prior = precision * torch.eye(x.shape[1]).to(x)
    covariance = torch.cholesky_inverse(torch.linalg.cholesky(information(x, p, weights) + prior))
    return Posterior(mean, covariance, centre, precision)


def moderate(logits: Tensor, errors: Tensor) -> Tensor:
    """Logits drawn to 0 by what is not known of them, so that σ of them is the mean chance; [N].

    MacKay's approximation, μ / √(1 + πs²/8) for μ ± s.
    """
    return logits / (1 + math.pi * errors.square() / 8).sqrt()


def choose_precision(
    x: Tensor, targets: Tensor, weights: Tensor, folds: Tensor
) -> tuple[float, dict[float, float]]:
    """The prior precision whose heads predict other folds best, and the mean log-loss of each.

    x: [N, d]; targets, weights, folds: [N]. With few rows it is that of the middle, unmeasured.
    """
    scale = mean_square_length(x)
    places = sorted(set(folds.tolist()))
    if len(x) < FEWEST_TO_CHOOSE_BY or len(places) < 2:
        return PRECISIONS[len(PRECISIONS) // 2] * scale, {}
    losses = dict.fromkeys(PRECISIONS, 0.0)
    for fold in places:
        train, test = folds != fold, folds == fold
        start = None
        for precision in reversed(PRECISIONS):  # from the strongest prior on: each starts the next
            start = fit_map(
                x[train], targets[train], weights[train], precision * scale, start=start
            )
            known = laplace(x[train], weights[train], start, precision * scale, start)
            logits = moderate(x[test] @ start, known.errors(x[test]))
            losses[precision] += float(
                binary_cross_entropy_with_logits(
                    logits, targets[test], weight=weights[test], reduction="sum"
                )
            )
    total = float(weights.sum())
    best = min(PRECISIONS, key=lambda one: losses[one])
    return best * scale, {one: loss / total for one, loss in losses.items()}


def mean_square_length(x: Tensor) -> float:
    """The mean of |x|² over rows; what a prior precision is told in units of."""
    return max(float(x.square().sum(dim=1).mean()), 1e-12) if len(x) else 1.0


def folds_of(groups: Sequence[str], n: int = N_FOLDS) -> Tensor:
    """A fold for each row, [N]; a group is in one fold where there are two a fold or more."""
    names = sorted(set(groups))
    if len(names) < 2 * n:
        return torch.arange(len(groups)) % n
    place = {name: index % n for index, name in enumerate(names)}
    return torch.tensor([place[group] for group in groups])
