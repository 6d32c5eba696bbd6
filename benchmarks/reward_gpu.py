"""Training speed of reward models on a CUDA card, beside TRL's RewardTrainer on the same pairs.

A Llama of a billion parameters, bfloat16, the same pairs, batch size and optimiser, in processes
of their own, alternating. The first epoch warms up and compiles; the second, which reads each pair
once too, is timed by the clock, with the card's queue emptied at both ends. "Best setting" of TRL
is without gradient checkpointing and grouped by length. Without a card nothing is measured; with
--quick a small network goes the same way on whatever is there, so that the way is known to work.
"""

import math
import multiprocessing
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForSequenceClassification, TrainerCallback

from benchmarks.report import Report, arguments
from benchmarks.reward import LIMIT, World, encoded, mixed, quiet, trainer_of, work
from worker.progress import SilentProgress
from worker.reward.computing import Computing
from worker.reward.configuration import RewardConfiguration
from worker.reward.strength import Loss
from worker.reward.train import train
from worker.runtime import start_runtime

ROUNDS = 5
NO_CARD = "no CUDA device here: nothing measured"
SPEED, SHARE = "speed × TRL's best setting, 1 B parameters", "share of the card's matrix rate"


@dataclass(frozen=True)
class Size:
    """A network, pairs a step and steps an epoch; `device` None is the card."""

    width: int = 2048
    layers: int = 20
    heads: int = 16
    groups: int = 4
    inner: int = 5632
    vocabulary: int = 32000
    batch: int = 32
    steps: int = 24
    device: str | None = None

    @property
    def on_card(self) -> bool:
        return self.device is None

    def world(self) -> World:
        return mixed(self.batch * self.steps)


BILLION = Size()
SMALL = Size(64, 2, 4, 2, 128, 8192, batch=4, steps=2)


def network(size: Size) -> Any:
    torch.manual_seed(0)
    return LlamaForSequenceClassification(
        LlamaConfig(
            vocab_size=size.vocabulary,
            hidden_size=size.width,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            num_key_value_heads=size.groups,
            intermediate_size=size.inner,
            max_position_embeddings=LIMIT,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
            num_labels=1,
        )
    )


class Clock:
    """When the first epoch ended and when the last, with nothing left to compute."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.marks: list[float] = []

    def after(self, step: int, total: int) -> None:
        if step in (total // 2, total):
            if self.size.on_card:
                torch.cuda.synchronize()
            self.marks.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        began, ended = self.marks
        return ended - began


class _Told(SilentProgress):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def advance(self, done: int, total: int, text: str) -> None:
        super().advance(done, total, text)
        self.clock.after(done, total)


class _Called(TrainerCallback):
    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self.clock.after(state.global_step, state.max_steps)


def ours(size: Size, folder: Path) -> tuple[float, str]:
    """Seconds of the second epoch, and how it was computed."""
    runtime = start_runtime(0, size.device)
    clock, computing = Clock(size), Computing()
    configuration = RewardConfiguration(
        *("benchmark", Loss.PLAIN),
        epochs=2,
        batch_size=size.batch,
        learning_rate=1e-4,
        checkpoint_every=10**9,
        compiles="on" if size.on_card else "auto",
    )
    kept = replace(configuration, centring=0.0)
    train(
        *(network(size).to(runtime.device), encoded(size.world()), kept, runtime, _Told(clock)),
        checkpoints=folder,
        data_hash="benchmark",
        computing=computing,
    )
    how = f"attention {computing.attention} ({computing.attention_reason or 'chosen'})"
    return clock.seconds, f"{how}, compiled: {computing.compile_reason or 'yes'}"


def trls(size: Size, folder: Path) -> tuple[float, str]:
    clock = Clock(size)
    trainer = trainer_of(
        *(size.world(), folder, network(size)),
        is_best=True,
        use_cpu=not size.on_card,
        bf16=size.on_card,
        per_device_train_batch_size=size.batch,
        num_train_epochs=2,
        dataloader_pin_memory=size.on_card,
        center_rewards_coefficient=None,
    )
    trainer.add_callback(_Called(clock))
    trainer.train()
    return clock.seconds, f"attention {trainer.model.config._attn_implementation}, bfloat16"


RUNNERS = {"TRL best": trls, "ours": ours}


def measure(name: str, size: Size) -> tuple[float, float, str]:
    """Seconds, the card's peak memory in MiB, and how it was computed; in a fresh process."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_in_a_process, args=(name, size, sender))
    child.start()
    sender.close()
    found: tuple[float, float, str] = receiver.recv()
    child.join()
    return found


def _in_a_process(name: str, size: Size, sender: Any) -> None:
    quiet()
    with tempfile.TemporaryDirectory(prefix="prefloop-reward-gpu-") as folder:
        seconds, how = RUNNERS[name](size, Path(folder) / "out")
    peak = torch.cuda.max_memory_allocated() / 2**20 if size.on_card else math.nan
    sender.send((seconds, peak, how))


def matrix_rate(size: Size) -> float:
    """TFLOP of matrix products a second in the precision of training; the best of two sizes."""
    device = "cuda" if size.on_card else "cpu"
    dtype = torch.bfloat16 if size.on_card else torch.float32
    best = 0.0
    for n, m, k in ((8192, size.width, size.inner), (8192, 8192, 8192))[: 2 if size.on_card else 1]:
        one = torch.randn(n, m, device=device, dtype=dtype)
        two = torch.randn(m, k, device=device, dtype=dtype)
        for _ in range(4):
            began = time.perf_counter()
            for _ in range(20):
                one @ two
            if size.on_card:
                torch.cuda.synchronize()
            best = max(best, 20 * 2 * n * m * k / (time.perf_counter() - began) / 1e12)
    return best


def tell(report: Report, size: Size, found: dict[str, list[float]], rate: float) -> None:
    """Figures, and on a card the targets, as medians over rounds."""
    with torch.device("meta"):
        shell = network(size)
    world = size.world()
    report.figures["parameters"] = sum(one.numel() for one in shell.parameters())
    report.figures["useful tokens an epoch"] = world.useful
    report.figures["matrix products, TFLOP a second"] = rate
    for name, seconds in found.items():
        report.figures[f"{name}: useful tokens a second"] = world.useful / statistics.median(
            seconds
        )
    pairs = zip(found["TRL best"], found["ours"], strict=True)
    speed = statistics.median(theirs / mine for theirs, mine in pairs)
    share = statistics.median(work(world, shell) / 1e3 / mine / rate for mine in found["ours"])
    report.figures["ours ÷ TRL best, this network"] = speed
    report.figures["share of the matrix rate, this network"] = share
    is_judged = size.on_card and not report.is_quick
    judge(report, speed if is_judged else None, share if is_judged else None)


def judge(report: Report, speed: float | None, share: float | None) -> None:
    """The targets; None where no card measured them at full size."""
    report.at_least(SPEED, speed, 2.0)
    report.at_least(SHARE, share, 0.45)


def main() -> None:
    options = arguments(__doc__.splitlines()[0]).parse_args()
    report = Report("reward_gpu", options.quick)
    has_card = torch.cuda.is_available()
    if has_card:
        report.figures["card"] = torch.cuda.get_device_name(0)
    else:
        report.figures["card"] = NO_CARD
        print(NO_CARD, flush=True)
    if has_card or options.quick:
        size = replace(SMALL if options.quick else BILLION, device=None if has_card else "cpu")
        run(report, size, 1 if options.quick else ROUNDS)
    else:
        judge(report, None, None)
    report.show()
    if options.json:
        report.write(options.json)


def run(report: Report, size: Size, rounds: int) -> None:
    found: dict[str, list[float]] = {name: [] for name in RUNNERS}
    rate = 0.0
    for number in range(rounds):
        rate = max(rate, matrix_rate(size))
        for name in RUNNERS:
            seconds, peak, how = measure(name, size)
            found[name].append(seconds)
            report.figures[f"{name}: how"] = how
            report.figures[f"{name}: peak memory of the card, MiB"] = peak
        last = {name: round(seconds[-1], 2) for name, seconds in found.items()}
        print(f"round {number + 1} of {rounds}, seconds: {last}", flush=True)
    tell(report, size, found, rate)


if __name__ == "__main__":
    main()
