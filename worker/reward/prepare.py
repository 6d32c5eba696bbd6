"""What a run decides before it trains: whom to believe, which loss to take, what length may do."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from worker.progress import Progress
from worker.reward.choose import CANDIDATES, Candidate, Choice, choose_loss
from worker.reward.configuration import RewardConfiguration
from worker.reward.data import Encoded, Preference
from worker.reward.frozen import FrozenFeatures
from worker.reward.length import offset_lengths
from worker.reward.reliability import weigh
from worker.reward.strength import USUAL_THRESHOLD, Loss, tie_threshold
from worker.reward.uncertainty import find_head
from worker.runtime import Runtime


@dataclass(frozen=True)
class Prepared:
    """Comparisons with weights and offsets, a configuration without open questions, a report.

    Scores that training makes are log-odds once divided by `unit`: soft targets make them narrow,
    margins and believing some more than others wide.
    """

    data: Encoded
    configuration: RewardConfiguration
    unit: float
    report: dict[str, Any]


def prepare(
    model: Any,
    data: Encoded,
    rows: Sequence[Preference],
    configuration: RewardConfiguration,
    runtime: Runtime,
    *,
    progress: Progress,
    chooses_loss: bool,
) -> Prepared:
    """Decide by what the untrained network's head reads, so that a run taken up again decides
    alike. `rows` are those of `data`."""
    features = FrozenFeatures(model, data, runtime, configuration.batch_size)
    seed = configuration.seed
    data, belief = weigh(data, features, configuration.reliability, seed)
    tried: dict[str, Any] = {}
    if configuration.loss is Loss.TIES and configuration.tie_threshold is None:
        configuration = replace(configuration, tie_threshold=tie_threshold(data))
    if chooses_loss:
        configuration, choice = _choose(features, data, configuration, progress)
        tried = choice.figures
    else:
        candidates = [CANDIDATES[0], candidate_of(configuration)]
        choice = choose_loss(features, data, seed=seed, candidates=candidates)
    unit = choice.units.get(candidate_of(configuration), 1.0)
    offsets, length = offset_lengths(data, rows, features, configuration.length, seed)
    report = {
        "losses_tried": tried,
        "reliability": {"mode": configuration.reliability, **belief},
        "length": length,
        "unit": unit,
    }
    return Prepared(replace(data, offsets=offsets), configuration, unit, report)


def candidate_of(configuration: RewardConfiguration) -> Candidate:
    """The configuration's loss as heads learn it; for mean-variance, which they cannot, plain."""
    loss = configuration.loss
    if loss is Loss.SOFT:
        return Candidate(loss, temperature=configuration.soft_temperature)
    if loss is Loss.TIES:
        return Candidate(loss, threshold=configuration.tie_threshold or USUAL_THRESHOLD)
    return CANDIDATES[0] if loss is Loss.MEAN_VARIANCE else Candidate(loss)


def rescale(model: Any, unit: float) -> None:
    """Divide the scores of a trained network by `unit`, in its head."""
    with torch.no_grad():
        for one in find_head(model).parameters():
            one.div_(unit)


def _choose(
    features: FrozenFeatures, data: Encoded, configuration: RewardConfiguration, progress: Progress
) -> tuple[RewardConfiguration, Choice]:
    choice = choose_loss(features, data, seed=configuration.seed)
    chosen = choice.candidate
    progress.note(
        f"Loss: {chosen.name}, by held-out log-loss of heads on the untrained network."
        if choice.figures
        else f"Loss: {chosen.name}, for there are too few comparisons to choose one by."
    )
    changed = replace(configuration, loss=chosen.loss)
    if chosen.loss is Loss.SOFT:
        changed = replace(changed, soft_temperature=chosen.temperature)
    if chosen.loss is Loss.TIES:
        changed = replace(changed, tie_threshold=chosen.threshold)
    return changed, choice
