"""How the strength of an answer enters the loss, and what each answer counts."""

import math
from enum import StrEnum

import torch
from torch import Tensor
from torch.nn.functional import softplus

from worker.errors import TrainerError
from worker.reward.data import Encoded
from worker.reward.loss import (
    margin_losses,
    mean_variance_losses,
    soft_target_losses,
    strength_margins,
    strength_targets,
    tie_losses,
)

USUAL_THRESHOLD = 0.5
_LEAST_THRESHOLD, _MOST_THRESHOLD = 0.05, 2.0


class Loss(StrEnum):
    """What a comparison's strength does: weighs, nothing, asks for a margin, softens the target.

    Ties makes “about equal” an outcome of its own, mean-variance each score a normal distribution;
    neither reads strengths.
    """

    SCALED = "scaled"
    PLAIN = "plain"
    MARGIN = "margin"
    SOFT = "soft"
    TIES = "ties"
    MEAN_VARIANCE = "mean-variance"


def pair_weights(data: Encoded, loss: Loss) -> Tensor:
    """How much each comparison counts, [N], with mean 1: its weight, for `scaled` × strength."""
    weights = data.weights * data.strengths if loss is Loss.SCALED else data.weights
    mean = weights.mean()
    if not float(mean) > 0:
        raise TrainerError("Every comparison has weight 0, so there is nothing to learn from.")
    return weights / mean


def offset(chosen: Tensor, data: Encoded, rows: Tensor) -> Tensor:
    """Scores [B] or [B, 2] of chosen completions with what stands beside them in the log-odds."""
    if data.offsets is None:
        return chosen
    more = data.offsets[rows].to(chosen)
    if chosen.dim() == 1:
        return chosen + more
    return torch.stack([chosen[:, 0] + more, chosen[:, 1]], dim=1)


def losses_of(
    loss: Loss,
    chosen: Tensor,
    rejected: Tensor,
    *,
    strengths: Tensor,
    is_tie: Tensor,
    soft: float,
    threshold: float = USUAL_THRESHOLD,
    posteriors: Tensor | None = None,
) -> Tensor:
    """The loss of each comparison before its weight, all [B]; a tie aims at ½, or at a tie.

    Soft targets are expectations over `posteriors` [B, 8] where these are known. For
    mean-variance, scores are [B, 2]: a mean, and what `variances_of` makes a variance of.
    """
    if loss is Loss.MEAN_VARIANCE:
        return _normal_losses(chosen, rejected, is_tie)
    if loss is Loss.TIES:
        return tie_losses(chosen, rejected, is_tie, threshold)
    targets = torch.ones_like(chosen)
    if loss is Loss.SOFT:
        targets = expected_targets(strength_targets(strengths, soft), posteriors, soft)
    losses = soft_target_losses(chosen, rejected, torch.where(is_tie, 0.5, targets))
    if loss is Loss.MARGIN:
        wide = margin_losses(chosen, rejected, strength_margins(strengths))
        losses = torch.where(is_tie, losses, wide)
    return losses


def expected_targets(targets: Tensor, posteriors: Tensor | None, soft: float) -> Tensor:
    """Targets [B], and where a row of `posteriors` [B, 8] is known its mean over the ratings."""
    if posteriors is None:
        return targets
    distances = torch.arange(3.5, -4, -1, device=targets.device)  # [8], of the scale's middle
    found = posteriors @ torch.sigmoid(distances / soft)  # [B, 8] → [B]
    return torch.where(posteriors.sum(dim=1) > 0, found.to(targets), targets)


def _normal_losses(chosen: Tensor, rejected: Tensor, is_tie: Tensor) -> Tensor:
    (one, two), (wide, broad) = (
        (chosen[:, 0], rejected[:, 0]),
        (variances_of(chosen[:, 1]), variances_of(rejected[:, 1])),
    )  # [B, 2] → [B] each
    wins = mean_variance_losses(one, two, wide, broad)
    loses = mean_variance_losses(two, one, broad, wide)
    return torch.where(is_tie, (wins + loses) / 2, wins)


def variances_of(raw: Tensor) -> Tensor:
    """Variances out of what a head says, any shape: softplus, and never quite 0."""
    return softplus(raw) + 1e-3


def tie_threshold(data: Encoded) -> float:
    """The threshold at which equal scores would give as many ties as there are, by weight.

    In `tie_losses` a tie of equal scores has the chance tanh(threshold / 2).
    """
    share = float((data.weights * data.is_tie).sum() / data.weights.sum())
    return min(_MOST_THRESHOLD, max(_LEAST_THRESHOLD, 2 * math.atanh(min(share, 0.9))))
