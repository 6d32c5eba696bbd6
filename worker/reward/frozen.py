"""What the untrained head reads of completions: features that cost one reading and no training."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from worker.reward.data import Encoded
from worker.reward.score import read_features
from worker.runtime import Runtime


class FrozenFeatures:
    """Features of the conversations of `data`, each read once, when it is first asked for."""

    def __init__(self, model: Any, data: Encoded, runtime: Runtime, batch_size: int) -> None:
        self._model, self._data = model, data
        self._runtime, self._batch_size = runtime, batch_size
        self._read: dict[int, Tensor] = {}

    def differences(self, rows: Sequence[int]) -> Tensor:
        """Features of the chosen less those of the rejected completion of some rows, [n, H]."""
        sides = [side[list(rows)].tolist() for side in (self._data.chosen, self._data.rejected)]
        missing = sorted({one for side in sides for one in side} - self._read.keys())
        if missing:
            sequences = [self._data.sequences[one] for one in missing]
            found = read_features(self._model, sequences, self._batch_size, self._runtime)
            self._read.update(zip(missing, found, strict=True))
        chosen, rejected = (torch.stack([self._read[one] for one in side]) for side in sides)
        return chosen - rejected
