"""Held-out accuracy and log-loss beside TRL's RewardTrainer: same answers, network and epochs.

Answers of 20 simulated people (`benchmarks.people`), three of whom do not read, to 900 pairs of
texts whose worth is linear in their words. Both trainers start from the same weights of a Llama of
0.1 million parameters and make as many passes at the same learning rate, batch size and warm-up:
ours first as TRL does it, by sides alone, then with strength and reliability. They are judged on
600 other answers of the same people, and by the truth about them. Differences are paired by seed.
"""

import copy
import statistics
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid
from transformers.utils import logging
from trl import RewardConfig, RewardTrainer

from benchmarks.people import world
from benchmarks.report import Report, arguments
from benchmarks.reward_answers import EACH, SPAM, line, texts, write
from worker.models import load_reward_model, load_tokenizer
from worker.progress import SilentProgress
from worker.reward.configuration import RewardConfiguration
from worker.reward.data import Encoded, Preference, encode, read_preferences
from worker.reward.prepare import prepare, rescale
from worker.reward.reliability import Reliability
from worker.reward.score import score_sequences
from worker.reward.strength import Loss
from worker.reward.train import train
from worker.runtime import Runtime, seed_everything, start_runtime
from worker.tiny import make_tiny

N_HELD_OUT = 600
BATCH, RATE, WARMUP, LENGTH = 32, 1e-3, 0.1, 64
TRLS, PLAIN, ALL = "TRL", "ours, by sides alone", "ours, strength and reliability"


def main() -> None:
    options = arguments(__doc__.splitlines()[0]).parse_args()
    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    datasets.disable_progress_bars()
    report = Report("reward_accuracy", options.quick)
    seeds, epochs = (1, 3) if options.quick else (5, 6)
    runs = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory(prefix="prefloop-accuracy-") as folder:
            runs.append(measure(seed, epochs, Path(folder)))
        print(f"seed {seed}: {runs[-1]}", flush=True)
    tell(report, runs)
    report.show()
    if options.json:
        report.write(options.json)


def measure(seed: int, epochs: int, folder: Path) -> dict[str, dict[str, float]]:
    """Accuracy, log-loss and accuracy by the truth of each trainer, by name."""
    runtime = start_runtime(seed, "cpu", threads=1)
    rows, held_out, is_right = make_answers(seed, folder)
    base = make_tiny((one for row in rows for one in row.texts), folder / "tiny", seed=seed)
    tokenizer = load_tokenizer(str(base))
    seed_everything(seed, "head")
    start = load_reward_model(str(base), runtime, tokenizer)
    data, judged = encode(rows, tokenizer, LENGTH), encode(held_out, tokenizer, LENGTH)
    plain = RewardConfiguration(
        "tiny", loss=Loss.PLAIN, epochs=float(epochs), learning_rate=RATE, batch_size=BATCH,
        max_length=LENGTH, seed=seed, warmup=WARMUP, centring=0.0, reliability=Reliability.OFF,
        checkpoint_every=10**9,
    )  # fmt: skip
    found = {}
    trained = by_trl(copy.deepcopy(start), tokenizer, data, epochs, seed=seed, folder=folder)
    found[TRLS] = judge(trained, judged, is_right, runtime)
    for name in (PLAIN, ALL):
        model, chosen, configuration = copy.deepcopy(start), data, plain
        if name == ALL:
            prepared = prepare(
                *(model, data, rows, replace(plain, reliability=Reliability.AUTO), runtime),
                progress=SilentProgress(), chooses_loss=True,
            )  # fmt: skip
            chosen, configuration = prepared.data, prepared.configuration
        model = train(
            *(model, chosen, configuration, runtime, SilentProgress()),
            checkpoints=folder / name,
            data_hash=name,
        )
        if name == ALL:
            rescale(model, prepared.unit)
        found[name] = judge(model, judged, is_right, runtime)
    return found


def make_answers(seed: int, folder: Path) -> tuple[list[Preference], list[Preference], Tensor]:
    """Answers to learn from, others of the same people, and whether these are true, [n]."""
    rng = np.random.default_rng(60_000 + seed)
    each = EACH + N_HELD_OUT // 20
    pairs, features = texts(rng, 20 * each)
    drawn = world(61_000 + seed, each, SPAM["15%"], overlap=1, features=features)
    rows = drawn.answers
    lines = [
        line(*pairs[pair], int(choice) + 1, int(who))
        for pair, who, choice in zip(rows.pairs, rows.people, rows.choices, strict=True)
    ]
    write(folder / "lines", lines)
    given = read_preferences(folder / "lines")
    is_right = torch.from_numpy((rows.choices >= 4) == (drawn.utility[rows.pairs] > 0))
    return given[:-N_HELD_OUT], given[-N_HELD_OUT:], is_right[-N_HELD_OUT:]


def by_trl(
    model: Any, tokenizer: Any, data: Encoded, epochs: int, *, seed: int, folder: Path
) -> Any:
    sides = zip(data.chosen.tolist(), data.rejected.tolist(), strict=True)
    rows = [
        {"chosen_ids": data.sequences[one], "rejected_ids": data.sequences[two]}
        for one, two in sides
    ]
    n_steps = -(-len(rows) // BATCH) * epochs
    settings = RewardConfig(
        output_dir=str(folder / "trl"), report_to="none", use_cpu=True, bf16=False, seed=seed,
        logging_steps=1000, save_strategy="no", disable_tqdm=True, learning_rate=RATE,
        per_device_train_batch_size=BATCH, num_train_epochs=epochs, max_length=LENGTH,
        warmup_steps=round(WARMUP * n_steps), weight_decay=0.01, dataloader_pin_memory=False,
        gradient_checkpointing=False,
    )  # fmt: skip
    trainer = RewardTrainer(
        model, args=settings, train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
    )  # fmt: skip
    trainer.train()
    return trainer.model


def judge(model: Any, judged: Encoded, is_right: Tensor, runtime: Runtime) -> dict[str, float]:
    scores = score_sequences(model, judged.sequences, 64, runtime)  # [U]
    margins = scores[judged.chosen] - scores[judged.rejected]  # [n]
    return {
        "accuracy": float((margins > 0).float().mean()),
        "log-loss": float(-logsigmoid(margins).mean()),
        "accuracy by the truth": float(((margins > 0) == is_right).float().mean()),
    }


def tell(report: Report, runs: list[dict[str, dict[str, float]]]) -> None:
    """Means by trainer; and what ours is worse by than TRL, in standard errors of it."""
    for name in (TRLS, PLAIN, ALL):
        for figure in runs[0][name]:
            mean = statistics.mean(one[name][figure] for one in runs)
            report.figures[f"{name}: {figure}"] = mean
    for figure, sign in (("accuracy", 1), ("log-loss", -1), ("accuracy by the truth", 1)):
        for name, bound in ((PLAIN, -1.0), (ALL, 1.0)):
            gains = [sign * (one[name][figure] - one[TRLS][figure]) for one in runs]
            gain = statistics.mean(gains)
            error = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else float("nan")
            report.figures[f"{name}: {figure} better than TRL's by"] = f"{gain:+.4f} ± {error:.4f}"
            report.at_least(
                f"{name}, {figure}: gain in standard errors",
                gain / error if error else 0.0,
                bound,
                is_judged=not report.is_quick,
            )


if __name__ == "__main__":
    main()
