"""Signs that a run's figures cannot be believed, or that the policy has left what people judged."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

# The mean of a correct k1 estimate falls this many standard errors below zero once in 30,000 steps.
STANDARD_ERRORS = 4.0
UNTRUSTWORTHY = ("negative_kl", "sampler_gap")


@dataclass
class Watch:
    """Raises each kind of alarm once, with the step at which it was first seen."""

    kl_budget: float
    gap_limit: float
    alarms: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_trustworthy(self) -> bool:
        return not any(alarm["kind"] in UNTRUSTWORTHY for alarm in self.alarms)

    def observe(self, step: int, kl_sums: Tensor, sampler_gap: float) -> list[str]:
        """Look at one step: k1 sums [B] in nats, mean |sampler - trainer| log-prob difference.

        Returns the sentences of alarms that are new.
        """
        mean, n = float(kl_sums.mean()), len(kl_sums)
        error = float(kl_sums.std()) / n**0.5 if n > 1 else 0.0
        new = []
        if mean < -(STANDARD_ERRORS * error + 0.01):
            new += self._raise(
                step,
                "negative_kl",
                f"The KL estimate is {mean:.3f} ± {error:.3f}, and no divergence is negative: the "
                "sampler and the log-probabilities follow different rules. Do not believe this "
                "run's KL, and do not use its policy.",
            )
        if sampler_gap > self.gap_limit:
            new += self._raise(
                step,
                "sampler_gap",
                f"The sampler's log-probabilities differ from the trainer's by {sampler_gap:.4f} "
                f"nats a token, more than {self.gap_limit}: they do not describe one policy.",
            )
        return new

    def observe_distance(self, step: int, kl: float) -> list[str]:
        """Look at one evaluation: mean KL of held-out completions, in nats.

        Not at single steps, because the first ones of a run can leap out and come back.
        """
        if kl <= self.kl_budget:
            return []
        return self._raise(
            step,
            "kl_budget",
            f"The policy is {kl:.1f} nats from the reference, beyond the budget of "
            f"{self.kl_budget:g}: the reward model judges what people have not compared. Its "
            "score may no longer mean what people prefer.",
        )

    def _raise(self, step: int, kind: str, message: str) -> list[str]:
        if any(alarm["kind"] == kind for alarm in self.alarms):
            return []
        self.alarms.append({"step": step, "kind": kind, "message": message})
        return [message]
