"""One reward run, from a preference file to a folder that loads in plain transformers."""

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from worker.models import load_reward_model, load_tokenizer, longest_input, resolve_base_model
from worker.progress import Progress, SilentProgress, finite
from worker.provenance import code_commit
from worker.reward.adapters import merge_adapters
from worker.reward.assess import Assessed, assess
from worker.reward.batches import usual_epochs
from worker.reward.computing import Computing
from worker.reward.configuration import RewardConfiguration
from worker.reward.data import Encoded, Preference, encode, hold_out
from worker.reward.files import HELD_OUT, RewardFiles
from worker.reward.judge import curve_before
from worker.reward.length import length_report
from worker.reward.marks import need_flag, rows_by_flag
from worker.reward.prepare import Prepared, prepare, rescale
from worker.reward.publish import finished_report, publish
from worker.reward.strength import Loss
from worker.reward.train import train
from worker.reward.variance import widen
from worker.reward.watch import Watch
from worker.runtime import Runtime, seed_everything

_Rows = tuple[list[Preference], list[Preference]]  # to learn from, to judge by


def train_reward_model(
    files: RewardFiles,
    configure: Callable[[Any], RewardConfiguration],
    runtime: Runtime,
    progress: Progress,
    *,
    base_model: str,
    seed: int,
    is_quantised: bool = False,
    chooses_loss: bool = False,
    has_curve: bool = True,
) -> dict[str, Any]:
    """Train, evaluate and publish one reward model; returns its report.

    `configure(network)` gives the configuration once the network's size is known; with
    `chooses_loss` its loss is replaced by the one that does best on held-out pairs. `has_curve`
    measures what more comparisons would bring, for a tenth of the work more. A finished run that is
    started again returns the report it wrote. Raises TrainerError and Invalid.
    """
    started = time.monotonic()
    progress = progress if runtime.is_main else SilentProgress()
    data_hash = files.data_hash()
    progress.note("Loading the base model")
    model, tokenizer, configuration, rows = _begin(
        *(files, configure, runtime, base_model, seed), is_quantised=is_quantised
    )
    prepared = _prepare(
        *(model, tokenizer, rows[0], configuration, runtime),
        progress=progress,
        chooses_loss=chooses_loss,
    )
    data, configuration = prepared.data, prepared.configuration
    finished = finished_report(files.out, configuration, data_hash)
    if finished is not None:
        progress.note("This run is finished already; its report is given again.")
        progress.result(finished)
        return finished
    _tell_what_was_cut(data, configuration, progress)
    held_out = encode(rows[1], tokenizer, configuration.max_length)
    both = (data, held_out, configuration, runtime)
    curve = curve_before(model, *both, progress=progress) if has_curve else None
    computing = Computing()
    model, taken = _train(
        *(model, prepared, held_out, runtime, progress),
        files=files,
        data_hash=data_hash,
        computing=computing,
    )
    judged = (model, tokenizer, data, held_out, configuration)
    found = assess(*judged, runtime=runtime, rows=rows, progress=progress)
    report = _report(prepared, found, rows, seed=seed, curve=curve, training_seconds=taken) | {
        "data_hash": data_hash,
        "computing": asdict(computing),
        "seconds": time.monotonic() - started,
    }
    report = dict(finite(report))
    if runtime.is_main:
        _publish(files, model, tokenizer, report, rows=rows[1], found=found)
    progress.result(report)
    return report


def _publish(
    files: RewardFiles,
    model: Any,
    tokenizer: Any,
    report: dict[str, Any],
    *,
    rows: list[Preference],
    found: Assessed,
) -> None:
    if report["configuration"]["quantisation"]:
        merge_adapters(model)
    publish(files.out, model, tokenizer, report, rows=rows, found=found)
    shutil.rmtree(files.checkpoints, ignore_errors=True)


def _begin(
    files: RewardFiles,
    configure: Callable[[Any], RewardConfiguration],
    runtime: Runtime,
    base_model: str,
    seed: int,
    *,
    is_quantised: bool,
) -> tuple[Any, Any, RewardConfiguration, _Rows]:
    """The untrained network, its tokenizer, how it is to be trained, and on which comparisons."""
    rows = files.split(seed)
    name = _base_folder(base_model, rows[0] + rows[1], files.models_folder, runtime, seed)
    seed_everything(seed, "head")
    tokenizer = load_tokenizer(name)
    model = load_reward_model(name, runtime, tokenizer, is_quantised=is_quantised)
    configuration = configure(model)
    configuration = replace(
        configuration, max_length=longest_input(model, configuration.max_length)
    )
    if configuration.flag:
        rows = _by_flag(*rows, configuration.flag, seed)
    return model, tokenizer, configuration, rows


def _prepare(
    model: Any,
    tokenizer: Any,
    rows: list[Preference],
    configuration: RewardConfiguration,
    runtime: Runtime,
    *,
    progress: Progress,
    chooses_loss: bool,
) -> Prepared:
    progress.note("Weighing answers and choosing the loss, by what the untrained network reads")
    data = encode(rows, tokenizer, configuration.max_length)
    if configuration.epochs is None:
        configuration = replace(configuration, epochs=usual_epochs(data, configuration.batch_size))
    return prepare(
        *(model, data, rows, configuration, runtime),
        progress=progress,
        chooses_loss=chooses_loss,
    )


def _train(
    model: Any,
    prepared: Prepared,
    held_out: Encoded,
    runtime: Runtime,
    progress: Progress,
    *,
    files: RewardFiles,
    data_hash: str,
    computing: Computing,
) -> tuple[Any, float]:
    """The trained network, whose differences of scores are log-odds, and the seconds it took."""
    data, configuration = prepared.data, prepared.configuration
    if configuration.loss is Loss.MEAN_VARIANCE:
        widen(model)
    started = time.monotonic()
    trained = train(
        model,
        data,
        configuration,
        runtime,
        progress,
        checkpoints=files.checkpoints,
        data_hash=data_hash,
        watch=Watch(model, data, held_out, runtime, batch_size=configuration.batch_size),
        computing=computing,
    )
    taken = time.monotonic() - started
    if configuration.loss is not Loss.MEAN_VARIANCE:
        rescale(trained, prepared.unit)
    return trained, taken


def _report(
    prepared: Prepared,
    found: Assessed,
    rows: _Rows,
    *,
    seed: int,
    curve: dict[str, Any] | None,
    training_seconds: float,
) -> dict[str, Any]:
    n_train, configuration = len(rows[0]), prepared.configuration
    held_out = length_report(rows[1], found.margins, seed)
    return {
        **found.report,
        "learning_curve": curve,
        "n_train": n_train,
        "n_eval": len(rows[1]),
        "n_truncated": prepared.data.n_truncated,
        **prepared.report,
        "length": prepared.report["length"] | {"held_out": held_out},
        "rows_per_second": n_train * (configuration.epochs or 1.0) / training_seconds,
        "configuration": configuration.as_dict(),
        "code_commit": code_commit(),
    }


def _by_flag(
    train: list[Preference], held_out: list[Preference], flag: str, seed: int
) -> tuple[list[Preference], list[Preference]]:
    """What a flag says of pairs; where it has nothing to say of held-out ones, a part of them."""
    found, judged = need_flag(train, flag), rows_by_flag(held_out, flag)
    return (found, judged) if judged else hold_out(found, HELD_OUT, seed)


def _base_folder(
    base_model: str, rows: list[Preference], folder: Path, runtime: Runtime, seed: int
) -> str:
    """The base model's name; the first process builds the tiny one while the others wait."""
    texts = [text for row in rows for text in row.texts]
    if runtime.world_size == 1:
        return resolve_base_model(base_model, texts, folder, seed=seed)
    if runtime.is_main:
        resolve_base_model(base_model, texts, folder, seed=seed)
    torch.distributed.barrier()
    return resolve_base_model(base_model, texts, folder, seed=seed)


def _tell_what_was_cut(
    data: Encoded, configuration: RewardConfiguration, progress: Progress
) -> None:
    if data.n_truncated:
        progress.note(
            f"{data.n_truncated} of {len(data.sequences)} conversations are longer than "
            f"{configuration.max_length} tokens; the beginning of their prompt was cut."
        )
