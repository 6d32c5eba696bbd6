"""Pairwise losses of reward models, as pure functions of tensors.

Every function takes scores of shape [B], one a pair, and refuses any other shape: [B] against
[B, 1] would broadcast to [B, B] without a word. All of them stay in log space, so that a score
difference of 1,000 gives a finite loss.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def bradley_terry_losses(chosen: Tensor, rejected: Tensor) -> Tensor:
    """−log σ(s_chosen − s_rejected) for each pair, [B], [B] → [B].

    Bradley and Terry (1952) as the loss of a reward model: Ouyang et al., arXiv 2203.02155, eq. 1.
    """
    _same_vectors(chosen, rejected)
    return -logsigmoid(chosen - rejected)


def bradley_terry_loss(chosen: Tensor, rejected: Tensor, weights: Tensor) -> Tensor:
    """−(1/B) Σ w · log σ(s_chosen − s_rejected), [B], [B], [B] → scalar.

    With w the strength of the preference this is the scaled Bradley-Terry loss of
    HelpSteer2-Preference, arXiv 2410.01257, eq. 3; with w = 1 the plain one.
    """
    _same_vectors(chosen, rejected, weights)
    return (weights * bradley_terry_losses(chosen, rejected)).mean()


def margin_losses(chosen: Tensor, rejected: Tensor, margins: Tensor) -> Tensor:
    """−log σ(s_chosen − s_rejected − m) for each pair, [B], [B], [B] → [B].

    Llama 2, arXiv 2307.09288, eq. 2.
    """
    _same_vectors(chosen, rejected, margins)
    return -logsigmoid(chosen - rejected - margins)


def soft_target_losses(chosen: Tensor, rejected: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy between P(chosen wins) = σ(s_chosen − s_rejected) and `targets`, [B] → [B].

    A target of 0.5 is a tie, 1 the plain Bradley-Terry loss.
    """
    _same_vectors(chosen, rejected, targets)
    difference = chosen - rejected
    return -(targets * logsigmoid(difference) + (1 - targets) * logsigmoid(-difference))


def tie_losses(chosen: Tensor, rejected: Tensor, is_tie: Tensor, threshold: float) -> Tensor:
    """Cross-entropy of a model with three outcomes: a win either way, or a tie; [B] → [B].

    With d = s_chosen − s_rejected and θ = exp(`threshold`), P(chosen wins) = σ(d − threshold),
    P(rejected wins) = σ(−d − threshold), and a tie has the rest,
    (θ² − 1) · P(chosen wins) · P(rejected wins). Rao and Kupper (1967), “Ties in Paired-Comparison
    Experiments”, eq. 2.3 to 2.5. Raises ValueError for a threshold that is not positive.
    """
    _same_vectors(chosen, rejected, is_tie)
    if threshold <= 0:
        raise ValueError("the threshold of a tie must be positive")
    difference = chosen - rejected
    wins = logsigmoid(difference - threshold)
    loses = logsigmoid(-difference - threshold)
    room = math.log(math.expm1(2 * threshold))
    return -torch.where(is_tie, room + wins + loses, wins)


def mean_variance_losses(
    chosen: Tensor, rejected: Tensor, chosen_variance: Tensor, rejected_variance: Tensor
) -> Tensor:
    """−log P(chosen is liked better) where each score is normal, all [B] → [B].

    P = Φ((μ_chosen − μ_rejected) / √(σ²_chosen + σ²_rejected)): Thurstone (1927), case III; the
    mean-variance reward model of Zhang et al., ICML 2025, arXiv 2410.14632, for items on which
    people diverge.
    """
    _same_vectors(chosen, rejected, chosen_variance, rejected_variance)
    spread = (chosen_variance + rejected_variance).clamp(min=1e-6).sqrt()
    losses: Tensor = -torch.special.log_ndtr((chosen - rejected) / spread)
    return losses


def strength_margins(strengths: Tensor) -> Tensor:
    """Margins 0, 1/3, 2/3, 1 for strengths 1 to 4, [B] → [B]: Llama 2's small margins, table 27."""
    return (strengths - 1) / 3


def strength_targets(strengths: Tensor, temperature: float) -> Tensor:
    """σ((strength − ½) / temperature), [B] → [B]: how surely a second person would agree.

    strength − ½ is the distance of a rating on the 1-8 scale from its middle.
    Raises ValueError for a temperature that is not positive.
    """
    if temperature <= 0:
        raise ValueError("the temperature must be positive")
    return torch.sigmoid((strengths - 0.5) / temperature)


def centring_penalties(chosen: Tensor, rejected: Tensor) -> Tensor:
    """(s_chosen + s_rejected)² for each pair, [B], [B] → [B]: keeps scores around zero.

    Pairwise losses leave the level of the scores free. Eisenstein et al., arXiv 2312.09244, §2.
    """
    _same_vectors(chosen, rejected)
    return (chosen + rejected).square()


def _same_vectors(*tensors: Tensor) -> None:
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if any(len(shape) != 1 for shape in shapes) or len(set(shapes)) != 1:
        raise ValueError(f"expected vectors of one length, got shapes {shapes}")
