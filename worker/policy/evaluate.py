"""What a policy writes for prompts it was not trained on, and what the reward model says to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import torch

from worker.policy.objective import masked_mean, per_token_kl
from worker.policy.ppo import Learner, Scores
from worker.policy.sample import Prompt, read_completions, rollouts, rows_at_once
from worker.runtime import seed_everything


@dataclass(frozen=True, slots=True)
class EvaluationSample:
    """One completion of a held-out prompt; `kl` is its k1 sum in nats, `score` is not scaled."""

    prompt: Prompt
    completion: str
    score: float
    kl: float
    n_tokens: int
    is_finished: bool


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All samples of one evaluation."""

    rows: list[EvaluationSample]
    entropy: float

    def summary(self) -> dict[str, Any]:
        """Mean score with n and standard error, KL, entropy, finished rate and mean length."""
        scores = [row.score for row in self.rows]
        return {
            "score_mean": fmean(scores),
            "n": len(scores),
            "standard_error": stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else None,
            "kl": fmean(row.kl for row in self.rows),
            "entropy": self.entropy,
            "finished_rate": fmean(row.is_finished for row in self.rows),
            "length_mean": fmean(row.n_tokens for row in self.rows),
        }


@torch.no_grad()
def evaluate(learner: Learner, prompts: Sequence[Prompt], scores: Scores) -> Evaluation:
    """Sample each held-out prompt a few times; the same random stream each time it is called."""
    config = learner.config
    seed_everything(config.seed, "evaluation")
    repeated = [one for one in prompts for _ in range(config.samples_per_evaluation_prompt)]
    rows: list[EvaluationSample] = []
    entropies = []
    for start in range(0, len(repeated), config.batch_size):
        chunk = repeated[start : start + config.batch_size]
        batch = rollouts(
            learner.policy, learner.tokenizer, chunk, learner.sampling, config.max_new_tokens,
            room=learner.prompt_room,
        )  # fmt: skip
        at_once = rows_at_once(learner.policy, batch.mask.shape[1], config.rows_at_once)
        logprobs, entropy = read_completions(learner.policy, batch, learner.rule, at_once)
        reference, _ = read_completions(learner.reference, batch, learner.rule, at_once)
        texts = batch.texts(learner.tokenizer)
        entropies.append(float(masked_mean(entropy, batch.mask)))
        rows += map(
            EvaluationSample,
            chunk,
            texts,
            scores(chunk, texts).tolist(),
            per_token_kl(logprobs, reference).sum(dim=1).tolist(),
            batch.mask.sum(dim=1).long().tolist(),
            batch.is_finished.tolist(),
        )
    return Evaluation(rows, fmean(entropies))
