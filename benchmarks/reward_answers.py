"""What 900 answers are worth to a reward model, by what is made of their strength and givers.

Simulated people (`benchmarks.people`): 20 of them, 900 pairs answered once each, and of the 20
none, three or eight answer without reading. The features of a pair are known, 32 numbers in which
the truth is linear; from there on the code is the trainer's own: annotators' weights, the choice
of a loss by held-out log-loss, and heads. Each is judged on the truly better side of new pairs.

Then the same from end to end: texts of words that people like more or less, the command
`prefloop-worker reward`, and a transformer of 0.1 million parameters that has read nothing before.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.people import DIMENSIONS, World, world
from benchmarks.report import Report, arguments
from worker.reward.choose import Candidate, compare, head_of
from worker.reward.data import Encoded
from worker.reward.reliability import judge
from worker.reward.strength import Loss

EACH = 45
SPAM: dict[str, Sequence[str]] = {
    "nobody": (),
    "15%": ("random", "straight", "left"),
    "40%": ("random", "straight", "left", "random", "straight", "left", "random", "random"),
}
WORDS = [
    *("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "haven", "inlet", "juniper"),
    *("kelp", "lagoon", "meadow", "north", "oak", "pebble", "quarry", "reef", "slope", "timber"),
    *("upland", "valley", "willow", "yarrow"),
]
N_WORDS = 14
COMMANDS = {
    "binary": ("--loss", "plain", "--reliability", "off"),
    "auto, reliability off": ("--loss", "auto", "--reliability", "off"),
    "reliability × strength": ("--loss", "scaled", "--reliability", "auto"),
    "reliability and auto": ("--loss", "auto", "--reliability", "auto"),
}
BINARY, BOTH, AUTO = "binary", "reliability × strength", "reliability and auto"


def main() -> None:
    options = arguments(__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(1)
    report = Report("reward_answers", options.quick)
    seeds = 2 if options.quick else 24
    for name, bad in SPAM.items():
        runs = [measure(seed, bad) for seed in range(seeds)]
        tell(report, name, runs)
    ways = [BINARY, AUTO] if options.quick else list(COMMANDS)
    for name in ["15%"] if options.quick else ["nobody", "15%"]:
        seeds = 1 if options.quick else 5
        found = [
            measure_command(seed, SPAM[name], ways, epochs=3 if options.quick else 8)
            for seed in range(seeds)
        ]
        tell(report, f"by the command: {name}", found)
    report.show()
    if options.json:
        report.write(options.json)


def measure(seed: int, bad: Sequence[str]) -> dict[str, float]:
    """Accuracy on the truth of each way of using the answers."""
    drawn = world(7_000 + seed, EACH, bad, overlap=1)
    x, data = encode(drawn)
    rows = range(len(data))
    weighed = replace(data, weights=judge(x, rows, data).factors)
    alone, believed = compare(x, rows, data, seed), compare(x, rows, weighed, seed)

    def accuracy(data: Encoded, candidate: Candidate, precision: float | None) -> float:
        scale = x.square().mean(dim=0, keepdim=True).sqrt()
        head = head_of(x / scale, torch.arange(len(x)), data, candidate, precision or 1.0)
        return truth(drawn, (head / scale[0]).numpy(), seed)

    plain, scaled = Candidate(Loss.PLAIN), Candidate(Loss.SCALED)
    return {
        BINARY: accuracy(data, plain, alone.precision),
        "soft at 0.85": accuracy(data, Candidate(Loss.SOFT, 0.85), alone.precision),
        "scaled": accuracy(data, scaled, alone.precision),
        "auto": accuracy(data, alone.candidate, alone.precision),
        "reliability": accuracy(weighed, plain, believed.precision),
        BOTH: accuracy(weighed, scaled, believed.precision),
        AUTO: accuracy(weighed, believed.candidate, believed.precision),
    }


def encode(drawn: World) -> tuple[Tensor, Encoded]:
    """Differences [N, 32], chosen less rejected, and the answers as the trainer holds them."""
    rows = drawn.answers
    n = len(rows.pairs)
    is_b = torch.from_numpy(rows.choices >= 4)  # [N]
    sign = torch.where(is_b, 1.0, -1.0).double()
    a, b = torch.from_numpy(2 * rows.pairs), torch.from_numpy(2 * rows.pairs + 1)
    data = Encoded(
        sequences=[[number] for number in range(2 * rows.n_pairs)],
        chosen=torch.where(is_b, b, a),
        rejected=torch.where(is_b, a, b),
        strengths=torch.from_numpy(rows.strengths).float(),
        weights=torch.ones(n),
        is_tie=torch.zeros(n, dtype=torch.bool),
        groups=[str(pair) for pair in rows.pairs],
        n_truncated=0,
        annotators=[f"person {one}" for one in rows.people],
    )
    return torch.from_numpy(drawn.features[rows.pairs]) * sign[:, None], data


def truth(drawn: World, head: np.ndarray, seed: int) -> float:
    direction = np.linalg.lstsq(drawn.features, drawn.utility, rcond=None)[0]
    fresh = np.random.default_rng(90_000 + seed).normal(size=(4_000, DIMENSIONS))
    return float(((fresh @ head > 0) == (fresh @ direction > 0)).mean())


def measure_command(
    seed: int, bad: Sequence[str], ways: Sequence[str], *, epochs: int
) -> dict[str, float]:
    """Accuracy on 1,000 new pairs, by the truth, of the command with some of its options."""
    rng = np.random.default_rng(80_000 + seed)
    pairs, features = texts(rng, 20 * EACH)
    drawn = world(8_000 + seed, EACH, bad, overlap=1, features=features)
    direction = np.linalg.lstsq(drawn.features, drawn.utility, rcond=None)[0]
    fresh, fresh_features = texts(rng, 1_000)
    utility = fresh_features @ direction
    rows = drawn.answers
    with tempfile.TemporaryDirectory(prefix="prefloop-answers-") as place:
        folder = Path(place)
        given = zip(rows.pairs, rows.people, rows.choices, strict=True)
        write(
            folder / "train.jsonl",
            [line(*pairs[pair], int(choice) + 1, int(who)) for pair, who, choice in given],
        )
        judged = zip(fresh, utility, strict=True)
        write(folder / "eval.jsonl", [line(*pair, 8 if u > 0 else 1, 0) for pair, u in judged])
        return {name: run_command(folder, COMMANDS[name], epochs) for name in ways}


def texts(rng: np.random.Generator, n: int) -> tuple[list[tuple[str, str]], NDArray[np.float64]]:
    """n pairs of texts A and B of the same length, and how often each word is in B less in A."""
    drawn = rng.integers(0, len(WORDS), size=(n, 2, N_WORDS))
    counts = np.apply_along_axis(np.bincount, 2, drawn, minlength=len(WORDS))  # [n, 2, W]
    features = (counts[:, 1] - counts[:, 0]).astype(np.float64)
    sides = [[" ".join(WORDS[word] for word in side) for side in pair] for pair in drawn]
    return [(a, b) for a, b in sides], features / features.std()


def line(a: str, b: str, rating: int, person: int) -> dict[str, object]:
    chosen, rejected = (a, b) if rating <= 4 else (b, a)
    return {
        "prompt": "walk",
        "chosen": chosen,
        "rejected": rejected,
        "rating": rating,
        "annotator": f"person {person}",
        "group": a,
    }


def write(path: Path, lines: Sequence[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), "utf-8")


def run_command(folder: Path, options: Sequence[str], epochs: int) -> float:
    out = folder / "-".join(options).strip("-")
    told = folder / "report.json"
    words = ["reward", "--preferences", str(folder / "train.jsonl")]
    words += ["--eval", str(folder / "eval.jsonl"), "--out", str(out), "--json", str(told)]
    words += ["--base-model", "tiny", "--models-folder", str(folder), "--progress", "none"]
    words += ["--epochs", str(epochs), "--learning-rate", "3e-3", "--batch-size", "64"]
    subprocess.run(
        [sys.executable, "-m", "worker.main", *words, "--threads", "1", *options], check=True
    )
    return float(json.loads(told.read_text("utf-8"))["eval"]["accuracy"])


def tell(report: Report, spam: str, runs: list[dict[str, float]]) -> None:
    """Means, and gains over binary with their paired standard errors."""
    for way in runs[0]:
        gains = [one[way] - one[BINARY] for one in runs]
        error = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else float("nan")
        mean = statistics.mean(one[way] for one in runs)
        report.figures[f"{spam} careless, {way}"] = (
            f"{mean:.4f}, over binary {statistics.mean(gains):+.4f} ± {error:.4f}"
        )
    bounds = {"nobody": -0.003, "15%": 0.01}
    for way in (BOTH, AUTO):
        if spam in bounds:
            gain = statistics.mean(one[way] - one[BINARY] for one in runs)
            report.at_least(
                f"{spam} careless, {way}: gain over binary",
                gain,
                bounds[spam],
                is_judged=not report.is_quick,
            )


if __name__ == "__main__":
    main()
