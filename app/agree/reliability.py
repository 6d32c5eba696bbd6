"""Whose answers follow from the pairs, and how much each answer should weigh.

A joint model of what pairs are and who reads them. A pair has a utility u; a reading person
feels u plus noise and answers by cut points; a person who does not read answers by habit
(`app.agree.mixture`). Reliability is the share of a person's answers that came from the pair.
Where items have features (say, differences of embeddings), u is predicted from everyone's other
answers by ridge regression, so that no pair needs a second answer; where pairs have several
answers, these inform u directly. Both work together.

After X. Chen et al., "Pairwise Ranking Aggregation in a Crowdsourced Setting" (Crowd-BT, 2013), and
V. Raykar et al., "Learning From Crowds" (2010): a classifier and its teachers, learned jointly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.agree.answers import Answers, tally
from app.agree.exact import NORMAL, Floats, normal_cdf
from app.agree.mixture import TINY, Expected, expect, learn_habit, learn_reliability, normalise
from app.agree.ridge import Predicted, leave_one_out

NODES = np.linspace(-2.75, 2.75, 23)
# While learning: most people read, which is worth two answers.
READS = (1.8, 0.2)
COPIES = (2.0, 2.0)
STEPS = 40
CLOSE = 1e-3
GRID = (np.arange(80) + 0.5) / 80
# When judging: four people in five read nine answers in ten or so, so that few answers condemn
# nobody; the fifth may do anything, so that many answers are believed.
JUDGED = 0.8 * 9 * GRID**8 + 0.2
# Readers differ in noise and in how far apart their cut points lie, by factors of this order.
OWN_WAYS = ((0.65, 0.25), (1.0, 0.5), (1.5, 0.25))


@dataclass(frozen=True)
class Reliability:
    """Reliability [J] with its 95% interval, and weights [M].

    `was_read` [M] is the posterior chance that one answer came from the pair; `states` [N, G] each
    pair's posterior over `nodes` [G] of utility (over choices, for `copying`); `kernel` [G, K] what
    a reader answers there. `noise` is the share of a reader's variance that is not the pair's.
    """

    mean: Floats
    low: Floats
    high: Floats
    weights: Floats
    was_read: Floats
    states: Floats
    nodes: Floats
    kernel: Floats
    noise: float


def reliability(answers: Answers, features: Floats | None = None) -> Reliability:
    """Fit the joint model; `features` [N, D] describe each pair, B less A, where there are any.

    A weight is reliability × strength, scaled to a mean of 1. In `benchmarks/agreement.py`, 900
    answers with 15% spammers gain about two points of a reward model's held-out accuracy by it,
    and without spammers about one, from strength alone. Without features, pairs with a
    single answer say next to nothing about anyone.

    The intervals hold pairs fixed and are a little too narrow for it: of people who read every
    other pair they cover about nine in ten.
    """
    theta = np.full(answers.n_people, READS[0] / sum(READS))
    read = theta[answers.people]
    scores = normal_scores(answers)
    predicted = Predicted.nothing(answers.n_pairs)
    habit = learn_habit(answers, np.zeros(len(answers.pairs)))
    for _ in range(STEPS):
        if features is not None:
            predicted = leave_one_out(features, *_pair_scores(answers, scores, read))
        signal = _signal(answers, scores, theta, predicted.explained)
        kernel = reader_kernel(answers, read, 1 - signal)
        log_prior = _gaussian(predicted, signal)
        expected = expect(answers, log_prior, kernel, theta, habit)
        read = expected.was_read(answers, theta)
        habit = learn_habit(answers, read)
        previous, theta = theta, learn_reliability(answers, read, READS)
        if np.abs(theta - previous).max() < CLOSE:
            break
    ways = [
        (reader_kernel(answers, read, (1 - signal) * noise, spread), p * q)
        for noise, p in OWN_WAYS
        for spread, q in OWN_WAYS
    ]
    mean, low, high = posterior(answers, expected, ways, JUDGED)
    return Reliability(
        *(mean, low, high),
        *(weigh(answers, mean), read, expected.states),
        *(NODES, kernel, 1 - signal),
    )


def copying(answers: Answers) -> Reliability:
    """The same for choices without a scale between them: a reader gives the pair's one answer.

    MACE with a Beta(2, 2) prior on reliability and learned shares of the answers. `states` [N, K].
    """
    theta = np.full(answers.n_people, 0.7)
    habit = learn_habit(answers, np.zeros(len(answers.pairs)))
    shares = tally(answers).sum(axis=0) / max(len(answers.pairs), 1)  # [K]
    kernel = np.eye(answers.n_choices)
    for _ in range(STEPS):
        log_prior = np.tile(np.log(shares + 1e-9), (answers.n_pairs, 1))  # [K] → [N, K]
        expected = expect(answers, log_prior, kernel, theta, habit)
        read = expected.was_read(answers, theta)
        habit, shares = learn_habit(answers, read), expected.states.mean(axis=0)
        previous, theta = theta, learn_reliability(answers, read, COPIES)
        if np.abs(theta - previous).max() < CLOSE:
            break
    prior = GRID ** (COPIES[0] - 1) * (1 - GRID) ** (COPIES[1] - 1)
    mean, low, high = posterior(answers, expected, [(kernel, 1.0)], prior)
    return Reliability(
        *(mean, low, high),
        *(weigh(answers, mean), read, expected.states),
        *(np.arange(float(answers.n_choices)), kernel, 0.0),
    )


def normal_scores(answers: Answers) -> Floats:
    """Each answer [M] as the mean of its slice of a standard normal, cut by the project's shares.

    Mean 0 and variance below 1; ordered as the scale, and no further apart than its use says.
    """
    given = np.bincount(answers.choices, minlength=answers.n_choices)
    shares = given / max(len(answers.choices), 1)
    heights = [_density(cut) for cut in cut_points(shares)]
    middles = -np.diff(heights) / np.maximum(shares, 1e-12)
    return np.asarray(middles[answers.choices])


def cut_points(shares: Floats) -> Floats:
    """Where a standard normal is cut [K + 1] so that its slices have `shares` [K]."""
    below = np.clip(np.cumsum(shares)[:-1], 1e-9, 1 - 1e-9)
    return np.asarray([-np.inf, *(NORMAL.inv_cdf(float(one)) for one in below), np.inf])


def reader_kernel(answers: Answers, read: Floats, noise: float, spread: float = 1.0) -> Floats:
    """What a reader answers at each node of utility, [G, K], for the shares of answers read.

    Cut points further apart (a `spread` above 1) leave the ends of the scale to stronger feelings.
    """
    shares = np.bincount(answers.choices, read, answers.n_choices) + 0.5
    cuts = cut_points(shares / shares.sum())
    below = normal_cdf((spread * cuts[None, :] - NODES[:, None]) / np.sqrt(noise))  # [G, K + 1]
    return np.asarray(np.maximum(np.diff(below, axis=1), 1e-12))


def _density(x: float) -> float:
    return NORMAL.pdf(x) if np.isfinite(x) else 0.0


def _pair_scores(answers: Answers, scores: Floats, read: Floats) -> tuple[Floats, Floats]:
    """Each pair's mean score [N] and how many answers' worth it is [N]."""
    weight = np.bincount(answers.pairs, read, answers.n_pairs).astype(np.float64)
    total = np.bincount(answers.pairs, read * scores, answers.n_pairs)
    return np.asarray(total / np.maximum(weight, 1e-9)), weight


def _signal(answers: Answers, scores: Floats, theta: Floats, explained: float) -> float:
    """The share of a reader's variance that is the pair's, from pairs with several answers.

    Two answers of one pair have covariance θ θ' times this share. The typical person is taken to
    read: noise that everyone shares cannot be told from inattention that everyone shares. Without
    such pairs, what features explain and a tenth of the rest.
    """
    reads = np.minimum(theta / np.median(theta), 1.0)[answers.people]
    together = np.bincount(answers.pairs, reads * scores, answers.n_pairs) ** 2
    alone = np.bincount(answers.pairs, (reads * scores) ** 2, answers.n_pairs)
    worth = np.bincount(answers.pairs, reads**2, answers.n_pairs) ** 2
    less = np.bincount(answers.pairs, reads**4, answers.n_pairs)
    pairs_of_answers = float((worth - less).sum())
    scale = max(float((scores**2).sum()) / max(len(scores), 1), 1e-9)
    if pairs_of_answers < 1:
        return float(np.clip(0.9 * explained / scale + 0.1, 0.1, 0.9))
    found = float((together - alone).sum()) / pairs_of_answers / scale
    return float(np.clip(found, 0.1, 0.9))


def _gaussian(predicted: Predicted, signal: float) -> Floats:
    """The log prior [N, G] of utility at the nodes, around what features predict."""
    spread = np.maximum(signal - predicted.explained, 0.03) + predicted.variance  # [N]
    return np.asarray(-((NODES[None, :] - predicted.mean[:, None]) ** 2) / (2 * spread[:, None]))


def weigh(answers: Answers, mean: Floats) -> Floats:
    """Reliability × strength of each answer [M], with a mean of 1."""
    worth = mean[answers.people] * answers.strengths
    return np.asarray(worth / np.maximum(worth.sum() / max(len(worth), 1), 1e-9))


def posterior(
    answers: Answers,
    expected: Expected,
    ways: Sequence[tuple[Floats, float]],
    prior: Floats,
) -> tuple[Floats, Floats, Floats]:
    """Each person's reliability [J]: its mean and 95% interval, what pairs are held fixed.

    `prior` weighs the places of `GRID`, in any unit.
    A person may answer in any of several `ways`, kernels [G, K] with a prior chance each; they are
    averaged over, so that a noisy reader or a user of extremes is not taken for a careless one.
    """
    by_way = []
    for kernel, chance in ways:
        read = (expected.others * kernel.T[answers.choices]).sum(axis=1)  # [M]
        logs = np.tile(np.log(prior * chance), (answers.n_people, 1))  # [J, grid]
        for column, theta in enumerate(GRID):
            one = np.log(theta * read + (1 - theta) * expected.habit + TINY)
            logs[:, column] += np.bincount(answers.people, one, answers.n_people)
        by_way.append(logs)
    chances = normalise(np.hstack(by_way))  # [J, ways * grid]
    chances = chances.reshape(answers.n_people, len(ways), len(GRID)).sum(axis=1)  # [J, grid]
    so_far = np.cumsum(chances, axis=1)
    ends = [np.minimum((so_far < share).sum(axis=1), len(GRID) - 1) for share in (0.025, 0.975)]
    return np.asarray(chances @ GRID), GRID[ends[0]], GRID[ends[1]]
