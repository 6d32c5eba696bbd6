"""`prefloop-worker select`: which open pairs to ask people about first."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from worker.options import (
    Combine,
    Device,
    SafetyHead,
    SafetyModel,
    SafetyThreshold,
    SafetyWeight,
    Threads,
    Voice,
)
from worker.progress import finite, make_progress

MOST_ANSWERED = 2_000


def select(
    *,
    pairs: Annotated[Path, typer.Option(help="JSON lines: id, prompt, a, b.")],
    reward_model: Annotated[str, typer.Option(help="Folder of the reward model.")],
    out: Annotated[Path, typer.Option(help="JSON lines: id, priority, probability.")],
    answered: Annotated[
        Path | None, typer.Option(help="The comparisons that the reward model learnt from.")
    ] = None,
    features: Annotated[
        Path | None, typer.Option(help="Folder to keep what the head reads, where lines name ends.")
    ] = None,
    scores: Annotated[
        Path | None, typer.Option(help="JSON lines: id, score, standard_error of each named end.")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(min=8, help="Tokens; by default what the model was trained with.")
    ] = None,
    safety_model: SafetyModel = None,
    safety_head: SafetyHead = False,
    combine: Combine = "llama2",
    safety_threshold: SafetyThreshold = 0.15,
    safety_weight: SafetyWeight = 1.0,
    seed: int = 0,
    progress: Voice = "bar",
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Rank pairs by what an answer would teach the reward model's last layer.

    A line may name its ends as a_id and b_id; --features and --scores keep what was read of them.
    """
    from worker.reward.data import read_preferences
    from worker.reward.panel import combination_of
    from worker.runtime import end_runtime, refuse_several_processes, start_runtime
    from worker.select.rank import Ranker

    voice, runtime = make_progress(progress), start_runtime(seed, device=device, threads=threads)
    refuse_several_processes(runtime, "Ranking pairs")
    rows = _read(pairs)
    known = read_preferences(answered) if answered is not None else []
    if len(known) > MOST_ANSWERED:
        known = random.Random(seed).sample(known, MOST_ANSWERED)  # noqa: S311 (must be seeded)
    ranked: list[dict[str, Any]] = []
    report: dict[str, Any] = {"n_pairs": len(rows), "n_answered": len(known)}
    if rows:
        combination = (
            combination_of(combine, safety_threshold, safety_weight, safety_model)
            if safety_model or safety_head
            else None
        )
        ranker = Ranker(reward_model, runtime, max_length, voice, combination=combination)
        ranked, report["precision"] = ranker.rank(rows, known)
        if features is not None:
            ranker.keep(rows, features)
    if scores is not None:
        _write(scores, ranker.scored(rows) if rows else [])
    _write(out, ranked)
    voice.result(report)
    end_runtime(runtime)


def _read(path: Path) -> list[dict[str, Any]]:
    from worker.errors import TrainerError

    try:
        rows = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line.strip()]
    except (OSError, ValueError) as error:
        raise TrainerError(f"{path} cannot be read as JSON lines: {error}") from error
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not {"id", "prompt", "a", "b"} <= row.keys():
            raise TrainerError(f"{path}, line {number}: needs id, prompt, a and b.", line=number)
    return rows


def _write(out: Path, rows: Sequence[dict[str, Any]]) -> None:
    partial = out.with_name(f"{out.name}.part")
    with partial.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(finite(row)) + "\n" for row in rows)
    partial.replace(out)


def live(
    *,
    device: Device = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Keep a reward model's last layer in memory and learn from answers, a JSON object a line."""
    import sys

    from worker.runtime import start_runtime
    from worker.select.desk import Desks, serve

    desks = Desks(start_runtime(0, device=device, threads=threads))
    serve(desks, sys.stdin, sys.stdout, sys.stderr)
