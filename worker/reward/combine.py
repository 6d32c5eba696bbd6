"""Two objectives as one number: helpfulness and safety, both in log-odds; pure tensor functions."""

import math
from enum import StrEnum

import torch
from torch import Tensor


class Rule(StrEnum):
    """Safety decides below its threshold and helpfulness else; or a weighted sum."""

    LLAMA2 = "llama2"
    WEIGHTS = "weights"


def combine(
    helpful: Tensor, safe: Tensor, rule: Rule, *, threshold: float, weight: float
) -> Tensor:
    """Log-odds [B] of both objectives as one score [B]. Raises ValueError, also for shapes."""
    if rule is Rule.LLAMA2:
        return safety_first(helpful, safe, threshold)
    return weighted(helpful, safe, weight)


def safety_first(
    helpful: Tensor, safe: Tensor, threshold: float, is_risky: Tensor | None = None
) -> Tensor:
    """The logit of Llama 2's combined reward, [B], [B] → [B]: arXiv 2307.09288, section 3.2.3.

    It is safety's score where P(safe) < `threshold` (0.15 there) or the prompt is tagged as risky
    (`is_risky` [B]), else helpfulness's. Whitening, the next step there, is the policy run's, over
    the reference's completions. Raises ValueError for a threshold outside (0, 1).
    """
    _same_vectors(helpful, safe)
    if not 0 < threshold < 1:
        raise ValueError("the threshold of safety lies between 0 and 1")
    decides = safe < math.log(threshold / (1 - threshold))
    if is_risky is not None:
        _same_vectors(safe, is_risky)
        decides = decides | is_risky
    return torch.where(decides, safe, helpful)


def weighted(helpful: Tensor, safe: Tensor, weight: float) -> Tensor:
    """helpful + weight · safe, [B], [B] → [B]."""
    _same_vectors(helpful, safe)
    return helpful + weight * safe


def _same_vectors(one: Tensor, other: Tensor) -> None:
    if one.dim() != 1 or one.shape != other.shape:
        raise ValueError(
            f"expected vectors of one length, got {tuple(one.shape)} and {tuple(other.shape)}"
        )
