"""What the answers to a pair say together, with their doubt; nothing becomes a majority.

A verdict is a distribution over the eight ratings: what the next person who reads would answer.
Its base is the joint model's opinion, worth two answers (one utility, so one hump); each answer
adds itself, worth its annotator's reliability. So a pair on which people truly differ keeps two
humps.
"""

from dataclasses import dataclass

import numpy as np

from app.agree.answers import Answers, Booleans, Integers, tally
from app.agree.exact import Floats
from app.agree.reliability import Reliability

# How many answers the joint model's opinion of a pair is worth (a Dirichlet's concentration).
BASE = 2.0
LEAST_SHARE = 0.3
LEAST_STRENGTH = 2.0
# A side must be held by at least half a reader: one person who mostly reads.
LEAST_READERS = 0.5


@dataclass(frozen=True)
class Verdicts:
    """`posterior` [N, 8] over ratings 1 to 8, its `mean` and `variance` [N], and `n` answers [N].

    `is_diverging`: people who read stand firmly on both sides. `is_noisy`: the sides are split, but
    weakly, or one of them is held by people who mostly do not read. Never both. Below two answers
    both are False, and say nothing.
    """

    posterior: Floats
    mean: Floats
    variance: Floats
    n: Integers
    is_diverging: Booleans
    is_noisy: Booleans


def verdicts(answers: Answers, model: Reliability) -> Verdicts:
    """The verdict on each pair of the 1-8 scale. `model` is `app.agree.reliability.reliability`'s.

    The base has learned from the same answers (empirical Bayes), so a verdict on a single answer is
    a little surer than it should be.
    """
    reads = model.mean[answers.people]
    given = tally(answers, reads)  # [N, 8]
    base = model.states @ model.kernel  # [N, G] @ [G, 8] → [N, 8]
    posterior = BASE * base + given
    posterior /= posterior.sum(axis=1, keepdims=True)
    ratings = np.arange(1.0, answers.n_choices + 1)
    mean = posterior @ ratings
    variance = posterior @ ratings**2 - mean**2
    is_split = _both_sides(tally(answers))
    is_diverging = _is_diverging(given)
    is_noisy = is_split & ~is_diverging
    return Verdicts(posterior, mean, variance, answers.n_by_pair, is_diverging, is_noisy)


def three_way(answers: Answers, model: Reliability) -> Floats:
    """The posterior [N, 3] over a better, equal, b better; `model` is `copying`'s fit.

    Where choices have no scale between them, a reader is taken to give the pair's one answer.
    """
    if model.states.shape != (answers.n_pairs, answers.n_choices):
        raise ValueError("The model was fitted to other answers; fit `copying` to these.")
    return model.states


def _both_sides(given: Floats) -> Booleans:
    """Each side holds three in ten of the weight in `given` [N, K]."""
    sides = _sides(given)  # [N, 2]
    shares = sides / np.maximum(sides.sum(axis=1, keepdims=True), 1e-9)
    return np.asarray((shares >= LEAST_SHARE).all(axis=1))


def _is_diverging(given: Floats) -> Booleans:
    """Both sides hold three in ten, each with a mean strength of 2 and half a reader or more.

    M. Zhang et al., "Diverging Preferences" (ICML 2025), with answers counted by reliability.
    """
    n_choices = given.shape[1]
    strengths = np.abs(np.arange(n_choices) - (n_choices - 1) / 2) + 0.5  # [K]
    sides = _sides(given)
    firm = _sides(given * strengths) / np.maximum(sides, 1e-9) >= LEAST_STRENGTH  # [N, 2]
    is_held = sides >= LEAST_READERS
    return np.asarray(_both_sides(given) & firm.all(axis=1) & is_held.all(axis=1))


def _sides(given: Floats) -> Floats:
    """The weight on each half of the scale, [N, K] → [N, 2]."""
    half = given.shape[1] // 2
    return np.stack([given[:, :half].sum(axis=1), given[:, half:].sum(axis=1)], axis=1)
