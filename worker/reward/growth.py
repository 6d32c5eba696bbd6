"""What more comparisons would be worth: heads on frozen features of the untrained network.

A whole training on each subset would cost several trainings. A head on features that no training
has touched costs one reading, and its curve is lower than the trained network's: what carries over
is how it bends. Accuracy follows a − b·n^(−c) (Hestness et al., arXiv 1712.00409, section 2).
"""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid

from worker.reward.choose import fit_head
from worker.reward.data import Encoded
from worker.reward.score import read_features
from worker.runtime import Runtime

FEWEST_TRAIN, FEWEST_HELD_OUT = 64, 20
METHOD = "heads on frozen features of the untrained network"
_SMALLEST, _MOST_TRAIN, _MOST_HELD_OUT = 16, 2000, 500
_N_REPEATS, _N_DRAWS, _MOST_WIDE = 4, 400, 128
_FEWEST_TOKENS = 50_000
_PRECISIONS = (1.0, 10.0, 100.0, 1000.0)
_EXPONENTS = np.geomspace(0.05, 2.0, 24)
Floats = NDArray[np.float64]


def learning_curve(
    model: Any,
    train: Encoded,
    held_out: Encoded,
    runtime: Runtime,
    *,
    batch_size: int,
    epochs: float,
    seed: int,
) -> dict[str, Any] | None:
    """Held-out accuracy by number of comparisons, and what the next doubling may bring.

    Reads at most three tenths of the tokens that training will read, so that it adds a tenth to
    the work. None with too few comparisons to say anything.
    """
    stream = random.Random(f"learning curve {seed}")  # noqa: S311 (no secret)
    budget = 0.3 * epochs * _n_tokens(train, range(len(train)))
    rows = _within(train, _MOST_TRAIN, max(_FEWEST_TOKENS, 0.8 * budget), stream)
    tests = _within(held_out, _MOST_HELD_OUT, max(_FEWEST_TOKENS, 0.2 * budget), stream)
    if len(rows) < FEWEST_TRAIN or len(tests) < FEWEST_HELD_OUT:
        return None
    x, y = (
        differences(model, data, chosen, batch_size, runtime)
        for data, chosen in ((train, rows), (held_out, tests))
    )  # [N, H], [E, H]
    x, y = narrow(x, y)
    weights = (train.weights * train.strengths)[rows].double()  # [N]
    right = _judge_subsets(x, y, weights, stream)
    return {**describe(right, len(train), seed), "method": METHOD, "n_eval": len(tests)}


def describe(right: dict[int, Floats], n_train: int, seed: int) -> dict[str, Any]:
    """Points, fit and the next doubling's worth with 95% intervals.

    right: size → [repeats, E], whether each held-out comparison was predicted by each head.
    Intervals resample the held-out comparisons and the subsets.
    """
    sizes = np.array(sorted(right), dtype=float)  # [S]
    drawn = _drawn_accuracies([right[int(n)] for n in sizes], seed)  # [draws, S]
    means = np.array([[right[int(n)].mean() for n in sizes]])  # [1, S]
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)  # [S], [S]
    curve, curves = fit_power_law(sizes, means), fit_power_law(sizes, drawn)
    gains = _gain(curves, n_train)  # [draws]
    a, b, c = (float(one[0]) for one in curve)
    return {
        "points": [
            {"n": int(n), "accuracy": float(means[0, i]), "low": float(low[i]),
             "high": float(high[i])}
            for i, n in enumerate(sizes)
        ],
        "fit": {"a": a, "b": b, "c": c},
        "doubling": {
            "from": n_train,
            "to": 2 * n_train,
            "gain": float(_gain(curve, n_train)[0]),
            "low": float(np.percentile(gains, 2.5)),
            "high": float(np.percentile(gains, 97.5)),
        },
    }  # fmt: skip


def fit_power_law(sizes: Floats, accuracies: Floats) -> tuple[Floats, Floats, Floats]:
    """a, b ≥ 0 and c of a − b·n^(−c) by least squares, for sizes [S], accuracies [D, S] → [D] each.

    For each c of a grid the best a and b are known; the c of least error is taken.
    """
    best = np.full(len(accuracies), np.inf)
    found = [np.zeros(len(accuracies)) for _ in range(3)]
    middle = accuracies.mean(axis=1, keepdims=True)  # [D, 1]
    for c in _EXPONENTS:
        falling = sizes**-c  # [S]
        centred = falling - falling.mean()
        b = np.maximum(0.0, -(accuracies - middle) @ centred / (centred @ centred))  # [D]
        a = middle[:, 0] + b * falling.mean()  # [D]
        error = np.square(accuracies - a[:, None] + b[:, None] * falling).sum(axis=1)  # [D]
        is_better = error < best
        best = np.where(is_better, error, best)
        found = [np.where(is_better, new, old) for new, old in zip((a, b, c), found, strict=True)]
    return found[0], found[1], found[2]


def _gain(curve: tuple[Floats, Floats, Floats], n: int) -> Floats:
    a, b, c = curve
    now, then = (np.minimum(1.0, a - b * float(size) ** -c) for size in (n, 2 * n))
    gain: Floats = then - now
    return gain


def _drawn_accuracies(right: Sequence[Floats], seed: int) -> Floats:
    """Accuracies of resampled held-out comparisons and repeats, S × [R, E] → [draws, S]."""
    stream = np.random.default_rng(seed)
    n = right[0].shape[1]
    tests = stream.multinomial(n, np.full(n, 1 / n), size=_N_DRAWS) / n  # [draws, E]
    columns = []
    for one in right:
        repeats = len(one)
        picked = stream.multinomial(repeats, np.full(repeats, 1 / repeats), size=_N_DRAWS) / repeats
        columns.append(((picked @ one) * tests).sum(axis=1))  # [draws, E] → [draws]
    return np.stack(columns, axis=1)


def _judge_subsets(
    x: Tensor, y: Tensor, weights: Tensor, stream: random.Random
) -> dict[int, Floats]:
    """Size → [repeats, E]: 1, ½ or 0 for each held-out comparison, by heads on random subsets."""
    order = list(range(len(x)))
    stream.shuffle(order)
    precision = choose_precision(x[order], weights[order])
    right, size = {}, len(x)
    while size >= _SMALLEST:
        subsets = [order] if size == len(x) else [
            stream.sample(order, size) for _ in range(_N_REPEATS)
        ]  # fmt: skip
        scores = torch.stack([y @ fit(x[one], weights[one], precision) for one in subsets])
        right[size] = ((scores > 0).double() + 0.5 * (scores == 0).double()).numpy()  # [R, E]
        size //= 2
    return right


def choose_precision(x: Tensor, weights: Tensor) -> float:
    """The prior precision of least log-loss on a fifth of the training rows."""
    cut = len(x) // 5

    def loss(precision: float) -> float:
        return float(-logsigmoid(x[:cut] @ fit(x[cut:], weights[cut:], precision)).mean())

    return min(_PRECISIONS, key=loss)


def fit(x: Tensor, weights: Tensor, precision: float) -> Tensor:
    weights = weights / weights.mean().clamp(min=1e-12)
    return fit_head(x, lambda difference: -(weights * logsigmoid(difference)).sum(), precision)


def _within(data: Encoded, most: int, n_tokens: float, stream: random.Random) -> list[int]:
    """Random rows without ties, as many as may be and as read no more distinct tokens."""
    rows = [row for row in range(len(data)) if not bool(data.is_tie[row])]
    stream.shuffle(rows)
    kept: list[int] = []
    seen: set[int] = set()
    read = 0
    for row in rows[:most]:
        new = {int(data.chosen[row]), int(data.rejected[row])} - seen
        read += sum(len(data.sequences[one]) for one in new)
        if read > n_tokens and len(kept) >= FEWEST_TRAIN:
            break
        seen |= new
        kept.append(row)
    return kept


def _n_tokens(data: Encoded, rows: Sequence[int]) -> int:
    used = {int(side[row]) for row in rows for side in (data.chosen, data.rejected)}
    return sum(len(data.sequences[one]) for one in used)


def differences(
    model: Any, data: Encoded, rows: Sequence[int], batch_size: int, runtime: Runtime
) -> Tensor:
    """Features of the preferred less those of the other completion, [rows, H]."""
    used = sorted({int(side[row]) for row in rows for side in (data.chosen, data.rejected)})
    places = {index: place for place, index in enumerate(used)}
    features = read_features(model, [data.sequences[one] for one in used], batch_size, runtime)
    chosen, rejected = (
        features[[places[int(side[row])] for row in rows]] for side in (data.chosen, data.rejected)
    )
    return (chosen - rejected).double()


def narrow(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both on the first principal directions of x, at most 128 wide, with x's scale as the unit."""
    if x.shape[1] > _MOST_WIDE:
        gram = x.T @ x  # [H, H]
        basis = torch.linalg.eigh(gram).eigenvectors[:, -_MOST_WIDE:]  # [H, 128]
        x, y = x @ basis, y @ basis
    scale = x.square().mean(dim=0, keepdim=True).sqrt().clamp(min=1e-6)
    return x / scale, y / scale
