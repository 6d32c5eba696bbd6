"""Which pairs would teach a reward model's last layer most: greedy D-optimal design.

A pair's worth is p(1−p)·xᵀΣx: x is the difference of the two completions as the last layer sees
them, Σ what is not yet known of that layer (the Laplace posterior's covariance), p the chance that
B wins. After each choice Σ shrinks along x, so that near-copies of a chosen pair lose their worth
(Chaloner and Verdinelli, 1995, on Bayesian D-optimality; Shen et al., arXiv 2502.04354, on last
layers of reward models).

Margin sampling, p(1−p) alone, is left out on purpose: with people's noise it chose worse than
chance in our trials, because a pair at p = ½ is often one that nobody can tell apart.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

MOST_DIMENSIONS = 64
# A wrong prior undoes the whole gain, so it is chosen by held-out log-loss.
PRECISIONS = (0.01, 0.1, 1.0, 10.0, 100.0)
NEWTON_STEPS = 25
FEWEST_TO_CHOOSE_BY = 20


def reduce_dimensions(answered: Tensor, open_: Tensor) -> tuple[Tensor, Tensor]:
    """Both sets of differences on their main axes: [M, H], [N, H] -> [M, d], [N, d], float64.

    Scaled so that a mean row has length 1, which gives the prior's precision one meaning.
    """
    rows = torch.cat([answered, open_]).double()  # [M + N, H]
    _, _, axes = torch.linalg.svd(rows, full_matrices=False)  # [min(M + N, H), H]
    rows = rows @ axes[:MOST_DIMENSIONS].T  # [M + N, H] -> [M + N, d]
    rows = rows / rows.square().sum(dim=1).mean().sqrt().clamp(min=1e-12)
    return rows[: len(answered)], rows[len(answered) :]


def fit(differences: Tensor, precision: float) -> Tensor:
    """Weights [d] of a logistic regression in which each row of [M, d] won, by Newton's method."""
    d = differences.shape[1]
    weights = torch.zeros(d, dtype=differences.dtype)
    prior = precision * torch.eye(d, dtype=differences.dtype)
    for _ in range(NEWTON_STEPS):
        p = torch.sigmoid(differences @ weights)  # [M]
        slope = differences.T @ (1 - p) - precision * weights  # [d]
        weights = weights + torch.linalg.solve(information(differences, p) + prior, slope)
    return weights


def information(differences: Tensor, p: Tensor) -> Tensor:
    """Σ p(1−p) x xᵀ over rows: [M, d], [M] -> [d, d]."""
    return (differences * (p * (1 - p)).unsqueeze(1)).T @ differences


def choose_precision(differences: Tensor) -> float:
    """The prior precision with the least held-out log-loss in two folds; 1 with few rows [M, d]."""
    if len(differences) < FEWEST_TO_CHOOSE_BY:
        return 1.0
    folds = (differences[0::2], differences[1::2])

    def loss(precision: float) -> float:
        ways = ((folds[0], folds[1]), (folds[1], folds[0]))
        return sum(
            float(torch.nn.functional.softplus(-(test @ fit(train, precision))).sum())
            for train, test in ways
        )

    return min(PRECISIONS, key=loss)


def rank(differences: Tensor, p: Tensor, covariance: Tensor, n: int | None = None) -> list[int]:
    """Indices of N pairs, the most worth asking first; [N, d], [N], [d, d].

    Of the first `n` (all by default) each is chosen in sight of those before; the rest follow by
    what they are worth after these.
    """
    covariance = covariance.to(differences)
    spread = ((differences @ covariance) * differences).sum(dim=1)  # [N], xᵀΣx
    chosen, worth = choose(differences, p, spread, covariance, len(p) if n is None else n)
    taken = set(chosen)
    rest = worth.argsort(descending=True, stable=True).tolist()
    return chosen + [index for index in rest if index not in taken]


def choose(
    differences: Tensor, p: Tensor, spread: Tensor, covariance: Tensor, n: int
) -> tuple[list[int], Tensor]:
    """The n of N pairs to ask first, in order, and what each pair is worth after them, [N].

    Choosing i with weight w = p(1−p) takes w(xⱼᵀΣxᵢ)² / (1 + w·xᵢᵀΣxᵢ) off xⱼᵀΣxⱼ for every j
    (Sherman and Morrison), so Σ is updated and no pair is measured anew. `spread` [N] is xᵀΣx.
    """
    weight = (p * (1 - p)).to(differences)  # [N]
    spread = spread.to(differences)
    is_left = torch.ones(len(p), dtype=torch.bool)
    covariance = covariance.to(differences).clone()
    order: list[int] = []
    for _ in range(min(n, len(p))):
        i = int(torch.where(is_left, weight * spread, -torch.inf).argmax())
        order.append(i)
        is_left[i] = False
        along = covariance @ differences[i]  # [d]
        shrink = float(weight[i] / (1 + weight[i] * spread[i]))
        spread = (spread - shrink * (differences @ along).square()).clamp(min=0.0)
        covariance.addr_(along, along, alpha=-shrink)
    return order, weight * spread


def rank_open(
    answered: Tensor, p_answered: Tensor, open_: Tensor, p_open: Tensor
) -> tuple[list[int], float]:
    """The order of the open pairs, and the prior precision that was chosen.

    answered: [M, H], chosen minus rejected; open_: [N, H], B minus A; probabilities [M] and [N].
    """
    known, asked = reduce_dimensions(answered, open_)
    precision = choose_precision(known)
    prior = precision * torch.eye(known.shape[1], dtype=known.dtype)
    covariance = torch.linalg.inv(information(known, p_answered.double()) + prior)
    return rank(asked, p_open, covariance), precision


def priorities(order: Sequence[int]) -> list[float]:
    """A number in (0, 1] for each pair, 1 for the first of the order."""
    found = [0.0] * len(order)
    for place, index in enumerate(order):
        found[index] = 1 - place / len(order)
    return found
