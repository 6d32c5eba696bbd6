"""The live reward model: how fast an answer is learnt, how soon it counts, and how honest it is.

    .venv/bin/python -m benchmarks.live [--quick] [--json FILE]

An update of the last layer at 384 dimensions, alone and with 5,000 open pairs ranked after it;
nearness to the maximum that all answers have together; how often intervals hold the true
difference of scores, and calibration of a small network's chances, both on simulated truth; and
in the running product (server, worker, trained small network, answers over HTTP) the time from an
answer until Postgres holds other priorities (Linux; about two minutes).
"""

import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.live_product import answer_to_priorities
from benchmarks.report import Report, arguments
from benchmarks.taste import preferences, worth_of
from worker.progress import SilentProgress
from worker.reward.configuration import RewardConfiguration
from worker.reward.files import RewardFiles
from worker.reward.laplace import Posterior, choose_precision, fit_map, laplace
from worker.reward.live import Live
from worker.reward.reader import Reader
from worker.reward.stage import train_reward_model
from worker.runtime import start_runtime
from worker.select.pool import Pool

D, N_OPEN = 384, 5_000
LEVEL, Z = 0.90, 1.6449


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    given = parser.parse_args()
    torch.set_num_threads(1)
    report = Report("live reward model", given.quick)
    speed(report, 100 if given.quick else 400)
    nearness(report, 300 if given.quick else 2_000)
    coverage(report, 6 if given.quick else 24)
    network(report, 600 if given.quick else 3_000, is_judged=not given.quick)
    product(report, 8 if given.quick else 30)
    report.show()
    if given.json:
        report.write(given.json)


def beginning(d: int, seed: int = 0) -> Posterior:
    """What a training of some thousand comparisons leaves, on axes of unlike length."""
    stream = torch.Generator().manual_seed(seed)
    sizes = torch.logspace(0, -1, d, dtype=torch.float64)
    rows = torch.randn(2 * d, d, generator=stream, dtype=torch.float64) * sizes
    known = torch.eye(d, dtype=torch.float64) + rows.T @ rows / 5
    mean = torch.randn(d, generator=stream, dtype=torch.float64) / d**0.5
    return Posterior(mean, torch.linalg.inv(known), torch.zeros(d, dtype=torch.float64), 1.0)


def draw(n: int, d: int, seed: int) -> tuple[Tensor, Tensor]:
    """Differences [n, d], and outcomes [n] by a linear taste with noise."""
    stream = torch.Generator().manual_seed(seed)
    taste = torch.randn(d, generator=stream, dtype=torch.float64)
    x = torch.randn(n, d, generator=stream, dtype=torch.float64) / d**0.5
    chance = torch.sigmoid(1.8 * (x @ taste))
    return x, (torch.rand(n, generator=stream, dtype=torch.float64) < chance).double()


def speed(report: Report, n: int) -> None:
    live: Live[int] = Live(beginning(D))
    x, y = draw(n, D, 1)
    alone = [_milliseconds(lambda i=i: live.add(i, x[i], float(y[i]))) for i in range(n)]
    back = [_milliseconds(lambda i=i: live.take_back(i)) for i in range(n // 2)]
    open_, _ = draw(N_OPEN, D, 2)
    pool = Pool([str(i) for i in range(N_OPEN)], open_, [0.0] * N_OPEN, [-1.0] * N_OPEN)
    pool.rank(live, is_whole=True)
    fresh, outcome = draw(20, D, 3)

    def answer(i: int) -> None:
        pool.follow(live.add(n + i, fresh[i], float(outcome[i])))
        pool.rank(live)

    ranked = [_milliseconds(lambda i=i: answer(i)) for i in range(20)]
    report.figures["taking an answer back, 384 dimensions, ms (median)"] = _middle(back)
    report.figures["an answer and 5,000 open pairs ranked, ms (median)"] = _middle(ranked)
    report.at_most("an update at 384 dimensions, ms (median)", _middle(alone), 10)


def nearness(report: Report, n: int) -> None:
    """From a training that knew nothing, with differences that leave no doubt: the hard case."""
    zero = torch.zeros(D, dtype=torch.float64)
    begun = Posterior(zero, torch.eye(D, dtype=torch.float64) / 3, zero, 3.0)
    x, y = draw(n, D, 4)
    x = x * D**0.5 / 3
    live: Live[int] = Live(begun)
    for i in range(n):
        live.add(i, x[i], float(y[i]))
    for i in range(0, n, 10):
        live.take_back(i)
    kept = [i for i in range(n) if i % 10]
    prior = torch.linalg.inv(begun.covariance)
    best = fit_map(x[kept], y[kept], torch.ones(len(kept)).double(), prior, anchor=begun.mean)
    report.at_least(f"cosine to the batch after {n:,} answers", _cosine(live.mean, best), 0.994)
    took = _milliseconds(live.settle)
    report.figures["finding the maximum of all, ms"] = took
    report.at_least("cosine to the batch once settled", _cosine(live.mean, best), 0.999999)


def coverage(report: Report, n_seeds: int) -> None:
    """Of true differences of scores, on pairs nobody answered, by posteriors of n answers."""
    for n, d in ((300, 16), (900, 32), (3_000, 32)):
        inside = [_inside(n, d, seed) for seed in range(n_seeds)]
        share = sum(inside) / len(inside)
        name = f"90% intervals that hold the truth, {n:,} answers"
        report.figures[f"{name}, {d} dimensions, {n_seeds} worlds"] = share
        report.at_most(f"{name}: distance from .90", abs(share - LEVEL), 0.05)


def _inside(n: int, d: int, seed: int) -> float:
    stream = torch.Generator().manual_seed(1_000 + seed)
    taste = torch.randn(d, generator=stream, dtype=torch.float64) / d**0.5 * 1.5
    x = torch.randn(n, d, generator=stream, dtype=torch.float64)
    won = (torch.rand(n, generator=stream, dtype=torch.float64) < torch.sigmoid(x @ taste)).double()
    ones, zero = torch.ones(n, dtype=torch.float64), torch.zeros(d, dtype=torch.float64)
    precision, _ = choose_precision(x, won, ones, torch.arange(n) % 3)
    mean = fit_map(x, won, ones, precision)
    known = laplace(x, ones, mean, precision, zero)
    fresh = torch.randn(500, d, generator=stream, dtype=torch.float64)
    off = (fresh @ (mean - taste)).abs() / known.errors(fresh)
    return float((off < Z).double().mean())


def network(report: Report, n: int, *, is_judged: bool) -> None:
    """A small network on answers of known noise: are its chances and its errors honest?"""
    with tempfile.TemporaryDirectory(prefix="prefloop-live-") as name:
        folder = Path(name)
        for split, count, seed in (("train", n, 1), ("eval", 3_000, 2)):
            (folder / f"{split}.jsonl").write_text("".join(preferences(count, seed)), "utf-8")
        runtime = start_runtime(0, "cpu", threads=1)
        found = train_reward_model(
            RewardFiles(folder / "train.jsonl", folder / "eval.jsonl", folder / "out", folder),
            lambda _: RewardConfiguration("tiny", epochs=6, learning_rate=2e-3, batch_size=32),
            runtime,
            SilentProgress(),
            base_model="tiny",
            seed=0,
        )
        report.figures["network: held-out accuracy"] = found["eval"]["accuracy"]
        report.figures["network: ECE before scaling"] = found["eval"]["ece"]
        report.figures["network: ECE of chances drawn to ½ by the errors"] = found["uncertainty"][
            "ece"
        ]
        report.at_most(
            "network: ECE after scaling", found["eval"]["ece_scaled"], 0.03, is_judged=is_judged
        )
        share = _network_inside(str(folder / "out"), runtime)
        report.figures["network: 90% intervals that hold the true difference"] = share


def _network_inside(folder: str, runtime: Any) -> float:
    """Of true log-odds between completions that nobody compared. The trunk's own mistakes are not
    in the errors, so this lies below .90."""
    reader = Reader(folder, runtime, SilentProgress())
    rows = [json.loads(line) for line in preferences(400, 3)]
    sides = [
        [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row[side]}]
        for side in ("chosen", "rejected")
        for row in rows
    ]
    found = reader.read(sides)
    layer = reader.layer
    if layer is None:
        return math.nan
    a, b = layer.reduce(found.features).chunk(2)
    gap = (found.scores[:400] - found.scores[400:]).double() / layer.temperature
    truth = torch.tensor([worth_of(row["chosen"]) - worth_of(row["rejected"]) for row in rows])
    return float(((gap - truth).abs() / layer.posterior.errors(a - b) < Z).double().mean())


def product(report: Report, n: int) -> None:
    seconds = answer_to_priorities(n)
    report.figures["running product: answer to new priorities, s (median)"] = _middle(seconds)
    report.figures["running product: answers timed"] = len(seconds)
    report.at_most("running product: answer to new priorities, s (longest)", max(seconds), 1.0)


def _milliseconds(do: Any) -> float:
    began = time.perf_counter()
    do()
    return 1_000 * (time.perf_counter() - began)


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _cosine(one: Tensor, other: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(one, other, dim=0))


if __name__ == "__main__":
    main()
