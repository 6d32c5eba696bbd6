"""One step of a reward model's training: a batch of comparisons, on one process or several."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from worker.errors import TrainerError
from worker.reward.batches import cut_parts
from worker.reward.configuration import RewardConfiguration
from worker.reward.data import Encoded
from worker.reward.loss import centring_penalties
from worker.reward.scorer import Scorer
from worker.reward.strength import USUAL_THRESHOLD, losses_of, offset
from worker.runtime import Runtime, all_reduce_sum, seed_everything
from worker.sharding import whole

# A state of every token of a part takes as many numbers, or what that many tokens take.
_NUMBERS_NEAR = 2**19
_FEWEST_TOKENS = 1024


@dataclass(frozen=True)
class Learner:
    """Steps of the optimiser; `spread` is the scorer as the processes share it."""

    model: Any
    optimiser: torch.optim.Optimizer
    scorer: Scorer
    spread: Any
    data: Encoded
    weights: Tensor  # [N]
    configuration: RewardConfiguration
    runtime: Runtime

    def learn(self, batch: Sequence[int], step: int, rate: float) -> dict[str, float]:
        """One step, and its figures. Raises TrainerError for a loss that is no number."""
        configuration = self.configuration
        seed_everything(configuration.seed, "step", step, self.runtime.rank)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        with self.scorer.learning(
            has_dropout=configuration.has_dropout, recomputes=configuration.recomputes
        ):
            figures: dict[str, float] = {}
            for part in self._parts(batch):
                loss, of_part = self._losses(part, len(batch))
                loss.backward()  # type: ignore[no-untyped-call]
                figures = {name: figures.get(name, 0.0) + one for name, one in of_part.items()}
        norm = _clip(self.model, configuration)
        _refuse_nan(figures["loss"], norm, step)
        self.optimiser.step()
        return figures | {"gradient_norm": norm, "learning_rate": rate}

    def _parts(self, batch: Sequence[int]) -> Sequence[Sequence[int]]:
        """What goes through forward and back at a time: all; on one CPU what stays in its caches.

        The sum of the parts' gradients is the batch's. Memory that is used again at once is still
        near, and need not be asked of the system anew; measured on CPUs.
        """
        if self.runtime.world_size > 1 or self.runtime.device.type != "cpu":
            return [batch]
        if not self.scorer.is_packed:  # reads like lengths together, which wants many
            return [batch]
        width = getattr(self.model.config.get_text_config(), "hidden_size", _NUMBERS_NEAR)
        return cut_parts(batch, self.data, max(_FEWEST_TOKENS, _NUMBERS_NEAR // width))

    def _losses(self, batch: Sequence[int], n_in_all: int) -> tuple[Tensor, dict[str, float]]:
        """The batch's share in a loss whose gradient is averaged over processes; and in figures."""
        data, configuration, runtime = self.data, self.configuration, self.runtime
        size = math.ceil(len(batch) / runtime.world_size)  # neighbours share what they read
        share = list(batch[runtime.rank * size : (runtime.rank + 1) * size])
        counts = 1.0 if share else 0.0
        rows = torch.tensor(share or [batch[0]])  # a process without a row must still take part
        chosen, rejected = self._scores(rows)
        device = chosen.device
        losses = losses_of(
            configuration.loss,
            offset(chosen, data, rows),
            rejected,
            strengths=data.strengths[rows].to(device),
            is_tie=data.is_tie[rows].to(device),
            soft=configuration.soft_temperature,
            threshold=configuration.tie_threshold or USUAL_THRESHOLD,
            posteriors=None if data.posteriors is None else data.posteriors[rows].to(device),
        )
        if chosen.dim() == 2:  # a mean beside a variance
            chosen, rejected = chosen[:, 0], rejected[:, 0]
        weighted = (losses * self.weights[rows].to(device)).sum() * counts
        centring = configuration.centring * centring_penalties(chosen, rejected).sum() * counts
        difference = (chosen - rejected).detach()
        totals = torch.stack(
            [weighted.detach(), (difference > 0).sum() * counts, difference.sum() * counts]
        )
        loss, right, margin = (all_reduce_sum(totals, runtime) / n_in_all).tolist()
        scaled = (weighted + centring) * runtime.world_size / n_in_all
        return scaled, {"loss": loss, "accuracy": right, "margin": margin}

    def _scores(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of both sides of comparisons [B], each completion read once: [B], or [B, 2]."""
        data = self.data
        used, places = torch.unique(
            torch.cat([data.chosen[rows], data.rejected[rows]]), return_inverse=True
        )  # [U], [2B]
        scores = self.spread([data.sequences[index] for index in used.tolist()])  # [U], or [U, 2]
        chosen, rejected = scores[places.to(scores.device)].chunk(2)  # [2B] → [B], [B]
        return chosen, rejected


def _clip(model: Any, configuration: RewardConfiguration) -> float:
    """Shorten the gradient to the norm that is allowed; the norm it had."""
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), configuration.gradient_clip)
    return float(whole(norm))


def _refuse_nan(loss: float, norm: float, step: int) -> None:
    if math.isfinite(loss) and math.isfinite(norm):
        return
    raise TrainerError(
        f"The loss is not a number any more at step {step + 1}. The last checkpoint before it is "
        "kept. Try a lower learning rate, and look for extreme weights in the preference set."
    )
