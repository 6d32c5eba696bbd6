"""What a trained reward model says of held-out comparisons, and what else its trunk is good for."""

from dataclasses import dataclass
from typing import Any

import torch

from worker.progress import Progress
from worker.reward import uncertainty
from worker.reward.account import give_account
from worker.reward.configuration import RewardConfiguration
from worker.reward.data import Encoded, Preference
from worker.reward.evaluate import evaluate
from worker.reward.judge import judge
from worker.reward.side_heads import SideHeads, Trunk, fit_side_heads
from worker.reward.strength import Loss
from worker.reward.variance import VarianceHead, fold, judge_variances
from worker.runtime import Runtime


@dataclass(frozen=True)
class Assessed:
    """Margins of held-out comparisons, [N]; heads that lie beside the weights; what is reported."""

    margins: torch.Tensor
    layer: uncertainty.LastLayer | None
    spread: VarianceHead | None
    heads: SideHeads | None
    report: dict[str, Any]


def assess(
    model: Any,
    tokenizer: Any,
    data: Encoded,
    held_out: Encoded,
    configuration: RewardConfiguration,
    *,
    runtime: Runtime,
    rows: tuple[list[Preference], list[Preference]],
    progress: Progress,
) -> Assessed:
    """Judge on held-out `rows[1]`, fit on `rows[0]`; folds a head of variances into the model."""
    progress.note("Judging the model by held-out comparisons")
    spread, variance = None, None
    if configuration.loss is Loss.MEAN_VARIANCE:
        spread = fold(model, data, configuration.batch_size, runtime)
        variance = judge_variances(spread, model, held_out, configuration.batch_size, runtime)
    margins = judge(model, held_out, configuration, runtime)  # [N]
    judged = {
        **evaluate(rows[1], margins, torch.zeros_like(margins)),
        **give_account(*rows, margins, configuration.seed),
    }
    layer, doubt = uncertainty.measure_and_judge(
        model, data, held_out, configuration, runtime, judged=judged, progress=progress
    )
    trunk = Trunk(model, tokenizer, configuration.max_length, configuration.batch_size, runtime)
    heads, side = fit_side_heads(
        trunk,
        *rows,
        safety_flag=configuration.safety_flag,
        attributes=[one.strip() for one in configuration.attributes.split(",") if one.strip()],
        progress=progress,
    )
    report = {"eval": judged, "uncertainty": doubt, "variance": variance, "side_heads": side}
    return Assessed(margins, layer, spread, heads, report)
