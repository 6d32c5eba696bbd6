"""What a reward model is worth on comparisons that it did not see."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from worker.models import Message
from worker.reward.data import Preference
from worker.reward.score import calibrate_temperature

N_BINS = 10


def evaluate(rows: Sequence[Preference], chosen: Tensor, rejected: Tensor) -> dict[str, Any]:
    """Accuracy, log-loss, calibration and the baseline that a longer completion wins.

    chosen, rejected: [N] scores of the two completions of each row. Ties are left out. A score
    tie counts as half right. Without a row left, every number is None.
    """
    kept = [index for index, row in enumerate(rows) if not row.is_tie]
    rows = [rows[index] for index in kept]
    differences = (chosen - rejected).float()[kept]  # [N] → [kept]
    strengths = [round(row.strength) for row in rows]
    by_strength = {
        str(strength): accuracy(differences[[one == strength for one in strengths]])
        for strength in sorted(set(strengths))
    }
    return {
        **accuracy(differences),
        "log_loss": _mean(-logsigmoid(differences)),
        "log_loss_standard_error": _standard_error(-logsigmoid(differences)),
        "ece": expected_calibration_error(differences),
        "ece_scaled": scaled_calibration_error(differences),
        "ece_scaled_by_chance": calibration_error_by_chance(differences),
        "temperature": calibrate_temperature(differences) if rows else None,
        "by_strength": by_strength,
        "longer_wins": longer_wins(rows),
    }


def accuracy(differences: Tensor) -> dict[str, Any]:
    """Share of pairs whose chosen completion scores higher, with its standard error; [N] → …"""
    right = (differences > 0).float() + 0.5 * (differences == 0).float()
    return {
        "accuracy": _mean(right),
        "standard_error": _standard_error(right),
        "n": len(differences),
    }


def expected_calibration_error(differences: Tensor) -> float | None:
    """How far stated confidence and accuracy lie apart, from 0 (honest) to 1; [N] → number.

    Confidence is max(p, 1 − p) with p = σ(difference). Pairs go into 10 bins of equal width from
    0.5 to 1; the distances |accuracy − mean confidence| are averaged, each bin by its share of
    pairs (Guo et al., arXiv 1706.04599, eq. 3).
    """
    if len(differences) == 0:
        return None
    confidence, bins = _binned(differences)
    right = (differences > 0).float() + 0.5 * (differences == 0).float()
    gaps = [
        (right[bins == one].mean() - confidence[bins == one].mean()).abs() * (bins == one).sum()
        for one in range(N_BINS)
        if bool((bins == one).any())
    ]
    return float(sum(gaps) / len(differences))


def scaled_calibration_error(differences: Tensor) -> float | None:
    """The calibration error once scores are divided by a temperature, [N] → number.

    Each half of the pairs is scaled by the temperature of the other, so that no pair judges itself.
    """
    return expected_calibration_error(_scaled(differences)) if len(differences) > 1 else None


def calibration_error_by_chance(differences: Tensor) -> float | None:
    """The mean error of an honest model that states the same confidences, scaled; [N] → number.

    In a bin of n pairs of confidence c that are right with chance c, the sum of right − c has
    the variance Σ c (1 − c), and its size is on average √(2/π) of the standard deviation, by the
    normal approximation. It takes pairs for independent, so pairs with a completion in common
    have more chance in them. An error of that size says nothing against a model.
    """
    if len(differences) < 2:
        return None
    confidence, bins = _binned(_scaled(differences))
    variances = torch.zeros(N_BINS).index_add_(0, bins, confidence * (1 - confidence))
    return float(variances.sqrt().sum() * math.sqrt(2 / math.pi) / len(differences))


def _scaled(differences: Tensor) -> Tensor:
    """Each half over the temperature of the other, [N] → [N]."""
    scaled = differences.clone()
    for half in (0, 1):
        scaled[half::2] = differences[half::2] / calibrate_temperature(differences[1 - half :: 2])
    return scaled


def _binned(differences: Tensor) -> tuple[Tensor, Tensor]:
    """The confidence of each pair and the number of its bin, [N] → [N], [N]."""
    p = torch.sigmoid(differences)
    confidence = torch.maximum(p, 1 - p)
    return confidence, ((confidence - 0.5) * 2 * N_BINS).long().clamp(max=N_BINS - 1)


def longer_wins(rows: Sequence[Preference]) -> float | None:
    """Accuracy of the rule “the longer completion, in characters, wins”; equal lengths are half."""
    if not rows:
        return None
    lengths = [(_length(row.chosen), _length(row.rejected)) for row in rows]
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in lengths]
    return sum(wins) / len(wins)


def _length(messages: Sequence[Message]) -> int:
    return sum(len(message["content"]) for message in messages)


def _mean(values: Tensor) -> float | None:
    return float(values.mean()) if len(values) else None


def _standard_error(values: Tensor) -> float | None:
    return float(values.std() / len(values) ** 0.5) if len(values) > 1 else None
