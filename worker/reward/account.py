"""The honest account of a reward model: where it agrees with people, how sure it is, what it likes.

Everything here is arithmetic over held-out comparisons and the scores of their two completions.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.reward.data import Preference
from worker.reward.evaluate import N_BINS, accuracy
from worker.reward.features import NAMES, feature_differences

# A model's taste for a feature may differ from people's by this much. Bharadwaj et al., “Flattery,
# fluff, and fog”, arXiv 2506.05339, measured −0.12 for people and +0.36 for reward models.
ALARMING_GAP = 0.2
_FEWEST_FOR_A_GAP = 30
_MOST_NAMES = 24
_N_DRAWS = 1000
_MOST_CLUSTERS = 4000
Floats = NDArray[np.float64]


def give_account(
    train: Sequence[Preference], held_out: Sequence[Preference], margins: Tensor, seed: int = 0
) -> dict[str, Any]:
    """What joins a run's held-out figures: curve, breakdowns, features, people's own agreement.

    margins: [N], the score of what people preferred less the other's, one a held-out row.
    """
    kept = [index for index, row in enumerate(held_out) if not row.is_tie]
    rows, right = [held_out[index] for index in kept], margins[kept].float()  # [N] → [kept]
    return {
        "calibration": calibration_curve(right),
        "by_flag": breakdown(rows, right, lambda row: row.flags or ("",)),
        "by_annotator": breakdown(rows, right, lambda row: (row.annotator,)),
        "features": feature_gaps(held_out, margins, seed),
        "agreement": people_agreement([*train, *held_out]),
    }


def calibration_curve(margins: Tensor) -> list[dict[str, float]]:
    """Mean confidence and accuracy of each bin of the calibration error; [N] → at most 10 rows.

    Confidence is max(p, 1 − p) with p = σ(margin), in bins of equal width from 0.5 to 1.
    """
    p = torch.sigmoid(margins)
    confidence = torch.maximum(p, 1 - p)
    right = (margins > 0).float() + 0.5 * (margins == 0).float()
    bins = ((confidence - 0.5) * 2 * N_BINS).long().clamp(max=N_BINS - 1)
    return [
        {
            "confidence": float(confidence[bins == one].mean()),
            "accuracy": float(right[bins == one].mean()),
            "n": int((bins == one).sum()),
        }
        for one in range(N_BINS)
        if bool((bins == one).any())
    ]


def breakdown(
    rows: Sequence[Preference], margins: Tensor, names: Callable[[Preference], Iterable[str]]
) -> dict[str, dict[str, Any]]:
    """Accuracy among the rows of each name, the most frequent first; a row may have several."""
    places: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        for name in names(row):
            places[name].append(index)
    frequent = sorted(places, key=lambda name: (-len(places[name]), name))[:_MOST_NAMES]
    return {name: accuracy(margins[places[name]]) for name in frequent}


def people_agreement(rows: Iterable[Preference]) -> dict[str, Any]:
    """How often a second person takes the side of the first, over pairs that several answered.

    The ceiling of any model's accuracy on single answers. `by_strength` asks it of first answers
    of one strength. Each pair counts once, so that standard errors are over pairs.
    """
    answers: dict[tuple[str, ...], list[tuple[bool, int]]] = defaultdict(list)
    for row in rows:
        if not row.is_tie:
            key, is_first = pair_key(row)
            answers[key].append((is_first, round(row.strength)))
    shares: dict[str, list[float]] = defaultdict(list)
    for given in answers.values():
        if len(given) > 1:
            _add_shares(given, shares)
    overall = _mean_share(shares.pop("all", []))
    return {**overall, "by_strength": {key: _mean_share(shares[key]) for key in sorted(shares)}}


def pair_key(row: Preference) -> tuple[tuple[str, ...], bool]:
    """What two answers to one pair have in common, and whether the first in order was preferred."""
    sides = ["\n".join(message["content"] for message in one) for one in (row.chosen, row.rejected)]
    prompt = (f"{message['role']}: {message['content']}" for message in row.prompt)
    return (*prompt, *sorted(sides)), sides[0] <= sides[1]


def _add_shares(given: Sequence[tuple[bool, int]], shares: dict[str, list[float]]) -> None:
    """Add one pair's share of agreeing others, over all its answers and over each strength's."""
    of_first = sum(is_first for is_first, _ in given)
    agreeing: dict[str, list[float]] = defaultdict(list)
    for is_first, strength in given:
        n_like = (of_first if is_first else len(given) - of_first) - 1
        agreeing[str(strength)].append(n_like / (len(given) - 1))
    for key, values in agreeing.items():
        shares[key].append(sum(values) / len(values))
    together = [value for values in agreeing.values() for value in values]
    shares["all"].append(sum(together) / len(together))


def _mean_share(values: Sequence[float]) -> dict[str, Any]:
    array = np.asarray(values, dtype=float)
    n = len(array)
    return {
        "share": float(array.mean()) if n else None,
        "standard_error": float(array.std(ddof=1) / n**0.5) if n > 1 else None,
        "n_pairs": n,
    }


def feature_gaps(
    rows: Sequence[Preference], margins: Tensor, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """For each feature, how it goes with the model's margins and with people's ratings.

    Correlations are of differences between the two completions of a pair, over both of its orders,
    so that which one is called A does not matter: Σ fh / √(Σ f² Σ h²), with h the rating's distance
    from the middle of the scale, 0 where people found both as good. `gap` is the model's less
    people's, with its 95% interval by resampling pairs; None where a feature never differs.
    """
    if not rows:
        return {}
    differences = [feature_differences(row.chosen, row.rejected) for row in rows]
    f = np.array([[one[name] for name in NAMES] for one in differences], dtype=float)  # [N, F]
    h = np.array([0.0 if row.is_tie else row.strength - 0.5 for row in rows])[:, None]  # [N, 1]
    m = margins.double().numpy()[:, None]  # [N, 1]
    # Length in words has long tails: its sign-keeping logarithm is what correlates.
    f[:, 0] = np.sign(f[:, 0]) * np.log1p(np.abs(f[:, 0]))
    sums = _by_cluster(
        np.concatenate([f * h, f * m, f * f, h * h, m * m], axis=1), [pair_key(r)[0] for r in rows]
    )  # [N, 3F + 2] → [pairs, 3F + 2]
    whole = _correlations(sums.sum(axis=0, keepdims=True))[:, 0]  # [2, F]
    drawn = _correlations(_resample(sums, seed))  # [2, draws, F]
    low, high = np.nanpercentile(_quiet(drawn[1] - drawn[0]), [2.5, 97.5], axis=0)  # [F], [F]
    n = len(sums)
    return {
        name: {
            "people": _known(whole[0, place]),
            "model": _known(whole[1, place]),
            "gap": _known(whole[1, place] - whole[0, place]),
            "low": _known(low[place] + 0 * whole[0, place]),
            "high": _known(high[place] + 0 * whole[0, place]),
            "n_differ": int((f[:, place] != 0).sum()),
            "is_alarming": bool(
                n >= _FEWEST_FOR_A_GAP
                and abs(whole[1, place] - whole[0, place]) > ALARMING_GAP
                and (low[place] > 0 or high[place] < 0)
            ),
        }
        for place, name in enumerate(NAMES)
    }


def _by_cluster(values: Floats, keys: Sequence[tuple[str, ...]]) -> Floats:
    """Sums of the rows of each key, [N, K] → [clusters, K]: answers to one pair stay together."""
    numbers = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    out = np.zeros((len(numbers), values.shape[1]))
    np.add.at(out, [numbers[key] for key in keys], values)
    return out


def _resample(sums: Floats, seed: int) -> Floats:
    """Sums over resampled clusters, [C, K] → [draws, K]."""
    stream = np.random.default_rng(seed)
    sums = sums[:_MOST_CLUSTERS]
    weights = stream.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=_N_DRAWS)
    drawn: Floats = weights @ sums
    return drawn


def _correlations(sums: Floats) -> Floats:
    """People's and the model's correlation with each feature, [D, 3F + 2] → [2, D, F]."""
    n = len(NAMES)
    fh, fm, ff = sums[:, :n], sums[:, n : 2 * n], sums[:, 2 * n : 3 * n]
    hh, mm = sums[:, [3 * n]], sums[:, [3 * n + 1]]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([fh / np.sqrt(ff * hh), fm / np.sqrt(ff * mm)])


def _quiet(values: Floats) -> Floats:
    """Columns that are NaN throughout as 0, so that no percentile warns; the caller's are NaN."""
    return np.where(np.isnan(values).all(axis=0), 0.0, values)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
