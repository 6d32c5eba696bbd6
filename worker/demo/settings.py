"""What the demonstration is set to, so that two rounds end in minutes and show something."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DemoSettings:
    """Sizes and rates of the demonstration; found by trial on the demonstration language."""

    seed: int = 0
    kl_coef: float = 0.2
    demonstrations_a_prompt: int = 12  # about 3,700 answers, fewer where two are equal
    comparisons_per_round: int = 2400
    policy_steps: int = 24
    max_new_tokens: int = 40
    n_measured: int = 1032  # completions of held-out prompts, twelve for each of the 86
    seconds_at_most: float = 600.0  # for one stretch of training; never reached unless stuck

    @classmethod
    def chosen(cls, *, seed: int = 0, kl_coef: float | None = None) -> "DemoSettings":
        """The settings with a seed, and with another KL coefficient where one is given."""
        return cls(seed=seed) if kl_coef is None else cls(seed=seed, kl_coef=kl_coef)

    def project_values(self) -> dict[str, Any]:
        """The columns of the demonstration's project."""
        return {
            "comparisons_per_round": self.comparisons_per_round,
            "pairs_per_round": self.comparisons_per_round,
            "policy_steps": self.policy_steps,
            "kl_coef": self.kl_coef,
            "max_new_tokens": self.max_new_tokens,
            "seed": self.seed,
        }
