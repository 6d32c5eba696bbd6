"""The true reward of a policy, measured on prompts that no training has seen."""

from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from worker.demo.language import Message, draw_prompts, true_reward
from worker.runtime import Runtime, seed_everything


@dataclass(frozen=True)
class Sampled:
    """One completion of a held-out prompt and what it is truly worth."""

    prompt: list[Message]
    text: str
    true_reward: float


@dataclass(frozen=True)
class Mean:
    """A mean with its standard error, the sample's standard deviation over the root of `n`."""

    mean: float
    n: int
    standard_error: float

    @classmethod
    def of(cls, values: list[float]) -> "Mean":
        """Raises StatisticsError for fewer than two values."""
        return cls(fmean(values), len(values), stdev(values) / len(values) ** 0.5)

    def is_above(self, other: "Mean", by: float = 2.0) -> bool:
        """True where the difference is more than `by` of its own standard errors."""
        noise = (self.standard_error**2 + other.standard_error**2) ** 0.5
        return bool(self.mean - other.mean > by * noise)


def sample_held_out(
    folder: str, n: int, seed: int, max_new_tokens: int, runtime: Runtime
) -> list[Sampled]:
    """`n` completions by the policy in `folder`: the same prompts and chances at every call."""
    import torch

    from worker.models import load_policy, load_tokenizer
    from worker.policy.sample import rollouts, training_rule

    tokenizer = load_tokenizer(folder)
    policy = load_policy(folder, runtime).eval()
    rule = training_rule(policy, tokenizer, temperature=1.0)
    prompts = draw_prompts(n, seed, is_held_out=True)
    seed_everything(seed, "held out")
    sampled: list[Sampled] = []
    with torch.no_grad():
        for start in range(0, n, 128):
            chunk = prompts[start : start + 128]
            batch = rollouts(policy, tokenizer, chunk, rule, max_new_tokens)
            texts, finished = batch.texts(tokenizer), batch.is_finished.tolist()
            sampled += [
                Sampled(prompt, text, true_reward(prompt, text, bool(is_finished)))
                for prompt, text, is_finished in zip(chunk, texts, finished, strict=True)
            ]
    return sampled


def true_mean(sampled: list[Sampled]) -> Mean:
    return Mean.of([one.true_reward for one in sampled])


def predicted_mean(folder: str, sampled: list[Sampled], runtime: Runtime) -> float:
    """What the reward model in `folder` thinks of the completions, on average."""
    from worker.models import load_reward_model, load_tokenizer
    from worker.reward.score import score

    tokenizer: Any = load_tokenizer(folder)
    model = load_reward_model(folder, runtime, tokenizer)
    conversations = [[*one.prompt, {"role": "assistant", "content": one.text}] for one in sampled]
    return fmean(score(model, tokenizer, conversations, 128, runtime))
