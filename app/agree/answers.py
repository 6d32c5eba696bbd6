"""M answers of J people to N pairs, as arrays: what reliability, scrutiny and verdicts read."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Answers:
    """One row an answer. `pairs`, `people` and `choices` are [M], numbered from 0.

    A choice is canonical and ordered from A to B: rating less 1 on the 1-8 scale (K = 8), or
    a, equal, b (K = 3). `is_flipped` [M] is true where B was shown on the left.
    """

    pairs: Integers
    people: Integers
    choices: Integers
    is_flipped: Booleans
    n_pairs: int
    n_people: int
    n_choices: int = 8

    @property
    def shown(self) -> Integers:
        """The choice as it stood on the page, [M]: 0 is far left."""
        return np.where(self.is_flipped, self.n_choices - 1 - self.choices, self.choices)

    @property
    def strengths(self) -> NDArray[np.float64]:
        """How much better the chosen side is, [M]: 1 (close) to 4 on the 1-8 scale."""
        return np.asarray(np.abs(self.choices - (self.n_choices - 1) / 2) + 0.5)

    @property
    def n_by_person(self) -> Integers:
        return np.bincount(self.people, minlength=self.n_people)

    @property
    def n_by_pair(self) -> Integers:
        return np.bincount(self.pairs, minlength=self.n_pairs)


def tally(answers: Answers, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """How often each choice was given to each pair, [N, K], counted with `weights` [M]."""
    cell = answers.pairs * answers.n_choices + answers.choices
    size = answers.n_pairs * answers.n_choices
    counts = np.bincount(cell, weights, minlength=size).astype(np.float64)
    return counts.reshape(answers.n_pairs, answers.n_choices)  # [N * K] → [N, K]
