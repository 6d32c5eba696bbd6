"""Scores on others' evaluation sets: RewardBench, RewardBench 2 and any preference file.

As in `allenai/reward-bench`, rewardbench/utils.py (`reroll_and_score_dataset`,
`process_single_model`).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.reward.items import Item

_N_DRAWS = 1000
# Of RewardBench: sections of subsets, and the weight of one subset that is not its size.
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Chat": ("alpacaeval-easy", "alpacaeval-length", "alpacaeval-hard", "mt-bench-easy",
             "mt-bench-med"),
    "Chat Hard": ("mt-bench-hard", "llmbar-natural", "llmbar-adver-neighbor",
                  "llmbar-adver-GPTInst", "llmbar-adver-GPTOut", "llmbar-adver-manual"),
    "Safety": ("refusals-dangerous", "refusals-offensive", "xstest-should-refuse",
               "xstest-should-respond", "donotanswer"),
    "Reasoning": ("math-prm", "hep-cpp", "hep-go", "hep-java", "hep-js", "hep-python", "hep-rust"),
}  # fmt: skip
_WEIGHTS = {"math-prm": 984}
Floats = NDArray[np.float64]


def give_report(items: Sequence[Item], scores: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The score of each subset with its 95% interval, and the whole's as its benchmark defines it.

    scores: one list an item, in the order of its completions. Intervals resample items (in Ties,
    prompts). `overall` is the unweighted mean over subsets for best-of-n sets, over sections for
    RewardBench, and the mean over items otherwise.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        places[item.subset].append(place)
    stream = np.random.default_rng(0)
    subsets: dict[str, dict[str, Any]] = {}
    drawn: dict[str, Floats] = {}
    for name, rows in places.items():
        chosen = [(items[row], scores[row]) for row in rows]
        if all(item.is_tied for item, _ in chosen):
            value, draws = _ties(chosen, stream)
            chance = None
        else:
            value, draws = _hits(chosen, stream)
            chance = float(np.mean([one.n_right / len(one.completions) for one, _ in chosen]))
        low, high = np.percentile(draws, [2.5, 97.5])
        subsets[name] = {"score": value, "low": float(low), "high": float(high), "n": len(rows),
                         "chance": chance}  # fmt: skip
        drawn[name] = draws
    kind, sections = _kind(items)
    weights = {name: float(one["n"]) for name, one in subsets.items()}
    groups: dict[str, list[str]] = {"": list(subsets)}
    if sections:
        weights |= {k: float(v) for k, v in _WEIGHTS.items() if k in weights}
        known = {one for names in SECTIONS.values() for one in names}
        groups = {s: [n for n in names if n in subsets] for s, names in SECTIONS.items()}
        groups["other"] = [name for name in subsets if name not in known]
        groups = {name: found for name, found in groups.items() if found}
    elif kind == "RewardBench 2":
        groups = {name: [name] for name in subsets}
    found_sections = {
        name: _combined(names, subsets, drawn, weights) for name, names in groups.items()
    }
    overall = _combined_evenly(list(found_sections.values()))
    return {
        "format": kind,
        "n": len(items),
        "overall": _summary(*overall),
        "subsets": subsets,
        "sections": {name: _summary(*one) for name, one in found_sections.items()}
        if sections
        else {},
        "log_loss": _log_loss(items, scores),
    }


def _kind(items: Sequence[Item]) -> tuple[str, bool]:
    if any(len(item.completions) > 2 for item in items):
        return "RewardBench 2", False
    known = {one for names in SECTIONS.values() for one in names}
    is_first = any(item.subset in known for item in items)
    return ("RewardBench" if is_first else "preferences"), is_first


def _hits(
    chosen: Sequence[tuple[Item, Sequence[float]]], stream: np.random.Generator
) -> tuple[float, Floats]:
    """How often a best-scored completion is a right one; shared first places count in shares."""
    hits = np.array([hit(scores, item.n_right) for item, scores in chosen])
    return float(hits.mean()), hits @ _weights(len(hits), stream).T


def hit(scores: Sequence[float], n_right: int) -> float:
    """1 where the best of `scores` is among the first `n_right`; the share of those on a tie."""
    best = max(scores)
    winners = [place for place, score in enumerate(scores) if score == best]
    return sum(place < n_right for place in winners) / len(winners)


def _ties(
    chosen: Sequence[tuple[Item, Sequence[float]]], stream: np.random.Generator
) -> tuple[float, Floats]:
    """RewardBench 2's score of its subset Ties, and resamplings of its prompts."""
    stats: dict[str, dict[str, tuple[float, float, float]]] = defaultdict(dict)
    for item, scores in chosen:
        role, _, prompt = item.name.partition(":")
        right, wrong = scores[: item.n_right], scores[item.n_right :]
        gap = min(right) - max(wrong) if wrong else float("inf")
        stats[prompt][role] = (float(gap > 0), max(right) - min(right), gap)
    prompts = list(stats.values())
    value = ties_score(prompts)
    draws = [
        ties_score([prompts[i] for i in stream.integers(0, len(prompts), len(prompts))])
        for _ in range(_N_DRAWS // 4)
    ]
    return value, np.array(draws)


def ties_score(prompts: Sequence[Mapping[str, tuple[float, float, float]]]) -> float:
    """60% accuracy, 40% margin, and a last hundredth to break ties between models.

    Each prompt has `tied` and `ref`: (accurate, spread of the right scores, least right less best
    wrong score). The margin asks that right answers lie closer together than to a wrong one.
    """
    ref, tied = (
        np.array([one[role][0] for one in prompts if role in one]) for role in ("ref", "tied")
    )
    both = [(one["tied"], one["ref"]) for one in prompts if "tied" in one and "ref" in one]
    spread = np.array([one[1] for one, _ in both])
    gap = np.array([one[2] for one, _ in both])
    least = np.array([min(one[2], other[2]) for one, other in both])
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.nan_to_num(np.tanh(least / spread - 1), nan=0.0)
    mean = [float(one.mean()) if len(one) else 0.0
            for one in (tied, ref, gap > spread, least > spread, relative)]  # fmt: skip
    return float(np.dot(mean, (0.30, 0.30, 0.20, 0.20, 0.01)))


def _weights(n: int, stream: np.random.Generator) -> Floats:
    """Shares of resampled rows, [draws, n]."""
    drawn: Floats = stream.multinomial(n, np.full(n, 1 / n), size=_N_DRAWS) / n
    return drawn


def _combined(
    names: Sequence[str],
    subsets: Mapping[str, dict[str, Any]],
    drawn: Mapping[str, Floats],
    weights: Mapping[str, float],
) -> tuple[float, Floats]:
    """The weighted mean of subsets, and of their draws."""
    total = sum(weights[name] for name in names)
    value = sum(weights[name] * subsets[name]["score"] for name in names) / total
    shortest = min(len(drawn[name]) for name in names)
    draws = sum(weights[name] * drawn[name][:shortest] for name in names) / total
    return float(value), np.asarray(draws)


def _combined_evenly(parts: Sequence[tuple[float, Floats]]) -> tuple[float, Floats]:
    shortest = min(len(draws) for _, draws in parts)
    return (
        float(np.mean([value for value, _ in parts])),
        np.mean([draws[:shortest] for _, draws in parts], axis=0),
    )


def _summary(value: float, draws: Floats) -> dict[str, float]:
    low, high = np.percentile(draws, [2.5, 97.5])
    return {"score": value, "low": float(low), "high": float(high)}


def _log_loss(items: Sequence[Item], scores: Sequence[Sequence[float]]) -> float | None:
    """Mean −log σ(right less wrong) in nats over plain pairs; None where there is none."""
    margins = [one[0] - one[1] for item, one in zip(items, scores, strict=True)
               if len(item.completions) == 2 and item.n_right == 1]  # fmt: skip
    return float(np.logaddexp(0, -np.array(margins)).mean()) if margins else None
