"""Position, length and herding: what moves answers besides the completions' quality.

All are terms of a logistic model on log-odds, with quality held constant. Each person's own
position is `app.agree.evidence.position`.
"""

from dataclasses import dataclass

import numpy as np

from app.agree.answers import Integers
from app.agree.exact import NORMAL, Floats, discoveries
from app.agree.logistic import RIDGE, Fit, logistic, resampled

ALARMING_LENGTH = 0.2
FEWEST_DRIFTING = 50


@dataclass(frozen=True)
class Effect:
    """A coefficient on the log-odds scale with its 95% interval, from n answers."""

    coefficient: float
    low: float
    high: float
    n: int

    @property
    def is_clear(self) -> bool:
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class OrderModel:
    """Strengths [N] that sum to 0, and the log-odds of being chosen for standing first."""

    strengths: Floats
    first: Effect


def order_model(
    first: Integers, second: Integers, chosen: Floats, n: int, counts: Floats | None = None
) -> OrderModel:
    """Bradley-Terry with a term for order: P(first chosen) = σ(s_first - s_second + δ).

    `first`, `second` [M] number the competitors; `chosen` [M] is the share of `counts` [M] in which
    the first won. A. Agresti, "Categorical Data Analysis" (2nd ed., 2002), section 10.6.3.
    """
    rows = np.arange(len(first))
    design = np.zeros((len(first), n + 1))
    design[rows, first] += 1
    design[rows, second] -= 1
    design[:, n] = 1
    # Strengths are free up to a constant; the little ridge chooses the one with sum 0.
    fit = logistic(design, chosen, ridge=np.array([1e-4] * n + [RIDGE]), weights=counts)
    strengths = fit.coefficients[:n] - fit.coefficients[:n].mean()
    n_answers = len(design) if counts is None else round(float(counts.sum()))
    return OrderModel(strengths, _effect(fit, n, n_answers))


def pooled_position(is_left_chosen: Floats, left_quality: Floats) -> Effect:
    """The log-odds of choosing the left side where both are equally good.

    `left_quality` [M] is how much better the left completion is on any steady scale (a reward
    model's margin, or the pair's utility from others' answers); its slope is estimated too.
    """
    design = np.column_stack([np.ones(len(left_quality)), _standard(left_quality, centre=False)])
    return _effect(logistic(design, is_left_chosen), 0, len(design))


def _effect(fit: Fit, index: int, n: int) -> Effect:
    reach = NORMAL.inv_cdf(0.975) * float(fit.errors[index])
    middle = float(fit.coefficients[index])
    return Effect(middle, middle - reach, middle + reach, n)


@dataclass(frozen=True)
class LengthEffect:
    """Log-odds of A per standard deviation of log length ratio, at equal quality.

    `naive` ignores quality: shown beside, for how misleading it is. Alarming only where the effect
    is both clear and larger than 0.2.
    """

    effect: Effect
    naive: float
    is_alarming: bool


def length_effect(
    is_a_chosen: Floats,
    log_length: Floats,
    quality: Floats,
    clusters: Integers,
    *,
    draws: int = 400,
    seed: int = 0,
) -> LengthEffect:
    """Does length win of itself? All [M]: log(length A / length B), quality A less B, and clusters.

    `quality` is required: where better answers are longer, the coefficient without it finds a
    length bias that is not there three times in four. A noisy quality leaves part of that in.
    `clusters` are what repeats, prompts or annotators; the interval resamples them whole.
    """
    length, worth = _standard(log_length), _standard(quality)
    ones = np.ones(len(length))
    design = np.column_stack([ones, length, worth])
    fit = logistic(design, is_a_chosen)
    found = resampled(design, is_a_chosen, clusters, fit.coefficients, draws=draws, seed=seed)
    low, high = np.quantile(found[:, 1], [0.025, 0.975])
    effect = Effect(float(fit.coefficients[1]), float(low), float(high), len(length))
    naive = logistic(np.column_stack([ones, length]), is_a_chosen).coefficients[1]
    is_large = abs(effect.coefficient) > ALARMING_LENGTH
    return LengthEffect(effect, float(naive), effect.is_clear and is_large)


def _standard(values: Floats, *, centre: bool = True) -> Floats:
    around = float(values.mean()) if centre else 0.0
    scale = float(np.sqrt(((values - around) ** 2).mean()))
    return np.asarray((values - around) / scale) if scale > 1e-12 else np.zeros(len(values))


@dataclass(frozen=True)
class Drift:
    """How a person's odds of siding with the reward model changed from first answer to last."""

    person: int
    effect: Effect | None
    p: float | None
    is_flagged: bool


def drift(
    people: Integers, order: Floats, is_with_model: Floats, margin: Floats, n_people: int
) -> list[Drift]:
    """Does anyone come to answer as the reward model would? One-sided, with false discoveries held.

    [M] each: the person, when (any steady clock), whether the answer's side is the reward model's,
    and the size of its margin, which is how easy the pair was. One and the same reward model must
    have scored all answers, or its own progress looks like a person's drift. Reasons other than
    herding exist (people learn the guidelines, as the model did): it is a thing to look into.
    """
    effects = [
        _drift_of(order[mine], is_with_model[mine], margin[mine])
        for mine in (people == person for person in range(n_people))
    ]
    p = [_one_sided(one) for one in effects]
    found = discoveries(p)
    return [Drift(j, effects[j], p[j], bool(found[j])) for j in range(n_people)]


def _drift_of(order: Floats, is_with_model: Floats, margin: Floats) -> Effect | None:
    if len(order) < FEWEST_DRIFTING or is_with_model.min() == is_with_model.max():
        return None
    span = float(order.max() - order.min())
    if span <= 0:
        return None
    design = np.column_stack(
        [np.ones(len(order)), (order - order.min()) / span, _standard(np.abs(margin))]
    )
    return _effect(logistic(design, is_with_model), 1, len(order))


def _one_sided(effect: Effect | None) -> float | None:
    if effect is None:
        return None
    error = (effect.high - effect.low) / 2 / NORMAL.inv_cdf(0.975)
    return 1 - NORMAL.cdf(effect.coefficient / error)
