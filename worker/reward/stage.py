"""One reward run, from a preference file to a folder that loads in plain transformers."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from worker.checkpoints import read_manifest, verify, write_artefact
from worker.errors import TrainerError
from worker.models import load_reward_model, load_tokenizer, longest_input, resolve_base_model
from worker.progress import Progress, SilentProgress, finite
from worker.provenance import code_commit, file_hash, library_versions
from worker.reward import uncertainty
from worker.reward.account import give_account
from worker.reward.batches import usual_epochs
from worker.reward.card import write_card
from worker.reward.data import Encoded, Preference, encode, hold_out, read_preferences
from worker.reward.evaluate import evaluate
from worker.reward.judge import curve_before, judge, write_judgements
from worker.reward.length import length_report
from worker.reward.marks import need_flag, rows_by_flag
from worker.reward.prepare import prepare, rescale
from worker.reward.side_heads import SideHeads, Trunk, fit_side_heads
from worker.reward.strength import Loss
from worker.reward.train import RewardConfiguration, train
from worker.reward.variance import VarianceHead, fold, judge_variances, widen
from worker.reward.watch import Watch
from worker.runtime import Runtime, seed_everything

HELD_OUT = 0.1
_KIND = "reward model"


@dataclass(frozen=True)
class RewardFiles:
    """What a reward run reads and writes. Without `evaluation`, a tenth is held out by prompt."""

    preferences: Path
    evaluation: Path | None
    out: Path
    models_folder: Path

    @property
    def checkpoints(self) -> Path:
        return self.out.with_name(f"{self.out.name}.checkpoints")

    def data_hash(self) -> str:
        """SHA-256 of the preference file, joined by that of the evaluation file if there is one."""
        paths = (self.preferences, self.evaluation)
        missing = [path for path in paths if path is not None and not path.is_file()]
        if missing:
            raise TrainerError(f"There is no file {missing[0]}.")
        return "+".join(file_hash(path) for path in paths if path is not None)


def train_reward_model(
    files: RewardFiles,
    configure: Callable[[Any], RewardConfiguration],
    runtime: Runtime,
    progress: Progress,
    *,
    base_model: str,
    seed: int,
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
    train_rows, eval_rows = _split(files, seed)
    name = _base_folder(base_model, train_rows + eval_rows, files.models_folder, runtime, seed)
    seed_everything(seed, "head")
    tokenizer = load_tokenizer(name)
    model = load_reward_model(name, runtime, tokenizer)
    configuration = configure(model)
    configuration = replace(
        configuration, max_length=longest_input(model, configuration.max_length)
    )
    if configuration.flag:
        train_rows, eval_rows = _by_flag(train_rows, eval_rows, configuration.flag, seed)
    data = encode(train_rows, tokenizer, configuration.max_length)
    if configuration.epochs is None:
        configuration = replace(configuration, epochs=usual_epochs(data, configuration.batch_size))
    prepared = prepare(
        *(model, data, train_rows, configuration, runtime),
        progress=progress,
        chooses_loss=chooses_loss,
    )
    data, configuration = prepared.data, prepared.configuration
    finished = _finished_report(files.out, configuration, data_hash)
    if finished is not None:
        progress.note("This run is finished already; its report is given again.")
        progress.result(finished)
        return finished
    _tell_what_was_cut(data, configuration, progress)
    held_out = encode(eval_rows, tokenizer, configuration.max_length)
    curve = None
    if has_curve:
        curve = curve_before(model, data, held_out, configuration, runtime, progress=progress)
    if configuration.loss is Loss.MEAN_VARIANCE:
        widen(model)
    training_started = time.monotonic()
    model = train(
        model,
        data,
        configuration,
        runtime,
        progress,
        checkpoints=files.checkpoints,
        data_hash=data_hash,
        watch=Watch(model, data, held_out, runtime, batch_size=configuration.batch_size),
    )
    training_seconds = time.monotonic() - training_started
    if configuration.loss is not Loss.MEAN_VARIANCE:
        rescale(model, prepared.unit)
    found = _assess(
        *(model, tokenizer, data, held_out, configuration),
        runtime=runtime,
        rows=(train_rows, eval_rows),
        progress=progress,
    )
    report = {
        **found.report,
        "learning_curve": curve,
        "n_train": len(train_rows),
        "n_eval": len(eval_rows),
        "n_truncated": data.n_truncated,
        **prepared.report,
        "length": prepared.report["length"]
        | {"held_out": length_report(eval_rows, found.margins, seed)},
        "seconds": time.monotonic() - started,
        "rows_per_second": len(train_rows) * (configuration.epochs or 1.0) / training_seconds,
        "data_hash": data_hash,
        "configuration": configuration.as_dict(),
        "code_commit": code_commit(),
    }
    if runtime.is_main:
        report = finite(report)
        _publish(files.out, model, tokenizer, report, rows=eval_rows, found=found)
        shutil.rmtree(files.checkpoints, ignore_errors=True)
    progress.result(report)
    return report


@dataclass(frozen=True)
class _Assessed:
    """What a trained network says of held-out comparisons, [N]; what lies beside its weights."""

    margins: torch.Tensor
    layer: uncertainty.LastLayer | None
    spread: VarianceHead | None
    heads: SideHeads | None
    report: dict[str, Any]


def _assess(
    model: Any,
    tokenizer: Any,
    data: Encoded,
    held_out: Encoded,
    configuration: RewardConfiguration,
    *,
    runtime: Runtime,
    rows: tuple[list[Preference], list[Preference]],
    progress: Progress,
) -> _Assessed:
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
    return _Assessed(margins, layer, spread, heads, report)


def _by_flag(
    train: list[Preference], held_out: list[Preference], flag: str, seed: int
) -> tuple[list[Preference], list[Preference]]:
    """What a flag says of pairs; where it has nothing to say of held-out ones, a part of them."""
    found, judged = need_flag(train, flag), rows_by_flag(held_out, flag)
    return (found, judged) if judged else hold_out(found, HELD_OUT, seed)


def _split(files: RewardFiles, seed: int) -> tuple[list[Preference], list[Preference]]:
    rows = read_preferences(files.preferences)
    if files.evaluation is not None:
        return rows, read_preferences(files.evaluation)
    return hold_out(rows, HELD_OUT, seed)


def _base_folder(
    base_model: str, rows: list[Preference], folder: Path, runtime: Runtime, seed: int
) -> str:
    """The base model's name; the first process builds the tiny one while the others wait."""
    import torch

    texts = [text for row in rows for text in row.texts]
    if runtime.world_size == 1:
        return resolve_base_model(base_model, texts, folder, seed=seed)
    if runtime.is_main:
        resolve_base_model(base_model, texts, folder, seed=seed)
    torch.distributed.barrier()
    return resolve_base_model(base_model, texts, folder, seed=seed)


def _finished_report(
    out: Path, configuration: RewardConfiguration, data_hash: str
) -> dict[str, Any] | None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not out.is_dir() or verify(out):
        raise TrainerError(
            f"{out} exists and is no finished reward model. Choose another output folder."
        )
    manifest = read_manifest(out)
    report = manifest.get("metrics")
    if manifest.get("kind") != _KIND or not isinstance(report, dict):
        raise TrainerError(f"{out} holds something else. Choose another output folder.")
    if (report["data_hash"], report["configuration"]) != (data_hash, configuration.as_dict()):
        raise TrainerError(
            f"{out} holds a reward model of other data or another configuration. Choose another "
            "output folder."
        )
    return report


def _tell_what_was_cut(
    data: Encoded, configuration: RewardConfiguration, progress: Progress
) -> None:
    if data.n_truncated:
        progress.note(
            f"{data.n_truncated} of {len(data.sequences)} conversations are longer than "
            f"{configuration.max_length} tokens; the beginning of their prompt was cut."
        )


def _publish(
    out: Path,
    model: Any,
    tokenizer: Any,
    report: dict[str, Any],
    *,
    rows: list[Preference],
    found: _Assessed,
) -> None:
    def write(path: Path) -> None:
        if found.layer is not None:
            uncertainty.save(found.layer, path)
        if found.spread is not None:
            found.spread.save(path)
        if found.heads is not None:
            found.heads.save(path)
        tokenizer.padding_side = "right"
        model.eval().save_pretrained(path)
        tokenizer.save_pretrained(path)
        tokenizer.padding_side = "left"
        write_card(path / "README.md", report)
        write_judgements(path, rows, found.margins)

    manifest = {
        "kind": _KIND,
        "objective": report["configuration"]["objective"],
        "data_hash": report["data_hash"],
        "configuration": report["configuration"],
        "code_commit": report["code_commit"],
        "libraries": library_versions(),
        "metrics": report,
    }
    write_artefact(out, write, manifest)
