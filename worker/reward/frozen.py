"""What the untrained head reads of completions: features that cost one reading and no training."""

import random
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from worker.reward.data import Encoded
from worker.reward.score import read_features
from worker.runtime import Runtime

MOST_ROWS = 2000
MOST_DIMENSIONS = 64


class FrozenFeatures:
    """Features of the conversations of `data`, each read once, when it is first asked for."""

    def __init__(self, model: Any, data: Encoded, runtime: Runtime, batch_size: int) -> None:
        self._model, self._data = model, data
        self._runtime, self._batch_size = runtime, batch_size
        self._read: dict[int, Tensor] = {}

    def differences(self, rows: Sequence[int]) -> Tensor:
        """Features of the chosen less those of the rejected completion of some rows, [n, H]."""
        chosen, rejected = self.ends(rows)
        return chosen - rejected

    def ends(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Features of the chosen and of the rejected completion of some rows, [n, H] each."""
        sides = [side[list(rows)].tolist() for side in (self._data.chosen, self._data.rejected)]
        missing = sorted({one for side in sides for one in side} - self._read.keys())
        if missing:
            sequences = [self._data.sequences[one] for one in missing]
            found = read_features(self._model, sequences, self._batch_size, self._runtime)
            self._read.update(zip(missing, found, strict=True))
        chosen, rejected = (torch.stack([self._read[one] for one in side]) for side in sides)
        return chosen, rejected


def sample(rows: Iterable[int], seed: int, most: int = MOST_ROWS) -> list[int]:
    """At most so many of the rows, in their order; those of a smaller sample are in a larger."""
    given = list(rows)
    random.Random(f"choose a loss {seed}").shuffle(given)  # noqa: S311 (no secret)
    return sorted(given[:most])


def reduce_dimensions(x: Tensor) -> Tensor:
    """Differences [n, H] on their main axes, [n, D], each feature first scaled to size 1."""
    x = x / x.square().mean(dim=0, keepdim=True).sqrt().clamp(min=1e-6)
    if x.shape[1] <= MOST_DIMENSIONS:
        return x
    _, axes = torch.linalg.eigh(x.T @ x if x.shape[1] <= len(x) else x @ x.T)
    main = axes[:, -MOST_DIMENSIONS:]
    if x.shape[1] > len(x):
        main = torch.linalg.qr(x.T @ main).Q  # [n, D] → [H, D]
    reduced: Tensor = x @ main  # [n, H] → [n, D]
    return reduced
