"""What a policy run and a supervised run can be told."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from worker.errors import TrainerError
from worker.reward.combine import Rule
from worker.reward.panel import Combination, combination_of

_PLACES = {
    *("out", "prompts", "evaluation_prompts", "demonstrations"),
    *("policy", "reference", "reward_model", "base_model", "safety_model"),
}
ALGORITHMS = ("ppo", "rloo", "grpo")

_COUNTS = (
    *("steps", "batch_size", "epochs", "minibatches", "max_new_tokens", "max_prompt_tokens"),
    *("evaluate_every", "n_evaluation_prompts", "samples_per_evaluation_prompt"),
    "checkpoint_every",
)
_ABOVE_ZERO = ("learning_rate", "value_learning_rate", "temperature", "kl_budget")


@dataclass(frozen=True)
class PolicyConfig:
    """One policy run. Counts are of completions unless they say otherwise."""

    policy: str  # where the policy starts
    reference: str  # what the KL penalty keeps it near
    reward_model: str
    prompts: Path  # JSON lines with "prompt"
    out: Path
    algorithm: str = "ppo"
    evaluation_prompts: Path | None = None  # without it, a part of the prompts is held out
    steps: int = 24
    batch_size: int = 128
    minibatches: int = 4
    epochs: int = 3
    group_size: int = 4  # completions a prompt, for rloo and grpo
    kl_coef: float = 0.1
    kl_target: float | None = None  # nats a completion; makes the coefficient adaptive
    kl_budget: float = 20.0  # nats a completion; beyond it the run says so
    learning_rate: float = 1e-3
    value_learning_rate: float = 2e-3
    max_new_tokens: int = 40
    max_prompt_tokens: int = 1024  # longer prompts lose their beginning
    rows_at_once: int | None = None  # completions a pass; by default as many as memory should hold
    temperature: float = 1.0
    missing_eos_penalty: float = 1.0  # in standard deviations of the reference's scores
    ratio_clip: float = 0.2
    value_clip: float = 0.2
    lam: float = 0.95
    early_stop_k3: float = 0.1  # nats a token between the old and the new policy within a step
    seed: int = 0
    evaluate_every: int = 8
    n_evaluation_prompts: int = 128
    samples_per_evaluation_prompt: int = 2
    checkpoint_every: int = 20
    safety_model: str | None = None  # a reward model of safety, beside `reward_model`
    has_safety_head: bool = False  # or the head for it on `reward_model`'s own trunk
    combine: str = Rule.LLAMA2.value
    safety_threshold: float = 0.15  # P(safe) below which safety decides, for `llama2`
    safety_weight: float = 1.0  # for `weights`

    @property
    def combination(self) -> Combination | None:
        """How helpfulness and safety are one score; None where there is one objective."""
        if self.safety_model is None and not self.has_safety_head:
            return None
        return combination_of(
            self.combine, self.safety_threshold, self.safety_weight, self.safety_model
        )

    def validate(self) -> None:
        """Raises TrainerError for a setting that cannot work."""
        if self.algorithm not in ALGORITHMS:
            raise TrainerError(
                f"There is no algorithm “{self.algorithm}”. Use {', '.join(ALGORITHMS)}."
            )
        combination_of(self.combine, self.safety_threshold, self.safety_weight, self.safety_model)
        if min(getattr(self, name) for name in _COUNTS) < 1:
            raise TrainerError(f"These must be at least 1: {_in_words(_COUNTS)}.")
        if not (self.kl_coef >= 0 and self.missing_eos_penalty >= 0):
            raise TrainerError(
                "The KL coefficient and the missing end's penalty cannot be negative."
            )
        rates = [getattr(self, name) for name in _ABOVE_ZERO]
        if self.kl_target is not None:
            rates.append(self.kl_target)
        if not all(0 < rate < math.inf for rate in rates):
            raise TrainerError(
                f"These must be above 0: {_in_words(_ABOVE_ZERO)}, and the KL target where there "
                "is one."
            )
        if self.algorithm != "ppo" and (self.group_size < 2 or self.batch_size % self.group_size):
            raise TrainerError(
                f"{self.algorithm} compares completions of one prompt: use a group size of at "
                "least 2 that divides the batch size."
            )


def _in_words(names: tuple[str, ...]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)


@dataclass(frozen=True)
class SupervisedConfig:
    """One supervised run on demonstrations."""

    base_model: str
    demonstrations: Path  # JSON lines with "prompt" and "completion"
    out: Path
    epochs: float = 3.0
    batch_size: int = 32
    learning_rate: float = 5e-3
    warmup: float = 0.1  # share of the steps
    max_length: int = 512
    held_out: float = 0.05
    seed: int = 0
    checkpoint_every: int = 100


def without_places(config: Any) -> dict[str, Any]:
    """A configuration less what names a file or a model: hashes say what those are.

    So a run whose folder was moved is still the same run.
    """
    return {name: value for name, value in as_plain(config).items() if name not in _PLACES}


def as_plain(config: Any) -> dict[str, Any]:
    """A configuration as JSON can hold it."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in asdict(config).items()
    }
