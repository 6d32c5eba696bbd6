"""Length beside quality: how it moves people's answers, and how it can be kept out of scores.

A reward model that explains answers by quality and an offset for length, and is then read without
the offset, owes less to length. The offset is estimated (a covariate) or chosen (a penalty).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.agree.bias import length_effect
from worker.errors import TrainerError
from worker.models import Message
from worker.reward.choose import Candidate, choose_precision, head_of
from worker.reward.data import Encoded, Preference
from worker.reward.frozen import FrozenFeatures, reduce_dimensions, sample
from worker.reward.strength import Loss

OFF, COVARIATE = "off", "covariate"
FEWEST = 40
# As a feature of a head, length is this large beside the others, so that its prior hardly counts.
_FREE = 10.0


def parse_length(text: str) -> str:
    """`off`, `covariate` or a number, as a configuration keeps it. Raises TrainerError."""
    if text in (OFF, COVARIATE):
        return text
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise TrainerError(
            f"“{text}” is no way to treat length. Use {OFF}, {COVARIATE} or a number: log-odds per "
            "standard deviation of log length ratio."
        )
    return f"{number:g}"


def log_length_ratios(rows: Sequence[Preference]) -> Tensor:
    """log(words of the chosen + 1) − log(words of the rejected + 1), [N]."""
    return torch.tensor(
        [float(np.log1p(_words(row.chosen)) - np.log1p(_words(row.rejected))) for row in rows]
    )


def offset_lengths(
    data: Encoded, rows: Sequence[Preference], features: FrozenFeatures, how: str, seed: int
) -> tuple[Tensor | None, dict[str, Any]]:
    """What length adds to the log-odds of each comparison, [N], and a report; None where off."""
    ratios = log_length_ratios(rows)
    unit = float(ratios.square().mean().sqrt())
    if how == OFF or unit < 1e-6:
        return None, {"mode": how, "offset": 0.0}
    z = ratios / unit  # [N]
    offset = _coefficient(data, z, features, seed) if how == COVARIATE else float(how)
    return offset * z, {"mode": how, "offset": offset, "unit": unit}


def _coefficient(data: Encoded, z: Tensor, features: FrozenFeatures, seed: int) -> float:
    """Log-odds per unit of z at equal quality, quality being a head on frozen features."""
    rows = sample(range(len(data)), seed)
    if len(rows) < FEWEST:
        return 0.0
    x = reduce_dimensions(features.differences(rows).double())  # [n, D]
    x = torch.cat([x, _FREE * z[rows].double()[:, None]], dim=1)  # [n, D + 1]
    index = torch.tensor(rows)
    precision = choose_precision(x, index, data, seed)
    head = head_of(x, index, data, Candidate(Loss.PLAIN), precision)
    return _FREE * float(head[-1])


def length_report(rows: Sequence[Preference], margins: Tensor, seed: int) -> dict[str, Any] | None:
    """Does length win of itself among held-out answers, at equal score? None with too few.

    margins: [N], score of the chosen less the rejected. `coefficient` is people's log-odds per
    standard deviation of log length ratio beside the model's margin: what the model has not
    explained of their taste for length; with its 95% interval over prompts.
    """
    kept = [place for place, row in enumerate(rows) if not row.is_tie]
    ratios = log_length_ratios([rows[place] for place in kept]).double().numpy()
    if len(kept) < FEWEST or not np.abs(ratios).max() > 0:
        return None
    quality = margins[kept].double().numpy()
    # Every other pair is read from its other side: with the chosen one always first there would be
    # nothing to regress.
    side = np.where(np.arange(len(kept)) % 2 == 0, 1.0, -1.0)
    groups = {name: number for number, name in enumerate({rows[place].group: 0 for place in kept})}
    found = length_effect(
        (side > 0).astype(np.float64),
        side * ratios,
        side * quality,
        np.array([groups[rows[place].group] for place in kept]),
        seed=seed,
    )
    return {
        "coefficient": found.effect.coefficient,
        "low": found.effect.low,
        "high": found.effect.high,
        "without_quality": found.naive,
        "is_alarming": found.is_alarming,
        "n": found.effect.n,
    }


def _words(messages: Sequence[Message]) -> int:
    return sum(len(message["content"].split()) for message in messages)
