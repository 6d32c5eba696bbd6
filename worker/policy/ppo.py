"""One page of policy optimisation: PPO, and RLOO and GRPO as other estimators of the advantage.

A step samples completions, scores them, turns scores and KL into advantages, and makes a few
passes of clipped updates over them. Left out on purpose: value and policy in one network, reward
whitening (advantages are whitened instead) and dropout, which makes the ratios noise.
"""

import math
from collections.abc import Callable, Iterator, Sequence
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
    read_completions,
    rollouts,
    rows_at_once,
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
    prompt_room: int  # tokens of a prompt that every network can read with its completion


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
            learner.policy, learner.tokenizer, prompts, learner.sampling, config.max_new_tokens,
            room=learner.prompt_room,
        )  # fmt: skip
        at_once = rows_at_once(learner.policy, batch.mask.shape[1], config.rows_at_once)
        logprobs, entropies = read_completions(learner.policy, batch, learner.rule, at_once)
        reference_logprobs, _ = read_completions(learner.reference, batch, learner.rule, at_once)
        values = torch.cat([learner.value(part) for part in batch.parts(at_once)]) * batch.mask
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
    width = batch.mask.shape[1]
    at_once = rows_at_once(learner.policy, width, config.rows_at_once)
    old, values, advantages, returns = (
        tensor[rows, :width]
        for tensor in (
            experience.logprobs,
            experience.values,
            experience.advantages,
            experience.returns,
        )
    )
    n_tokens, parts = batch.mask.sum(), list(batch.parts(at_once))
    seen: list[Tensor] = []

    def policy_losses() -> Iterator[Tensor]:
        of_parts = zip(
            parts, torch.split(old, at_once), torch.split(advantages, at_once), strict=True
        )
        for part, before, advantage in of_parts:
            with autocast(learner.runtime):
                now = completion_logprobs(learner.policy, part, learner.rule)
            seen.append(now.detach())
            yield clipped_policy_loss(
                now, before, advantage, part.mask, clip=config.ratio_clip, n_tokens=n_tokens
            )

    def value_losses() -> Iterator[Tensor]:
        of_parts = zip(
            parts, torch.split(values, at_once), torch.split(returns, at_once), strict=True
        )
        for part, before, target in of_parts:
            with autocast(learner.runtime):
                now = learner.value(part)
            yield clipped_value_loss(
                now, before, target, part.mask, clip=config.value_clip, n_tokens=n_tokens
            )

    policy_loss, norm = _descend(policy_losses(), learner.policy, learner.policy_optimiser)
    value_loss = torch.zeros_like(policy_loss)
    if config.algorithm == "ppo":
        value_loss, _ = _descend(value_losses(), learner.value, learner.value_optimiser)
    new = torch.cat(seen)  # [b, T]... -> [B, T]
    clipped = clip_fraction(new, old, batch.mask, config.ratio_clip)
    drift = masked_mean(per_token_kl(old, new, "k3"), batch.mask)
    return torch.stack([policy_loss, value_loss, clipped, drift, norm])


def _descend(
    losses: Iterator[Tensor], model: Any, optimiser: torch.optim.Optimizer
) -> tuple[Tensor, Tensor]:
    """One step down the sum of the losses, the graph of one of which is held at a time.

    Returns the sum, and the norm of its gradient before it was clipped; both scalars.
    """
    optimiser.zero_grad(set_to_none=True)
    summed: list[Tensor] = []
    for loss in losses:
        loss.backward()  # type: ignore[no-untyped-call]
        summed.append(loss.detach())
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return torch.stack(summed).sum(), norm
