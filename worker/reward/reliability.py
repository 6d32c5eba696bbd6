"""How far each annotator's answers are to be believed, learned together with what they prefer.

The joint model is `app.agree.reliability`: who reads is told from who answers by habit, by the
answers that others gave to the same pairs and by what a linear reward model on frozen features,
fitted to all other answers, expects of this one. So it works where no pair was answered twice.
"""

import random
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.agree.answers import Answers
from app.agree.reliability import Reliability as Fitted
from app.agree.reliability import reliability
from app.agree.verdict import verdicts
from worker.reward.data import Encoded
from worker.reward.frozen import FrozenFeatures, reduce_dimensions

FEWEST = 40
MOST_ROWS = 3000
_MOST_LISTED = 1000


class Reliability(StrEnum):
    """Estimated from the answers; left out, with the file's own weights too; only the file's."""

    AUTO = "auto"
    OFF = "off"
    GIVEN = "given"


@dataclass(frozen=True)
class Belief:
    """A factor for the weight of each comparison, [N] with mean 1, and how it came about.

    `posteriors` [N, 8] as in `Encoded`, known where a pair has several answers.
    """

    factors: Tensor
    posteriors: Tensor | None = None
    report: dict[str, Any] = field(default_factory=dict)


def weigh(
    data: Encoded, features: FrozenFeatures, how: Reliability, seed: int
) -> tuple[Encoded, dict[str, Any]]:
    """The comparisons with the weights that training gives them, and a report of how."""
    if how is Reliability.OFF:
        alike = everyone_alike(data, "left out, and weights of the file with it")
        return replace(data, weights=alike.factors), alike.report
    if how is Reliability.GIVEN:
        return data, everyone_alike(data, "weights are the file's own").report
    found = believe(data, features, seed=seed)
    weights = data.weights * found.factors
    return replace(data, weights=weights, posteriors=found.posteriors), found.report


def believe(data: Encoded, features: FrozenFeatures, *, seed: int) -> Belief:
    """Each answer's factor: its annotator's estimated reliability over the mean of all answers.

    At most 3,000 answers are read for it, spread evenly over annotators. Everyone counts the same
    where fewer than two annotators are known, or too few answers to tell them apart.
    """
    rows = sample_rows(data, seed)
    known = {data.annotators[row] for row in rows}
    if len(known) < 2 or len(rows) < FEWEST:
        return everyone_alike(data, "too few answers whose annotator is known")
    return judge(features.differences(rows), rows, data)


def everyone_alike(data: Encoded, why: str) -> Belief:
    """Nobody is believed more than others."""
    report = {"is_estimated": False, "why": why, "annotators": []}
    return Belief(torch.ones(len(data)), report=report)


def judge(differences: Tensor, rows: Sequence[int], data: Encoded) -> Belief:
    """The same for differences of features, [n, H], of the comparisons `rows` [n] of `data`."""
    names = sorted({data.annotators[row] for row in rows})
    answers, signs = as_answers(rows, data, names)
    towards_b = reduce_dimensions(differences.double() * signs[:, None])  # [n, D]
    first = np.unique(answers.pairs, return_index=True)[1]  # a row of each pair, [P]
    found = reliability(answers, towards_b.numpy()[first])
    place = {name: number for number, name in enumerate(names)}
    usual = float(found.mean[answers.people].mean())
    means = [float(found.mean[place[one]]) if one in place else usual for one in data.annotators]
    factors = torch.tensor(means, dtype=torch.float32)  # [N]
    factors = factors / factors.mean()
    counts: dict[str, int] = defaultdict(int)
    for one in data.annotators:
        counts[one] += 1
    scale = float(factors[0]) / means[0]
    listed: list[dict[str, Any]] = [
        {
            "annotator": name,
            "n": counts[name],
            "weight": round(float(found.mean[number]) * scale, 4),
            "reliability": round(float(found.mean[number]), 4),
            "low": round(float(found.low[number]), 4),
            "high": round(float(found.high[number]), 4),
        }
        for name, number in place.items()
    ]
    listed.sort(key=lambda one: one["weight"])
    posteriors = torch.zeros(len(data), 8)
    posteriors[list(rows)] = _posteriors(answers, found, signs)
    return Belief(factors, posteriors, _report(rows, data, answers, listed))


def _posteriors(answers: Answers, model: Fitted, signs: Tensor) -> Tensor:
    """What the next reader would say of each answer's pair, from chosen to rejected, [n, 8];
    0 where the pair has this answer alone."""
    of_pair = torch.from_numpy(verdicts(answers, model).posterior).float()  # [P, 8], from A to B
    found = of_pair[torch.from_numpy(answers.pairs)]  # [n, 8]
    found = torch.where(signs[:, None] > 0, found.flip(1), found)
    is_several = torch.from_numpy(answers.n_by_pair[answers.pairs] > 1)
    return found * is_several[:, None]


def _report(
    rows: Sequence[int], data: Encoded, answers: Answers, listed: list[dict[str, Any]]
) -> dict[str, Any]:
    n_unknown = sum(not one for one in data.annotators)
    return {
        "is_estimated": True,
        "how": (
            "the share of a person's answers that came from the pair and not from habit: judged "
            "by others' answers to the same pairs and by what a linear reward model on frozen "
            "features, fitted to all other answers, expects; the weight is that share over the "
            "mean of all answers"
        ),
        "n_answers_read": len(rows),
        "n_pairs_read": answers.n_pairs,
        "n_pairs_with_several_answers": int((answers.n_by_pair > 1).sum()),
        "n_annotators": len(listed),
        "n_without_annotator": n_unknown,
        "annotators": listed[:_MOST_LISTED],
    }


def as_answers(rows: Sequence[int], data: Encoded, names: Sequence[str]) -> tuple[Answers, Tensor]:
    """The comparisons on the 1-8 scale, and [n] +1 where B was chosen and −1 where A was.

    Which of two completions is A is decided by hashes: the order of a file may say who won.
    """
    where: dict[tuple[int, int], int] = {}
    person = {name: number for number, name in enumerate(names)}
    hashes: dict[int, bytes] = {}
    pairs, choices, signs = [], [], []
    for row in rows:
        chosen, rejected = int(data.chosen[row]), int(data.rejected[row])
        for one in (chosen, rejected):
            hashes.setdefault(one, _hash(data, one))
        is_b = hashes[chosen] > hashes[rejected]
        key = (rejected, chosen) if is_b else (chosen, rejected)
        pairs.append(where.setdefault(key, len(where)))
        strength = min(4, max(1, round(float(data.strengths[row]))))
        choices.append(3 + strength if is_b else 4 - strength)
        signs.append(1.0 if is_b else -1.0)
    answers = Answers(
        np.array(pairs),
        np.array([person[data.annotators[row]] for row in rows]),
        np.array(choices),
        np.zeros(len(rows), dtype=bool),
        len(where),
        len(names),
    )
    return answers, torch.tensor(signs, dtype=torch.double)


def _hash(data: Encoded, index: int) -> bytes:
    return blake2b(str(data.sequences[index]).encode(), digest_size=16).digest()


def sample_rows(data: Encoded, seed: int) -> list[int]:
    """At most 3,000 rows with an annotator, evenly over people; a pair comes with all its answers,
    because answers to one pair say most about each other."""
    rows = [row for row, name in enumerate(data.annotators) if name]
    if len(rows) <= MOST_ROWS:
        return rows
    random.Random(f"annotators {seed}").shuffle(rows)  # noqa: S311 (no secret)
    of_pair: dict[tuple[int, int], list[int]] = defaultdict(list)
    of_person: dict[str, deque[int]] = defaultdict(deque)
    for row in rows:
        of_pair[_pair(data, row)].append(row)
        of_person[data.annotators[row]].append(row)
    taken: dict[int, None] = {}
    waiting = deque(of_person.values())
    while waiting and len(taken) < MOST_ROWS:
        mine = waiting.popleft()
        while mine and mine[0] in taken:
            mine.popleft()
        if mine:
            taken.update(dict.fromkeys(of_pair[_pair(data, mine.popleft())]))
            waiting.append(mine)
    return sorted(taken)


def _pair(data: Encoded, row: int) -> tuple[int, int]:
    one, two = int(data.chosen[row]), int(data.rejected[row])
    return min(one, two), max(one, two)
