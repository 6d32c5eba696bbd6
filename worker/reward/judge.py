"""A reward model before held-out comparisons: what it says of each, and what more would bring."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worker.errors import TrainerError
from worker.progress import Progress
from worker.reward.configuration import RewardConfiguration
from worker.reward.data import Encoded, Preference
from worker.reward.features import feature_differences
from worker.reward.growth import learning_curve
from worker.reward.score import score_sequences
from worker.runtime import Runtime

JUDGEMENTS = "held_out.jsonl"


def curve_before(
    model: Any,
    data: Encoded,
    held_out: Encoded,
    configuration: RewardConfiguration,
    runtime: Runtime,
    *,
    progress: Progress,
) -> dict[str, Any] | None:
    """The learning curve, before any training; the other processes wait for the first one."""
    if not runtime.is_main:
        return None
    progress.note("Measuring what more comparisons would bring")
    try:
        return learning_curve(
            model,
            data,
            held_out,
            runtime,
            batch_size=configuration.batch_size,
            epochs=configuration.epochs or 1.0,
            seed=configuration.seed,
        )
    except TrainerError as error:
        progress.note(f"No learning curve: {error.message}")
        return None


def judge(
    model: Any, held_out: Encoded, configuration: RewardConfiguration, runtime: Runtime
) -> Tensor:
    """Score of what people preferred less the other's, of each held-out comparison, [N]."""
    scores = score_sequences(model, held_out.sequences, configuration.batch_size, runtime)  # [U]
    return scores[held_out.chosen] - scores[held_out.rejected]


def write_judgements(folder: Path, rows: Sequence[Preference], margins: Tensor) -> None:
    """One JSON line a held-out comparison, for pages and for whoever looks closer.

    margins: [N], as `judge` gives them; `probability` is σ(margin), that of what people said.
    """
    probabilities = torch.sigmoid(margins)
    lines = [
        {
            "pair": row.pair,
            "annotator": row.annotator,
            "strength": row.strength,
            "is_tie": row.is_tie,
            "margin": float(margins[place]),
            "probability": float(probabilities[place]),
            "features": feature_differences(row.chosen, row.rejected),
        }
        for place, row in enumerate(rows)
    ]
    text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines)
    (folder / JUDGEMENTS).write_text(text, "utf-8")
