"""`prefloop-worker evaluate`: a finished reward model on others' evaluation sets."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.options import (
    Combine,
    Device,
    Report,
    SafetyHead,
    SafetyModel,
    SafetyThreshold,
    SafetyWeight,
    Threads,
    Voice,
)
from worker.progress import Progress, finite, make_progress

if TYPE_CHECKING:
    from worker.runtime import Runtime

CHUNK = 256


def evaluate(
    *,
    reward_model: Annotated[Path, typer.Option(help="Folder of a reward model.")],
    data: Annotated[
        Path, typer.Option(help="RewardBench, RewardBench 2 or preferences: JSON lines or Parquet.")
    ],
    report: Report = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    safety_model: SafetyModel = None,
    safety_head: SafetyHead = False,
    combine: Combine = "llama2",
    safety_threshold: SafetyThreshold = 0.15,
    safety_weight: SafetyWeight = 1.0,
    flag: Annotated[
        str | None, typer.Option(help="With two objectives: judge by this flag of the data too.")
    ] = None,
    progress: Voice = "bar",
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Score a reward model, or two objectives as one, on a set, by subset, with intervals."""
    from worker.reward.panel import combination_of
    from worker.reward.together import evaluate_together
    from worker.runtime import end_runtime, start_runtime

    voice = make_progress(progress)
    runtime = start_runtime(0, device=device, threads=threads)
    if safety_model or safety_head:
        how = combination_of(combine, safety_threshold, safety_weight, safety_model)
        result = evaluate_together(str(reward_model), how, data, runtime, voice, flag=flag)
    else:
        result = evaluate_file(reward_model, data, runtime, voice, batch_size=batch_size)
    if report is not None:
        text = json.dumps(finite(result), indent=2, ensure_ascii=False)
        report.write_text(text + "\n", "utf-8")
    if progress == "bar":
        for name, one in {**result["subsets"], "overall": result["overall"]}.items():
            typer.echo(f"{name}: {one['score']:.3f} ({one['low']:.3f} to {one['high']:.3f})")
    end_runtime(runtime)


def evaluate_file(
    folder: Path, data: Path, runtime: "Runtime", progress: Progress, *, batch_size: int = 32
) -> dict[str, Any]:
    """The report of a reward model on a file. Raises TrainerError, Invalid and Stopped."""
    from worker.errors import Stopped
    from worker.models import encode_conversation, load_reward_model, load_tokenizer, longest_input
    from worker.provenance import file_hash
    from worker.reward.items import read_items
    from worker.reward.others import give_report
    from worker.reward.score import score_sequences, trained_length
    from worker.runtime import stop_requested

    started = time.monotonic()
    items = read_items(data)
    tokenizer = load_tokenizer(str(folder))
    model = load_reward_model(str(folder), runtime, tokenizer)
    limit = longest_input(model, trained_length(str(folder)))
    scores: list[list[float]] = []
    n_cut = 0
    for start in range(0, len(items), CHUNK):
        chunk = items[start : start + CHUNK]
        encoded = [
            encode_conversation(tokenizer, item.prompt + one, limit)
            for item in chunk
            for one in item.completions
        ]
        n_cut += sum(is_cut for _, is_cut in encoded)
        found = score_sequences(model, [ids for ids, _ in encoded], batch_size, runtime).tolist()
        for item in chunk:
            scores.append([found.pop(0) for _ in item.completions])
        progress.advance(len(scores), len(items), "Scoring completions")
        if stop_requested(runtime):
            raise Stopped(f"Stopped after {len(scores)} of {len(items)} items.")
    report = {
        **give_report(items, scores),
        "n_truncated": n_cut,
        "seconds": time.monotonic() - started,
        "data_hash": file_hash(data),
    }
    progress.result(report)
    return report
