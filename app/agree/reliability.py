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

from dataclasses import dataclass

import numpy as np

from app.agree.answers import Answers, tally
from app.agree.exact import NORMAL, Floats, normal_cdf
from app.agree.mixture import Expected, expect, learn_habits, learn_reliability, normalise
from app.agree.ridge import Predicted, leave_one_out

NODES = np.linspace(-2.75, 2.75, 23)
# Most people read. Worth five answers, so that few answers condemn nobody.
READS = (4.5, 0.5)
COPIES = (2.0, 2.0)
STEPS = 40
CLOSE = 1e-3
GRID = (np.arange(200) + 0.5) / 200


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

    A weight is reliability × strength, scaled to a mean of 1: in simulation it is worth 1.8 times
    the answers at 15% spammers and costs nothing without any. Without features, pairs with a
    single answer say nothing about anyone.
    """
    theta = np.full(answers.n_people, READS[0] / sum(READS))
    read = theta[answers.people]
    scores = normal_scores(answers)
    predicted = Predicted.nothing(answers.n_pairs)
    habits = learn_habits(answers, np.zeros(len(answers.pairs)))
    for _ in range(STEPS):
        if features is not None:
            predicted = leave_one_out(features, *_pair_scores(answers, scores, read))
        signal = _signal(answers, scores, theta, predicted.explained)
        kernel = reader_kernel(answers, read, 1 - signal)
        log_prior = _gaussian(predicted, signal)
        expected = expect(answers, log_prior, kernel, theta, habits)
        read = expected.was_read(answers, theta)
        habits = learn_habits(answers, read)
        previous, theta = theta, learn_reliability(answers, read, READS)
        if np.abs(theta - previous).max() < CLOSE:
            break
    return _finish(answers, expected, read, READS, (NODES, kernel, 1 - signal))


def copying(answers: Answers) -> Reliability:
    """The same for choices without a scale between them: a reader gives the pair's one answer.

    MACE with a Beta(2, 2) prior on reliability and learned shares of the answers. `states` [N, K].
    """
    theta = np.full(answers.n_people, 0.7)
    habits = learn_habits(answers, np.zeros(len(answers.pairs)))
    shares = tally(answers).sum(axis=0) / len(answers.pairs)  # [K]
    kernel = np.eye(answers.n_choices)
    for _ in range(STEPS):
        log_prior = np.tile(np.log(shares + 1e-9), (answers.n_pairs, 1))  # [K] → [N, K]
        expected = expect(answers, log_prior, kernel, theta, habits)
        read = expected.was_read(answers, theta)
        habits, shares = learn_habits(answers, read), expected.states.mean(axis=0)
        previous, theta = theta, learn_reliability(answers, read, COPIES)
        if np.abs(theta - previous).max() < CLOSE:
            break
    nodes = np.arange(float(answers.n_choices))
    return _finish(answers, expected, read, COPIES, (nodes, kernel, 0.0))


def normal_scores(answers: Answers) -> Floats:
    """Each answer [M] as the mean of its slice of a standard normal, cut by the project's shares.

    Mean 0 and variance below 1; ordered as the scale, and no further apart than its use says.
    """
    shares = np.bincount(answers.choices, minlength=answers.n_choices) / len(answers.choices)
    heights = [_density(cut) for cut in cut_points(shares)]
    middles = -np.diff(heights) / np.maximum(shares, 1e-12)
    return np.asarray(middles[answers.choices])


def cut_points(shares: Floats) -> Floats:
    """Where a standard normal is cut [K + 1] so that its slices have `shares` [K]."""
    below = np.clip(np.cumsum(shares)[:-1], 1e-9, 1 - 1e-9)
    return np.asarray([-np.inf, *(NORMAL.inv_cdf(float(one)) for one in below), np.inf])


def reader_kernel(answers: Answers, read: Floats, noise: float) -> Floats:
    """What a reader answers at each node of utility, [G, K], for the shares of answers read."""
    shares = np.bincount(answers.choices, read, answers.n_choices) + 0.5
    cuts = cut_points(shares / shares.sum())
    below = normal_cdf((cuts[None, :] - NODES[:, None]) / np.sqrt(noise))  # [G, K + 1]
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
    least = explained + 0.1 * (1 - explained)
    if pairs_of_answers < 1:
        return min(least, 0.9)
    scale = float((scores**2).mean())
    found = float((together - alone).sum()) / pairs_of_answers / scale
    return float(np.clip(found, max(0.1, min(least, 0.9)), 0.9))


def _gaussian(predicted: Predicted, signal: float) -> Floats:
    """The log prior [N, G] of utility at the nodes, around what features predict."""
    spread = np.maximum(signal - predicted.explained, 0.03) + predicted.variance  # [N]
    return np.asarray(-((NODES[None, :] - predicted.mean[:, None]) ** 2) / (2 * spread[:, None]))


def _finish(
    answers: Answers,
    expected: Expected,
    read: Floats,
    prior: tuple[float, float],
    model: tuple[Floats, Floats, float],
) -> Reliability:
    mean, low, high = posterior(answers, expected, prior)
    worth = mean[answers.people] * answers.strengths
    nodes, kernel, noise = model
    weights = worth / max(float(worth.mean()), 1e-9)
    return Reliability(mean, low, high, weights, read, expected.states, nodes, kernel, noise)


def posterior(
    answers: Answers, expected: Expected, prior: tuple[float, float]
) -> tuple[Floats, Floats, Floats]:
    """Each person's reliability [J] on a grid, all else held: its mean and its 95% interval."""
    log_theta = (prior[0] - 1) * np.log(GRID) + (prior[1] - 1) * np.log1p(-GRID)
    logs = np.tile(log_theta, (answers.n_people, 1))  # [J, 200]
    for column, theta in enumerate(GRID):
        one = np.log(theta * expected.read + (1 - theta) * expected.habit + 1e-300)
        logs[:, column] += np.bincount(answers.people, one, answers.n_people)
    chances = normalise(logs)
    so_far = np.cumsum(chances, axis=1)
    return (
        np.asarray(chances @ GRID),
        GRID[np.minimum((so_far < 0.025).sum(axis=1), len(GRID) - 1)],
        GRID[np.minimum((so_far < 0.975).sum(axis=1), len(GRID) - 1)],
    )
