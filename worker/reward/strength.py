"""How the strength of an answer enters the loss, and what each answer counts."""

from enum import StrEnum

import torch
from torch import Tensor

from worker.errors import TrainerError
from worker.reward.data import Encoded
from worker.reward.loss import (
    margin_losses,
    soft_target_losses,
    strength_margins,
    strength_targets,
)


class Loss(StrEnum):
    """What a comparison's strength does: weighs, nothing, asks for a margin, softens the target."""

    SCALED = "scaled"
    PLAIN = "plain"
    MARGIN = "margin"
    SOFT = "soft"


def pair_weights(data: Encoded, loss: Loss) -> Tensor:
    """How much each comparison counts, [N], with mean 1: its weight, for `scaled` × strength."""
    weights = data.weights * data.strengths if loss is Loss.SCALED else data.weights
    mean = weights.mean()
    if not float(mean) > 0:
        raise TrainerError("Every comparison has weight 0, so there is nothing to learn from.")
    return weights / mean


def losses_of(
    loss: Loss, chosen: Tensor, rejected: Tensor, *, strengths: Tensor, is_tie: Tensor, soft: float
) -> Tensor:
    """The loss of each comparison before its weight, all [B]; a tie aims at ½ under any loss."""
    targets = torch.ones_like(chosen)
    if loss is Loss.SOFT:
        targets = strength_targets(strengths, soft)
    losses = soft_target_losses(chosen, rejected, torch.where(is_tie, 0.5, targets))
    if loss is Loss.MARGIN:
        wide = margin_losses(chosen, rejected, strength_margins(strengths))
        losses = torch.where(is_tie, losses, wide)
    return losses
