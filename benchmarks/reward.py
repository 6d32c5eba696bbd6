"""Training speed and memory of reward models, beside TRL's RewardTrainer on the same pairs.

One network (a Llama of 8.9 M parameters), the same pairs, batch size, optimiser, float32 and one
thread; each run in a process of its own, alternating. Useful tokens are what has to be read
without sharing or padding: twice the prompt, and both completions. Measured from the first step
to the last: building the trainer and saving are left out of both. "Best setting" of TRL is
without gradient checkpointing and grouped by length.
"""

import math
import multiprocessing
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast
from transformers.utils import logging
from trl import RewardConfig, RewardTrainer

from benchmarks.report import Report, arguments
from worker.progress import SilentProgress
from worker.reward.configuration import RewardConfiguration
from worker.reward.data import Encoded
from worker.reward.strength import Loss
from worker.reward.train import train
from worker.runtime import start_runtime

VOCABULARY = 8192
BATCH = 8
ROUNDS = 5
LIMIT = 2048


@dataclass(frozen=True)
class World:
    """Pairs of token lists: prompt, chosen, rejected."""

    pairs: list[tuple[list[int], list[int], list[int]]]

    @property
    def useful(self) -> int:
        return sum(2 * len(p) + len(c) + len(r) for p, c, r in self.pairs)

    @property
    def needed(self) -> int:
        return sum(len(p) + len(c) + len(r) for p, c, r in self.pairs)

    @property
    def attended(self) -> int:
        """Pairs of a token and one that it sees, each prompt counted once."""
        return sum(
            _triangle(len(p) + len(c)) + _triangle(len(p) + len(r)) - _triangle(len(p))
            for p, c, r in self.pairs
        )


def _triangle(n: int) -> int:
    return n * (n + 1) // 2


def mixed(n: int, seed: int = 0) -> World:
    """Log-normal lengths: prompts around 120 tokens (16 to 400), completions 90 (8 to 300)."""
    stream = random.Random(seed)

    def draw(middle: float, spread: float, low: int, high: int) -> list[int]:
        length = int(stream.lognormvariate(math.log(middle), spread))
        return [stream.randrange(2, VOCABULARY) for _ in range(max(low, min(high, length)))]

    return World(
        [(draw(120, 0.7, 16, 400), draw(90, 0.6, 8, 300), draw(90, 0.6, 8, 300)) for _ in range(n)]
    )


def equal(n: int, length: int = 160, seed: int = 0) -> World:
    """No prompt and completions of one length: nothing to share and no padding to spare."""
    stream = random.Random(seed)

    def draw() -> list[int]:
        return [stream.randrange(2, VOCABULARY) for _ in range(length)]

    return World([([], draw(), draw()) for _ in range(n)])


def network() -> Any:

    torch.manual_seed(0)
    return LlamaForSequenceClassification(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=256,
            num_hidden_layers=8,
            num_attention_heads=4,
            num_key_value_heads=4,
            intermediate_size=768,
            max_position_embeddings=LIMIT,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
            num_labels=1,
        )
    )


def encoded(world: World) -> Encoded:
    n = len(world.pairs)
    return Encoded(
        sequences=[p + side for p, *both in world.pairs for side in both],
        chosen=torch.arange(0, 2 * n, 2),
        rejected=torch.arange(1, 2 * n, 2),
        strengths=torch.ones(n),
        weights=torch.ones(n),
        is_tie=torch.zeros(n, dtype=torch.bool),
        groups=[str(index) for index in range(n)],
        n_truncated=0,
    )


def ours(world: World, folder: Path) -> Callable[[], float]:
    runtime = start_runtime(0, "cpu", threads=1)
    data = encoded(world)
    configuration = RewardConfiguration(
        "benchmark", loss=Loss.PLAIN, batch_size=BATCH, learning_rate=1e-4, checkpoint_every=10**9
    )

    class UntilTheLastStep(SilentProgress):
        ended = 0.0

        def advance(self, done: int, total: int, text: str) -> None:
            super().advance(done, total, text)
            if done == total:
                self.ended = time.process_time()

    model = network()

    def run() -> float:
        progress = UntilTheLastStep()
        train(
            *(model, data, configuration, runtime, progress),
            checkpoints=folder,
            data_hash="benchmark",
        )
        return progress.ended

    return run


def trainer_of(world: World, folder: Path, model: Any, *, is_best: bool, **settings: Any) -> Any:
    """TRL's trainer for these pairs, with its defaults or its best setting."""
    words = {"<pad>": 0, "<eos>": 1, **{f"t{index}": index for index in range(2, VOCABULARY)}}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<pad>")),
        pad_token="<pad>",
        eos_token="<eos>",
    )
    rows = [
        {"chosen_ids": p + c, "rejected_ids": p + r, "length": len(p) + max(len(c), len(r))}
        for p, c, r in world.pairs
    ]
    if not is_best:
        rows = [{key: row[key] for key in ("chosen_ids", "rejected_ids")} for row in rows]
    best = {
        "activation_checkpointing": False,
        "train_sampling_strategy": "group_by_length",
        "remove_unused_columns": False,
    }
    told = RewardConfig(
        output_dir=str(folder),
        report_to="none",
        logging_steps=1000,
        save_strategy="no",
        disable_tqdm=True,
        learning_rate=1e-4,
        max_length=LIMIT,
        **settings,
        **(best if is_best else {}),
    )
    return RewardTrainer(
        model,
        args=told,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
    )


def trls(world: World, folder: Path, *, is_best: bool) -> Callable[[], float]:
    trainer = trainer_of(
        *(world, folder, network()),
        is_best=is_best,
        use_cpu=True,
        bf16=False,
        per_device_train_batch_size=BATCH,
        num_train_epochs=1,
        dataloader_pin_memory=False,
    )

    def run() -> float:
        trainer.train()
        return time.process_time()

    return run


RUNNERS: dict[str, Callable[[World, Path], Callable[[], float]]] = {
    "TRL defaults": lambda world, folder: trls(world, folder, is_best=False),
    "TRL best": lambda world, folder: trls(world, folder, is_best=True),
    "ours": ours,
}


def quiet() -> None:
    """Keep the libraries' own voices out of the figures, and load what they load late."""
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*")  # TRL's own default
    logging.set_verbosity_error()
    datasets.disable_progress_bars()
    torch.set_num_threads(1)
    network()  # so that no run pays for what transformers imports late


def measure(name: str, world: World) -> tuple[float, float]:
    """CPU seconds of training, and the MiB by which its memory peaks above what it began with."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_in_a_process, args=(name, world, sender))
    child.start()
    sender.close()
    found: tuple[float, float] = receiver.recv()
    child.join()
    return found


def _in_a_process(name: str, world: World, sender: Any) -> None:

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="prefloop-reward-") as folder:
        run = RUNNERS[name](world, Path(folder) / "out")
        Path("/proc/self/clear_refs").write_text("5", "ascii")  # starts the peak anew
        before, began = _memory("VmRSS"), time.process_time()
        ended = run()
        sender.send((ended - began, _memory("VmHWM") - before))


def _memory(field: str) -> float:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    kib = next(line.split()[1] for line in lines if line.startswith(field + ":"))
    return int(kib) / 1024


def matrix_rate() -> float:
    """GFLOP of float32 matrix products a CPU second on one thread; the best of several sizes."""

    torch.set_num_threads(1)
    best = 0.0
    for n, m, k in ((2048, 256, 768), (2048, 768, 256), (1024, 1024, 1024)):
        one, two = torch.randn(n, m), torch.randn(m, k)
        for _ in range(3):
            began = time.process_time()
            for _ in range(20):
                one @ two
            best = max(best, 20 * 2 * n * m * k / (time.process_time() - began) / 1e9)
    return best


def work(world: World, model: Any = None) -> float:
    """GFLOP that training must do at least: 6 a matrix weight and token, and the attention."""
    model = model or network()
    config = model.config
    weights = sum(
        one.numel()
        for name, one in model.named_parameters()
        if one.dim() == 2 and "emb" not in name
    )
    attention = 12 * config.hidden_size * config.num_hidden_layers * world.attended
    return (6 * weights * world.needed + attention) / 1e9


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=6 * BATCH, help="of mixed lengths, a round")
    options = parser.parse_args()
    quiet()
    report = Report("reward", options.quick)
    n_pairs, rounds = (BATCH, 1) if options.quick else (options.pairs, ROUNDS)
    unequal, same = mixed(n_pairs), equal(n_pairs)
    found: dict[str, list[tuple[float, float]]] = {}
    rates = []
    for number in range(rounds):
        rates.append(matrix_rate())
        for name in RUNNERS:
            found.setdefault(name, []).append(measure(name, unequal))
        for name in ("TRL best", "ours"):
            found.setdefault(f"{name}, equal", []).append(measure(name, same))
        seconds = {name: round(runs[-1][0], 2) for name, runs in found.items()}
        print(f"round {number + 1} of {rounds}, CPU seconds: {seconds}", flush=True)
    tell(report, found, unequal, same, max(rates))
    report.show()
    if options.json:
        report.write(options.json)


def tell(
    report: Report,
    found: dict[str, list[tuple[float, float]]],
    unequal: World,
    same: World,
    rate: float,
) -> None:
    """Figures, and targets as medians over rounds of the ratio within each round."""

    def ratio(theirs: str, mine: str, column: int = 0) -> float:
        both = zip(found[theirs], found[mine], strict=True)
        return statistics.median(one[column] / two[column] for one, two in both)

    report.figures["pairs, mixed lengths"] = len(unequal.pairs)
    report.figures["useful tokens"] = unequal.useful
    report.figures["matrix products, GFLOP a CPU second"] = rate
    for name, runs in found.items():
        world = same if name.endswith("equal") else unequal
        speeds = sorted(world.useful / seconds for seconds, _ in runs)
        report.figures[f"{name}: useful tokens a CPU second"] = statistics.median(speeds)
        report.figures[f"{name}: from … to"] = f"{speeds[0]:,.0f} … {speeds[-1]:,.0f}"
        report.figures[f"{name}: memory, MiB"] = statistics.median(mib for _, mib in runs)
    share = statistics.median(work(unequal) / seconds for seconds, _ in found["ours"]) / rate
    for name, value, bound in (
        ("speed × TRL's defaults, mixed lengths", ratio("TRL defaults", "ours"), 4.0),
        ("speed × TRL's best setting, mixed lengths", ratio("TRL best", "ours"), 2.6),
        (
            "speed × TRL's best, no prompt, equal lengths",
            ratio("TRL best, equal", "ours, equal"),
            0.95,
        ),
        ("share of the matrix-product rate", share, 0.6),
    ):
        judge(report, name, value, bound, is_floor=True)
    memory = ratio("ours", "TRL best", column=1)
    judge(report, "peak memory ÷ TRL's best setting", memory, 1.0, is_floor=False)


def judge(report: Report, name: str, value: float, bound: float, *, is_floor: bool) -> None:
    """A target; a quick run is too short to meet or miss it."""
    add = report.at_least if is_floor else report.at_most
    add(name, value, bound, is_judged=not report.is_quick)


if __name__ == "__main__":
    main()
