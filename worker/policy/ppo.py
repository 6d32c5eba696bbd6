"""One page of policy optimisation: PPO, and RLOO and GRPO as other estimators of the advantage.

A step samples completions, scores them, turns scores and KL into advantages, and makes a few
passes of clipped updates over them. Left out on purpose: value and policy in one network, reward
whitening (advantages are whitened instead) and dropout, which makes the ratios noise.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from worker.errors import TrainerError
from worker.policy.config import PolicyConfig
from worker.policy.objective import (
    AdaptiveKL,
    FixedKL,
    clip_fraction,
    clipped_policy_loss,
    clipped_value_loss,
    explained_variance,
    generalized_advantages,
    group_normalised_advantages,
    leave_one_out_advantages,
    masked_mean,
    masked_whiten,
    per_token_kl,
    token_rewards,
)
from worker.policy.sample import (
    Prompt,
    Rollouts,
    SamplingRule,
    completion_logprobs,
    rollouts,
)
from worker.policy.value import ValueModel
from worker.runtime import Runtime, autocast

Scores = Callable[[Sequence[Prompt], Sequence[str]], Tensor]


@dataclass
class Learner:
    """Everything that a step reads or changes."""

    config: PolicyConfig
    runtime: Runtime
    tokenizer: Any
    policy: Any
    reference: Any
    value: ValueModel
    scores: Scores  # normalised to mean 0 and deviation 1 on the reference's completions
    kl: FixedKL | AdaptiveKL
    sampling: SamplingRule  # how completions are drawn
    rule: SamplingRule  # how log-probabilities are taken; the same rule, unless a test breaks it
    policy_optimiser: torch.optim.Optimizer
    value_optimiser: torch.optim.Optimizer


@dataclass(frozen=True)
class Experience:
    """One batch with what is known about it before the update; tensors are [B, T] or [B]."""

    batch: Rollouts
    logprobs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    kl_sums: Tensor
    sampler_gap: float
    figures: dict[str, float]


@torch.no_grad()
def collect(learner: Learner, prompts: Sequence[Prompt]) -> Experience:
    """Sample a completion for each prompt and work out its advantages."""
    config = learner.config
    with autocast(learner.runtime):
        batch = rollouts(
            learner.policy, learner.tokenizer, prompts, learner.sampling, config.max_new_tokens
        )
        logprobs, entropies = completion_logprobs(learner.policy, batch, learner.rule)
        reference_logprobs, _ = completion_logprobs(learner.reference, batch, learner.rule)
        values = learner.value(batch) * batch.mask
    scores = learner.scores(prompts, batch.texts(learner.tokenizer)).to(values.device)  # [B]
    penalised = scores - config.missing_eos_penalty * (~batch.is_finished)
    rewards = token_rewards(
        penalised, logprobs, reference_logprobs, batch.mask, learner.kl.coefficient
    )
    advantages, returns = _advantages(config, rewards, values, batch.mask)
    kl = per_token_kl(logprobs, reference_logprobs)
    kl_sums = kl.sum(dim=1)  # [B, T] -> [B]
    k3 = per_token_kl(logprobs, reference_logprobs, "k3") * batch.mask
    return Experience(
        batch=batch,
        logprobs=logprobs,
        values=values,
        advantages=advantages,
        returns=returns,
        kl_sums=kl_sums,
        sampler_gap=float(masked_mean((logprobs - batch.logprobs).abs(), batch.mask)),
        figures={
            "score_mean": float(scores.mean()),
            "reward_mean": float(rewards.sum(dim=1).mean()),
            "kl": float(kl_sums.mean()),
            "kl_k3": float(k3.sum(dim=1).mean()),
            "entropy": float(masked_mean(entropies, batch.mask)),
            "finished_rate": float(batch.is_finished.float().mean()),
            "length_mean": float(batch.mask.sum(dim=1).mean()),
            "value_explained_variance": float(explained_variance(values, returns, batch.mask)),
        },
    )


def _advantages(
    config: PolicyConfig, rewards: Tensor, values: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Advantages and returns, both [B, T], by the run's algorithm."""
    if config.algorithm == "ppo":
        advantages, returns = generalized_advantages(rewards, values, mask, lam=config.lam)
        return masked_whiten(advantages, mask), returns
    totals = rewards.sum(dim=1)  # [B, T] -> [B]
    estimate = (
        leave_one_out_advantages if config.algorithm == "rloo" else group_normalised_advantages
    )
    of_completion = estimate(totals, config.group_size)[:, None]  # [B] -> [B, 1]
    return of_completion * mask, totals[:, None] * mask


def update(learner: Learner, experience: Experience) -> dict[str, float]:
    """A few passes over the batch; ends early when the policy has moved far from the sampler.

    Raises TrainerError when a loss is not a number.
    """
    config, n_rows = learner.config, len(experience.kl_sums)
    rows_each = math.ceil(n_rows / config.minibatches)
    seen: list[Tensor] = []
    n_epochs = 0
    while n_epochs < config.epochs:
        order = torch.randperm(n_rows, device=experience.kl_sums.device)
        rows_of = torch.split(order, rows_each)
        seen += [_minibatch(learner, experience, rows) for rows in rows_of]
        n_epochs += 1
        drift = torch.stack(seen[-len(rows_of) :])[:, 3].mean()
        if float(drift) > config.early_stop_k3:
            break
    figures = torch.stack(seen).mean(dim=0)  # [minibatches, 5] -> [5]
    policy_loss, value_loss, clipped, _, norm = figures.tolist()
    if not math.isfinite(policy_loss + value_loss + norm):
        raise TrainerError(
            "The loss is not a number any more. The last checkpoint before it is kept. Try a "
            "lower learning rate or a higher KL coefficient."
        )
    return {
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "clip_fraction": clipped,
        "epochs": float(n_epochs),
        "gradient_norm": norm,
    }


def _minibatch(learner: Learner, experience: Experience, rows: Tensor) -> Tensor:
    """One optimiser step on some rows [b]; returns losses, clip fraction, drift and norm, [5]."""
    config, batch = learner.config, experience.batch.select(rows)
    n_tokens = batch.mask.shape[1]
    old, values, advantages, returns = (
        tensor[rows, :n_tokens]
        for tensor in (
            experience.logprobs,
            experience.values,
            experience.advantages,
            experience.returns,
        )
    )
    with autocast(learner.runtime):
        new, _ = completion_logprobs(learner.policy, batch, learner.rule)
    policy_loss = clipped_policy_loss(new, old, advantages, batch.mask, clip=config.ratio_clip)
    norm = _descend(policy_loss, learner.policy, learner.policy_optimiser)
    value_loss = torch.zeros_like(policy_loss)
    if config.algorithm == "ppo":
        with autocast(learner.runtime):
            now = learner.value(batch)
        value_loss = clipped_value_loss(now, values, returns, batch.mask, clip=config.value_clip)
        _descend(value_loss, learner.value, learner.value_optimiser)
    with torch.no_grad():
        clipped = clip_fraction(new, old, batch.mask, config.ratio_clip)
        drift = masked_mean(per_token_kl(old, new, "k3"), batch.mask)
    return torch.stack([policy_loss.detach(), value_loss.detach(), clipped, drift, norm])


def _descend(loss: Tensor, model: Any, optimiser: torch.optim.Optimizer) -> Tensor:
    """One step downhill; returns the norm of the gradient before it was clipped, a scalar."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return norm
