"""Heads for a mean and a variance on frozen features, for comparisons on which people diverge."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from worker.reward.data import Encoded
from worker.reward.strength import Loss, losses_of, pair_weights, variances_of

FEWEST = 40
# softplus of it is the variance at which a difference of means is in log-odds: 1.702² / 2.
_USUAL = 1.18


def diverges(data: Encoded, rows: Sequence[int]) -> bool:
    """Whether 40 of these comparisons or more are of pairs that people answered either way."""
    sides: dict[tuple[int, int], list[bool]] = defaultdict(list)
    for row in rows:
        one, two = int(data.chosen[row]), int(data.rejected[row])
        if one != two and not bool(data.is_tie[row]):
            sides[min(one, two), max(one, two)].append(one < two)
    return sum(len(found) for found in sides.values() if len(set(found)) == 2) >= FEWEST


def held_out_normal(
    ends: tuple[Tensor, Tensor],
    rows: Tensor,
    data: Encoded,
    folds: Tensor,
    *,
    precision: float,
) -> tuple[Tensor, Tensor]:
    """Of each comparison, by heads that have not seen its fold: the difference of means, [N], which
    is what a trained network is left with, and the log-odds with each side's own variance, [N].

    ends: features of the chosen and of the rejected completion, [N, H] each.
    """
    both = torch.cat(ends).double()  # [2N, H]
    middle, unit = both.mean(dim=0), both.std(dim=0).clamp(min=1e-6)
    size = (ends[0] - ends[1]).double().square().mean(dim=0).sqrt().clamp(min=1e-6)  # [H]
    apart = (ends[0] - ends[1]).double() / size  # [N, H]
    chosen, rejected = ((one.double() - middle) / unit for one in ends)
    means = torch.zeros(len(rows), dtype=torch.double)
    logits = torch.zeros(len(rows), dtype=torch.double)
    for fold in sorted(set(folds.tolist())):
        train, test = folds != fold, folds == fold
        sides = (apart[train], chosen[train], rejected[train])
        w, u = _fit(sides, rows[train], data, precision)
        means[test] = apart[test] @ w
        spread = (_variances(chosen[test] @ u) + _variances(rejected[test] @ u)).sqrt()
        z = means[test] / spread
        logits[test] = torch.special.log_ndtr(z) - torch.special.log_ndtr(-z)
    return means, logits


def _fit(
    sides: tuple[Tensor, Tensor, Tensor], rows: Tensor, data: Encoded, precision: float
) -> tuple[Tensor, Tensor]:
    """The heads w [H] of the mean and u [H] of the variance, both with a normal prior."""
    apart, chosen, rejected = sides
    weights = pair_weights(data, Loss.MEAN_VARIANCE)[rows].double()
    heads = torch.zeros(2, apart.shape[1], dtype=torch.double, requires_grad=True)
    optimiser = torch.optim.LBFGS([heads], max_iter=60, line_search_fn="strong_wolfe")
    strengths, is_tie = data.strengths[rows].double(), data.is_tie[rows]

    def closure() -> float:
        optimiser.zero_grad()
        mean = apart @ heads[0]  # [n]
        losses = losses_of(
            Loss.MEAN_VARIANCE,
            torch.stack([mean, chosen @ heads[1] + _USUAL], dim=1),
            torch.stack([torch.zeros_like(mean), rejected @ heads[1] + _USUAL], dim=1),
            strengths=strengths,
            is_tie=is_tie,
            soft=1.0,
        )
        value = (weights * losses).sum() + precision * heads.square().sum() / 2
        value.backward()  # type: ignore[no-untyped-call]
        return float(value.detach())

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return heads.detach()[0], heads.detach()[1]


def _variances(raw: Tensor) -> Tensor:
    return variances_of(raw + _USUAL)
