"""The training loop of a reward model: pairs in, a network with a scalar head out."""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from worker.errors import Stopped
from worker.progress import Progress
from worker.reward.adapters import add_adapters, merge_adapters
from worker.reward.batches import cut_batches, usual_epochs
from worker.reward.compiling import forget_compiled
from worker.reward.computing import Computing
from worker.reward.configuration import RewardConfiguration
from worker.reward.data import Encoded
from worker.reward.learner import Learner
from worker.reward.saved import Saved
from worker.reward.scorer import Scorer
from worker.reward.strength import pair_weights
from worker.reward.watch import Watch
from worker.runtime import Runtime, distribute, stop_requested
from worker.sharding import gather_into, shard


def train(
    model: Any,
    data: Encoded,
    configuration: RewardConfiguration,
    runtime: Runtime,
    progress: Progress,
    *,
    checkpoints: Path,
    data_hash: str,
    watch: Watch | None = None,
    computing: Computing | None = None,
) -> Any:
    """Train in place and return the network; resume from the newest whole checkpoint, if any.

    One in four bits comes back as it is, with its adapters: merged, it is several times as large.
    A killed run that is started again ends with the same weights, bit for bit, on one CPU
    process: batches are a function of (seed, epoch), random streams of (seed, step, process).
    `computing` is told how the network was computed. Raises TrainerError for a loss that is no
    number and for checkpoints of another run; Stopped when the process was asked to end, after
    saving.
    """
    scorer = Scorer(model, runtime)
    if scorer.reason:
        progress.note(f"This network reads each completion apart: {scorer.reason}.")
    plan = _plan(data, configuration, is_packed=scorer.is_packed)
    if configuration.lora_rank:
        add_adapters(model, configuration.lora_rank)
    is_sharded = configuration.is_sharded and runtime.world_size > 1
    kept = copy.deepcopy(model).cpu() if is_sharded else model
    if is_sharded:
        shard(model)
    optimiser = _optimiser(model, configuration)
    identity = {"configuration": configuration.as_dict(), "data_hash": data_hash}
    saved = Saved(model, optimiser, checkpoints, identity, is_sharded=is_sharded)
    step = saved.resume(runtime, progress.note)
    computing = computing or Computing()
    computing.settle(scorer, configuration, n_steps=len(plan), note=progress.note)
    spread = scorer if is_sharded else distribute(scorer, runtime)
    weights = pair_weights(data, configuration.loss)  # [N]
    learner = Learner(model, optimiser, scorer, spread, data, weights, configuration, runtime)
    _learn_the_rest(plan, step, learner, saved, progress=progress, watch=watch)
    forget_compiled(model)
    if is_sharded:
        gather_into(kept, model)
    if configuration.lora_rank and not configuration.quantisation:
        merge_adapters(kept)
    return kept.to(runtime.device)


def _learn_the_rest(
    plan: Sequence[Sequence[int]],
    step: int,
    learner: Learner,
    saved: Saved,
    *,
    progress: Progress,
    watch: Watch | None,
) -> None:
    """Every step after `step`, with its report and, where due, its checkpoint. Raises Stopped."""
    configuration, runtime = learner.configuration, learner.runtime
    while step < len(plan):
        rate = configuration.learning_rate * rate_factor(step, len(plan), configuration.warmup)
        figures = learner.learn(plan[step], step, rate)
        step += 1
        progress.metrics(step, figures | (watch.after(step, plan) if watch else {}))
        progress.advance(step, len(plan), "Training the reward model")
        is_stopping = stop_requested(runtime)
        if step % configuration.checkpoint_every == 0 or step == len(plan) or is_stopping:
            saved.save(step, runtime)
        if is_stopping and step < len(plan):
            raise Stopped(f"Stopped after step {step} of {len(plan)}; the checkpoint is saved.")


def rate_factor(step: int, n_steps: int, warmup: float) -> float:
    """Share of the learning rate at a step: up a line over `warmup` of the steps, down to 0."""
    rising = max(1, math.ceil(warmup * n_steps))
    if step < rising:
        return (step + 1) / rising
    return max(0.0, (n_steps - step) / max(1, n_steps - rising))


def _plan(data: Encoded, configuration: RewardConfiguration, *, is_packed: bool) -> list[list[int]]:
    """The batches of the whole run in order; a fraction of an epoch ends within it."""
    batches: list[list[int]] = []
    epochs = configuration.epochs or usual_epochs(data, configuration.batch_size)
    for epoch in range(math.ceil(epochs)):
        batches += cut_batches(
            data, configuration.batch_size, configuration.seed, epoch, is_packed=is_packed
        )
    share = epochs / math.ceil(epochs)
    return batches[: max(1, round(len(batches) * share))]


def _optimiser(model: Any, configuration: RewardConfiguration) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        [one for one in model.parameters() if one.requires_grad],
        lr=configuration.learning_rate,
        weight_decay=configuration.weight_decay,
        fused=True,
    )
