"""What a run decides before it trains: whom to believe, which loss to take, what length may do."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from worker.progress import Progress
from worker.reward.choose import choose_loss
from worker.reward.data import Encoded, Preference
from worker.reward.frozen import FrozenFeatures
from worker.reward.length import offset_lengths
from worker.reward.reliability import weigh
from worker.reward.strength import Loss, tie_threshold
from worker.reward.train import RewardConfiguration
from worker.runtime import Runtime


@dataclass(frozen=True)
class Prepared:
    """Comparisons with weights and offsets, a configuration without open questions, a report."""

    data: Encoded
    configuration: RewardConfiguration
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
    if chooses_loss:
        configuration, tried = _choose(features, data, configuration, progress)
    if configuration.loss is Loss.TIES and configuration.tie_threshold is None:
        configuration = replace(configuration, tie_threshold=tie_threshold(data))
    offsets, length = offset_lengths(data, rows, features, configuration.length, seed)
    report = {
        "losses_tried": tried,
        "reliability": {"mode": configuration.reliability, **belief},
        "length": length,
    }
    return Prepared(replace(data, offsets=offsets), configuration, report)


def _choose(
    features: FrozenFeatures, data: Encoded, configuration: RewardConfiguration, progress: Progress
) -> tuple[RewardConfiguration, dict[str, Any]]:
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
    return changed, choice.figures
