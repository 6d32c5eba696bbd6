"""What the demonstration is set to, so that two rounds end in minutes and show something."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DemoSettings:
    """Sizes and rates of the demonstration; found by trial on the demonstration language."""

    seed: int = 0
    kl_coef: float = 0.1
    demonstrations_a_prompt: int = 12  # about 3,700 answers, fewer where two are equal
    comparisons_per_round: int = 1500
    policy_steps: int = 30
    max_new_tokens: int = 40
    n_measured: int = 344  # completions of held-out prompts, four for each of the 86
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


# Options of `prefloop-worker sft` and `reward` with which the figures of the demonstration were
# reached. The reward model of a later round reads more comparisons and needs fewer passes.
SUPERVISED_OPTIONS: dict[str, Any] = {"epochs": 2.5, "batch_size": 32, "learning_rate": 5e-3}
REWARD_STEPS, REWARD_BATCH = 280, 32
REWARD_OPTIONS: dict[str, Any] = {
    "loss": "soft",
    "learning_rate": 2e-3,
    "batch_size": REWARD_BATCH,
}


def reward_epochs(n_comparisons: int) -> int:
    """Passes over the comparisons: 6 over 1,500 and 3 over 3,000."""
    steps_a_pass = max(1, round(n_comparisons / REWARD_BATCH))
    return max(1, round(REWARD_STEPS / steps_a_pass))
