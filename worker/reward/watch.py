"""What a training run tells of itself while it goes on: pace, memory, held-out figures."""

import resource
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import logsigmoid

from worker.reward.data import Encoded
from worker.reward.score import score_sequences
from worker.runtime import Runtime

MOST_LOOKS, MOST_ROWS = 20, 200
# Looking may cost this share of the training's own reading, which passes each pair three times.
_SHARE = 0.15


class Watch:
    """Looks at a network in training at a few steps that its data and configuration decide."""

    def __init__(
        self, model: Any, data: Encoded, held_out: Encoded, runtime: Runtime, *, batch_size: int
    ) -> None:
        self.model, self.data, self.held_out = model, data, held_out
        self.runtime, self.batch_size = runtime, batch_size
        rows = [row for row in range(len(held_out)) if not bool(held_out.is_tie[row])]
        self.rows = rows[:: max(1, -(-len(rows) // MOST_ROWS))]
        self.looks: frozenset[int] | None = None
        self.last = time.monotonic()

    def after(self, step: int, plan: Sequence[Sequence[int]]) -> dict[str, float]:
        """Figures of the step that just ended; every process must ask, for all read together."""
        now = time.monotonic()
        n_tokens = sum(
            len(self.data.sequences[int(side[row])])
            for row in plan[step - 1]
            for side in (self.data.chosen, self.data.rejected)
        )
        figures = {
            "tokens_per_second": n_tokens / max(1e-6, now - self.last),
            "memory_mb": peak_memory(self.runtime),
        }
        if self.looks is None:
            self.looks = self._when(plan)
        if step in self.looks:
            figures |= self._look()
        self.last = time.monotonic()
        return figures

    def _when(self, plan: Sequence[Sequence[int]]) -> frozenset[int]:
        """The steps after which held-out comparisons are read, evenly spread."""
        if not self.rows:
            return frozenset()
        n_read = sum(_n_completions(self.data, batch) for batch in plan)
        n_looked_at = _n_completions(self.held_out, self.rows)
        n = min(MOST_LOOKS, len(plan), max(1, int(_SHARE * n_read / n_looked_at)))
        return frozenset(round(len(plan) * (one + 1) / n) for one in range(n))

    def _look(self) -> dict[str, float]:
        rows = torch.tensor(self.rows)
        used, places = torch.unique(
            torch.cat([self.held_out.chosen[rows], self.held_out.rejected[rows]]),
            return_inverse=True,
        )  # [U], [2E]
        read = [self.held_out.sequences[one] for one in used.tolist()]
        scores = score_sequences(self.model, read, self.batch_size, self.runtime)[places]  # [2E]
        chosen, rejected = scores.chunk(2)
        margins = chosen - rejected  # [E]
        return {
            "eval_loss": float(-logsigmoid(margins).mean()),
            "eval_accuracy": float(((margins > 0).float() + 0.5 * (margins == 0).float()).mean()),
        }


def _n_completions(data: Encoded, rows: Sequence[int]) -> int:
    return len(torch.unique(torch.cat([data.chosen[list(rows)], data.rejected[list(rows)]])))


def peak_memory(runtime: Runtime) -> float:
    """The most memory that this process held so far, in MB: of its GPU where it has one."""
    if runtime.device.type == "cuda":
        return torch.cuda.max_memory_allocated(runtime.device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
