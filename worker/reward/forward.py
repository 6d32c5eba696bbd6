"""The scores of token lists by passes of the network as transformers runs it, padded."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from worker.runtime import Runtime, autocast

_FEWEST_TOGETHER = 8
_WORTH_SPARING = 0.2


def forward(model: Any, sequences: Sequence[list[int]], runtime: Runtime) -> Tensor:
    """The network's scores of U token lists, [U] in float32, with gradients where they are on.

    Runs of like length are passed together where that spares enough padding.
    """
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    ordered = [sequences[index] for index in order]
    scores = torch.cat([one_pass(model, chunk, runtime) for chunk in _like_lengths(ordered)])
    back = torch.tensor(order).argsort().to(scores.device)
    return scores[back]  # [U], sorted by length → [U], as given


def _like_lengths(ordered: Sequence[list[int]]) -> list[Sequence[list[int]]]:
    """Halve sequences sorted by length as long as that spares a fifth of the padded tokens."""
    middle = len(ordered) // 2
    if middle < _FEWEST_TOGETHER:
        return [ordered]
    longest, shorter = len(ordered[-1]), len(ordered[middle - 1])
    if (longest - shorter) * middle < _WORTH_SPARING * longest * len(ordered):
        return [ordered]
    return _like_lengths(ordered[:middle]) + _like_lengths(ordered[middle:])


def one_pass(model: Any, sequences: Sequence[list[int]], runtime: Runtime) -> Tensor:
    """The scores of U token lists in one padded pass, [U] in float32."""
    # Padding goes to the right, because absolute positions of encoders count from the left.
    longest = max(map(len, sequences))
    config = getattr(model, "module", model).config
    ids = torch.full((len(sequences), longest), config.pad_token_id)  # [U, L]
    mask = torch.zeros_like(ids)  # [U, L]
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    with autocast(runtime):
        logits = model(
            input_ids=ids.to(runtime.device), attention_mask=mask.to(runtime.device)
        ).logits  # [U, 1]
    scores: Tensor = logits.float().squeeze(-1)  # [U, 1] → [U]
    return scores
