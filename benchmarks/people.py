"""Simulated people whose care is known: a linear utility, noisy readers, and those who do not read.

Readers differ in noise, threshold and use of the scale; they pick the truly better side about 81
times in 100, and two of them the same side about 74 times: the middle of what is published.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.agree.answers import Answers

DIMENSIONS = 32
CARELESS = {"random": 0.0, "straight": 0.0, "left": 0.0, "half": 0.5}


@dataclass(frozen=True)
class World:
    """`features` [N, 32] and `utility` [N] and `is_diverging` [N] of the pairs; `is_bad` [J]."""

    answers: Answers
    features: NDArray[np.float64]
    utility: NDArray[np.float64]
    is_bad: NDArray[np.bool_]
    is_diverging: NDArray[np.bool_]


def world(
    seed: int,
    n_each: int,
    bad: Sequence[str] = (),
    *,
    n_people: int = 20,
    overlap: int = 3,
    people_seed: int | None = None,
    diverging: float = 0.0,
    features: NDArray[np.float64] | None = None,
) -> World:
    """About `n_each` answers by everyone; the first `len(bad)` people are of those kinds.

    A `people_seed` keeps the people and draws other pairs. On a share of `diverging` pairs half of
    the people want firmly the one side and half the other; their utility is 0. Pairs may bring
    their own `features` [N, D], independent and of size 1, in which the utility is linear.
    """
    rng = np.random.default_rng(seed)
    own = np.random.default_rng([seed if people_seed is None else people_seed, 1])
    n_pairs = round(n_people * n_each / overlap)
    taste = rng.normal(size=DIMENSIONS if features is None else features.shape[1])
    if features is None:
        features = rng.normal(size=(n_pairs, DIMENSIONS))
    utility = features @ (taste / np.linalg.norm(taste))
    pairs, people = _assign(rng, n_pairs, n_people, overlap)
    is_flipped = rng.random(len(pairs)) < 0.5
    is_diverging = rng.random(n_pairs) < diverging
    utility[is_diverging] = 0
    camp = np.where(own.random(n_people) < 0.5, 1.6, -1.6)
    felt = np.where(is_diverging[pairs], camp[people], utility[pairs])
    choices = _read(rng, own, felt, people, n_people)
    for person, kind in enumerate(bad):
        mine = people == person
        choices[mine] = _careless(rng, kind, choices[mine], is_flipped[mine])
    answers = Answers(pairs, people, choices, is_flipped, n_pairs, n_people)
    is_bad = np.arange(n_people) < len(bad)
    return World(answers, features, utility, is_bad, is_diverging)


def _assign(
    rng: np.random.Generator, n_pairs: int, n_people: int, overlap: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every pair to the `overlap` people who have fewest, by lot among equals."""
    taken = np.zeros(n_people)
    people = np.empty((n_pairs, overlap), dtype=np.int64)
    for pair in range(n_pairs):
        people[pair] = np.argsort(taken + rng.random(n_people))[:overlap]
        taken[people[pair]] += 1
    return np.repeat(np.arange(n_pairs), overlap), people.ravel()


def _read(
    rng: np.random.Generator,
    own: np.random.Generator,
    utility: NDArray[np.float64],
    people: NDArray[np.int64],
    n_people: int,
) -> NDArray[np.int64]:
    noise = 0.65 * np.exp(0.25 * own.normal(size=n_people))
    threshold, stretch = 0.15 * own.normal(size=n_people), np.exp(0.25 * own.normal(size=n_people))
    felt = utility + noise[people] * rng.normal(size=len(people)) + threshold[people]
    return np.clip(np.floor(4 + 1.6 * stretch[people] * felt), 0, 7).astype(np.int64)


def _careless(
    rng: np.random.Generator,
    kind: str,
    honest: NDArray[np.int64],
    is_flipped: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Answers of one kind, canonical; `half` reads every other pair, `inverted` reads the scale
    the wrong way round."""
    if kind == "inverted":
        return 7 - honest
    n = len(honest)
    if kind == "straight":
        shown = np.full(n, rng.integers(2, 6))
    elif kind == "left":
        shown = np.where(rng.random(n) < 0.9, rng.integers(0, 4, n), rng.integers(4, 8, n))
    else:
        shown = rng.integers(0, 8, n)
    choices = np.where(is_flipped, 7 - shown, shown)
    return np.where(rng.random(n) < CARELESS[kind], honest, choices)
