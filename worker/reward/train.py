"""The training loop of a reward model: pairs in, a network with a scalar head out."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worker.checkpoints import checkpoint_of, save_checkpoint
from worker.errors import Stopped, TrainerError
from worker.progress import Progress
from worker.reward.adapters import add_adapters, merge_adapters
from worker.reward.batches import cut_batches, usual_epochs
from worker.reward.data import Encoded
from worker.reward.loss import centring_penalties
from worker.reward.reliability import Reliability
from worker.reward.scorer import Scorer
from worker.reward.strength import USUAL_THRESHOLD, Loss, losses_of, offset, pair_weights
from worker.reward.watch import Watch
from worker.runtime import (
    Runtime,
    all_reduce_sum,
    distribute,
    restore_rng_state,
    rng_state,
    seed_everything,
    stop_requested,
)
from worker.sharding import gather_into, shard, take_state, whole, whole_state

_STATE = "state.pt"


@dataclass(frozen=True)
class RewardConfiguration:
    """Everything that decides a reward run besides its data."""

    base_model: str
    loss: Loss = Loss.SCALED
    epochs: float | None = None  # None: what usual_epochs says
    learning_rate: float = 1e-4
    batch_size: int = 32
    max_length: int = 1024
    seed: int = 0
    warmup: float = 0.1  # share of the steps
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    centring: float = 0.01
    tie_threshold: float | None = None  # log-odds within which scores are taken for equal
    soft_temperature: float = 0.85  # in half points of the 1-8 scale's distance from its middle
    reliability: Reliability = Reliability.AUTO
    length: str = "off"  # or covariate, or log-odds per standard deviation of log length ratio
    objective: str = "helpfulness"  # or safety: what the scores measure
    flag: str | None = None  # learn which completion this flag prefers, not which people did
    safety_flag: str | None = None  # fit a safety head on the trunk by this flag
    attributes: str = ""  # names, with commas: fit a head on the trunk for each
    has_dropout: bool = False
    recomputes: bool = False  # states within layers, for gradients: less memory, a third more work
    lora_rank: int | None = None  # None: every weight learns
    is_sharded: bool = False  # weights over the processes of a torchrun, instead of a copy on each
    checkpoint_every: int = 100  # steps
    ensemble: int = 0  # heads beside the trained one, for standard errors

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "RewardConfiguration":
        """From what `as_dict` gave, perhaps read from JSON. Raises TypeError and ValueError."""
        told = dict(values)
        for name, kind in (("loss", Loss), ("reliability", Reliability)):
            if name in told:
                told[name] = kind(told[name])
        return cls(**told)


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
) -> Any:
    """Train in place and return the network; resume from the newest whole checkpoint, if any.

    A killed run that is started again ends with the same weights, bit for bit, on one CPU
    process: batches are a function of (seed, epoch), random streams of (seed, step, process).
    Raises TrainerError for a loss that is no number and for checkpoints of another run; Stopped
    when the process was asked to end, after saving.
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
    step = _resume(
        *(model, optimiser, checkpoints, identity),
        runtime=runtime,
        note=progress.note,
        is_sharded=is_sharded,
    )
    spread = scorer if is_sharded else distribute(scorer, runtime)
    weights = pair_weights(data, configuration.loss)  # [N]

    def save(after: int) -> None:
        state = _state(model, optimiser, is_sharded=is_sharded)
        if runtime.is_main:
            save_checkpoint(
                checkpoints, after, lambda path: torch.save(state, path / _STATE), extra=identity
            )

    while step < len(plan):
        seed_everything(configuration.seed, "step", step, runtime.rank)
        rate = configuration.learning_rate * rate_factor(step, len(plan), configuration.warmup)
        for group in optimiser.param_groups:
            group["lr"] = rate
        figures = _learn(
            *(model, optimiser, scorer, spread),
            data=data,
            batch=plan[step],
            weights=weights,
            configuration=configuration,
            runtime=runtime,
            step=step,
        )
        step += 1
        figures["learning_rate"] = rate
        progress.metrics(step, figures | (watch.after(step, plan) if watch else {}))
        progress.advance(step, len(plan), "Training the reward model")
        is_stopping = stop_requested(runtime)
        if step % configuration.checkpoint_every == 0 or step == len(plan) or is_stopping:
            save(step)
        if is_stopping and step < len(plan):
            raise Stopped(f"Stopped after step {step} of {len(plan)}; the checkpoint is saved.")
    if is_sharded:
        gather_into(kept, model)
    if configuration.lora_rank:
        merge_adapters(kept)
    return kept.to(runtime.device)


def rate_factor(step: int, n_steps: int, warmup: float) -> float:
    """Share of the learning rate at a step: up a line over `warmup` of the steps, down to 0."""
    rising = max(1, math.ceil(warmup * n_steps))
    if step < rising:
        return (step + 1) / rising
    return max(0.0, (n_steps - step) / max(1, n_steps - rising))


def _learn(
    model: Any,
    optimiser: torch.optim.Optimizer,
    scorer: Scorer,
    spread: Any,
    *,
    data: Encoded,
    batch: Sequence[int],
    weights: Tensor,
    configuration: RewardConfiguration,
    runtime: Runtime,
    step: int,
) -> dict[str, float]:
    """One step of the optimiser; `spread` is the scorer as the processes share it. Its figures."""
    optimiser.zero_grad(set_to_none=True)
    with scorer.learning(
        has_dropout=configuration.has_dropout, recomputes=configuration.recomputes
    ):
        loss, figures = _losses(
            *(spread, data, batch), weights=weights, configuration=configuration, runtime=runtime
        )
        loss.backward()  # type: ignore[no-untyped-call]
    norm = _clip(model, configuration)
    _refuse_nan(figures["loss"], norm, step)
    optimiser.step()
    return figures | {"gradient_norm": norm}


def _losses(
    scorer: Any,
    data: Encoded,
    batch: Sequence[int],
    *,
    weights: Tensor,
    configuration: RewardConfiguration,
    runtime: Runtime,
) -> tuple[Tensor, dict[str, float]]:
    """The loss whose gradient, averaged over processes, is that of the whole batch; and figures."""
    size = math.ceil(len(batch) / runtime.world_size)  # neighbours share what they read
    share = list(batch[runtime.rank * size : (runtime.rank + 1) * size])
    counts = 1.0 if share else 0.0
    rows = torch.tensor(share or [batch[0]])  # a process without a row must still take part
    used, places = torch.unique(
        torch.cat([data.chosen[rows], data.rejected[rows]]), return_inverse=True
    )  # [U], [2B]
    scores = scorer([data.sequences[index] for index in used.tolist()])  # [U], or [U, 2]
    chosen, rejected = scores[places.to(scores.device)].chunk(2)  # [2B] → [B], [B]
    losses = losses_of(
        configuration.loss,
        offset(chosen, data, rows),
        rejected,
        strengths=data.strengths[rows].to(scores.device),
        is_tie=data.is_tie[rows].to(scores.device),
        soft=configuration.soft_temperature,
        threshold=configuration.tie_threshold or USUAL_THRESHOLD,
        posteriors=None if data.posteriors is None else data.posteriors[rows].to(scores.device),
    )
    if scores.dim() == 2:  # a mean beside a variance
        chosen, rejected = chosen[:, 0], rejected[:, 0]
    weighted = (losses * weights[rows].to(scores.device)).sum() * counts
    centring = configuration.centring * centring_penalties(chosen, rejected).sum() * counts
    difference = (chosen - rejected).detach()
    totals = torch.stack(
        [weighted.detach(), (difference > 0).sum() * counts, difference.sum() * counts]
    )
    loss, right, margin = (all_reduce_sum(totals, runtime) / len(batch)).tolist()
    scaled = (weighted + centring) * runtime.world_size / len(batch)
    return scaled, {"loss": loss, "accuracy": right, "margin": margin}


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


def _state(model: Any, optimiser: torch.optim.Optimizer, *, is_sharded: bool) -> dict[str, Any]:
    if is_sharded:
        weights, moments = whole_state(model, optimiser)
    else:
        frozen = {name for name, one in model.named_parameters() if not one.requires_grad}
        weights = {name: one for name, one in model.state_dict().items() if name not in frozen}
        moments = optimiser.state_dict()
    return {"model": weights, "optimiser": moments, "random": rng_state()}


def _resume(
    model: Any,
    optimiser: torch.optim.Optimizer,
    checkpoints: Path,
    identity: dict[str, Any],
    *,
    runtime: Runtime,
    note: Callable[[str], None],
    is_sharded: bool,
) -> int:
    found = checkpoint_of(checkpoints, identity, note)
    if found is None:
        return 0
    load: Callable[..., Any] = torch.load
    state = load(found.path / _STATE, map_location=runtime.device, weights_only=True)
    if is_sharded:
        take_state(model, optimiser, state["model"], state["optimiser"])
    else:
        model.load_state_dict(state["model"], strict=False)  # frozen weights are the base model's
        optimiser.load_state_dict(state["optimiser"])
    restore_rng_state(state["random"])
    note(f"Resumed after step {found.step}.")
    return found.step
