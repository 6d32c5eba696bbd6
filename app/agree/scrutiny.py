"""Who answers unlike everyone else: leave-one-out agreement, beside the other evidence.

Each answer is set against the mean of the *other* people's answers to the same pair, weighted by
how well those people agree themselves. A person's correlation is compared with the typical
person's, not with none: whoever reads, but differs somewhat, is no finding.
"""

import math
from dataclasses import dataclass

import numpy as np

from app.agree.answers import Answers, Integers
from app.agree.evidence import RATE, Evidence, Kind, position, sameness, speed
from app.agree.evidence import gold as gold_evidence
from app.agree.exact import NORMAL, Floats, discoveries
from app.agree.reliability import normal_scores

FEWEST_SHARED = 20
# Agreeing at more than this share of the typical correlation is being noisy, not careless.
MATERIAL = 0.6
# Honest people differ: the least standard deviation of their z-transformed correlations.
LEAST_SPREAD = 0.1
PASSES = 3


@dataclass(frozen=True)
class Gold:
    right: list[int]
    asked: list[int]


@dataclass(frozen=True)
class Pace:
    """Active seconds and words to read, [M] each."""

    seconds: Floats
    words: Floats


def scrutinise(
    answers: Answers, pace: Pace | None = None, gold: Gold | None = None
) -> list[list[Evidence]]:
    """All evidence about each person, a list a person, one of each kind that there is data for."""
    kinds = [leave_one_out(answers), position(answers), sameness(answers)]
    if pace is not None:
        kinds.append(speed(answers, pace.seconds, pace.words))
    if gold is not None:
        kinds.append(gold_evidence(gold.right, gold.asked))
    return [list(of_one) for of_one in zip(*kinds, strict=True)]


def leave_one_out(answers: Answers) -> list[Evidence]:
    """Each person's correlation with the others, flagged with false discoveries held at `RATE`.

    One-sided test of Fisher's z against the median person's, whose spread among people is
    estimated robustly and never taken below `LEAST_SPREAD`.
    """
    correlations, n = shared_correlations(answers)
    z = np.arctanh(np.clip(correlations, -0.99, 0.99))
    tested = (n >= FEWEST_SHARED) & ~np.isnan(z)
    if tested.sum() < 3:
        return [_untested(person, int(m)) for person, m in enumerate(n)]
    centre = float(np.median(z[tested]))
    spread = _spread(z[tested], n[tested], centre)
    p: list[float | None] = [
        NORMAL.cdf((z[j] - centre) / math.hypot(1 / math.sqrt(n[j] - 3), spread))
        if tested[j]
        else None
        for j in range(answers.n_people)
    ]
    found = discoveries(p, RATE)
    typical = math.tanh(centre)
    return [
        _evidence(
            person,
            int(n[person]),
            float(correlations[person]),
            chance,
            is_flagged=bool(found[person]) and correlations[person] < MATERIAL * typical,
            peers=(typical, spread, int(tested.sum())),
        )
        if chance is not None
        else _untested(person, int(n[person]))
        for person, chance in enumerate(p)
    ]


def shared_correlations(answers: Answers) -> tuple[Floats, Floats]:
    """Each person's correlation with the others' mean [J], NaN if undefined, and on how many [J].

    Others are weighted by their own correlation of the pass before, negative ones not at all.
    """
    scores = normal_scores(answers)
    weights = np.ones(answers.n_people)
    correlations, n = np.full(answers.n_people, np.nan), np.zeros(answers.n_people)
    for _ in range(PASSES):
        mine = weights[answers.people]
        rest = np.bincount(answers.pairs, mine, answers.n_pairs)[answers.pairs] - mine
        total = np.bincount(answers.pairs, mine * scores, answers.n_pairs)[answers.pairs]
        is_shared = rest > 1e-6
        others = (total - mine * scores)[is_shared] / rest[is_shared]
        people = answers.people[is_shared]
        n = np.bincount(people, minlength=answers.n_people).astype(np.float64)
        correlations = _correlate(scores[is_shared], others, people, answers.n_people)
        weights = np.clip(np.nan_to_num(correlations), 0.01, None)
    return correlations, n


def _correlate(one: Floats, other: Floats, people: Integers, n_people: int) -> Floats:
    """Pearson's correlation of `one` and `other` [M] for each person [J]."""

    def total(values: Floats) -> Floats:
        return np.bincount(people, values, n_people).astype(np.float64)

    n = np.maximum(total(np.ones(len(one))), 1)
    covariance = total(one * other) - total(one) * total(other) / n
    variances = [total(x * x) - total(x) ** 2 / n for x in (one, other)]
    product = np.sqrt(np.maximum(variances[0], 0) * np.maximum(variances[1], 0))
    return np.where(product > 1e-9, covariance / np.maximum(product, 1e-9), np.nan)


def _spread(z: Floats, n: Floats, centre: float) -> float:
    """How much people differ beyond chance: the median deviation, less what n answers explain."""
    robust = 1.4826 * float(np.median(np.abs(z - centre)))
    return math.sqrt(max(robust**2 - float(np.mean(1 / (n - 3))), LEAST_SPREAD**2))


def _untested(person: int, n: int) -> Evidence:
    says = f"Shares {n} answered pairs with others; too few, or too much alike, to compare."
    unseen = f"Below {FEWEST_SHARED} shared pairs nothing about agreement is visible."
    return Evidence(Kind.AGREEMENT, person, n, None, None, None, False, says, unseen)


def _evidence(
    person: int,
    n: int,
    correlation: float,
    p: float,
    *,
    is_flagged: bool,
    peers: tuple[float, float, int],
) -> Evidence:
    typical, spread, n_tested = peers
    says = (
        f"Correlation with the others {correlation:.2f} on {n} shared pairs; "
        f"the typical person has {typical:.2f}."
    )
    chance = half_effort_chance(n, typical, spread, n_tested)
    unseen = (
        f"At {n} shared pairs someone who reads only every other pair would be flagged "
        f"about {chance:.0%} of the time."
    )
    return Evidence(Kind.AGREEMENT, person, n, correlation, p, None, is_flagged, says, unseen)


def half_effort_chance(n: int, typical: float, spread: float, n_tested: int) -> float:
    """How likely a person with half the typical correlation is flagged, if nobody else is."""
    error = 1 / math.sqrt(n - 3)
    critical = NORMAL.inv_cdf(1 - RATE / n_tested) * math.hypot(error, spread)
    bar = min(math.atanh(typical) - critical, math.atanh(MATERIAL * typical))
    return NORMAL.cdf((bar - math.atanh(typical / 2)) / error)
