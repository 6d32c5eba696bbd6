"""Position, length and drift against a published fit and against injected effects."""

import numpy as np
import pytest

from app.agree.bias import drift, length_effect, order_model, pooled_position
from app.agree.logistic import sigmoid
from benchmarks.agreement import drifting

# A. Agresti, "Categorical Data Analysis" (2nd ed., 2002), table 10.11: the 1987 season of the
# American League's eastern division. Games the row's team won at home, and lost at home.
WON = [
    [0, 4, 4, 4, 6, 4, 6],
    [3, 0, 4, 4, 6, 6, 4],
    [2, 4, 0, 2, 4, 4, 6],
    [3, 5, 2, 0, 4, 4, 6],
    [5, 2, 3, 4, 0, 5, 6],
    [2, 3, 3, 4, 4, 0, 2],
    [2, 1, 1, 2, 1, 3, 0],
]
LOST = [
    [0, 3, 2, 3, 1, 2, 0],
    [3, 0, 2, 3, 0, 1, 3],
    [5, 3, 0, 4, 3, 2, 0],
    [3, 1, 5, 0, 3, 2, 1],
    [1, 5, 3, 2, 0, 2, 0],
    [5, 3, 4, 3, 2, 0, 4],
    [5, 5, 6, 4, 6, 4, 0],
]


def test_playing_at_home_is_worth_what_agresti_published() -> None:
    won, lost = np.array(WON, float), np.array(LOST, float)
    home, away = np.nonzero(won + lost)
    games = (won + lost)[home, away]
    found = order_model(home, away, won[home, away] / games, 7, games)
    assert found.first.coefficient == pytest.approx(0.3023, abs=1e-4)
    assert (found.first.high - found.first.low) / 2 / 1.96 == pytest.approx(0.1309, abs=2e-4)
    assert found.first.is_clear
    assert found.strengths.sum() == pytest.approx(0, abs=1e-9)


def test_the_left_sides_advantage_is_found_at_equal_quality() -> None:
    rng = np.random.default_rng(0)
    quality = rng.normal(size=8_000)
    chosen = (rng.random(8_000) < sigmoid(0.3 + 1.5 * quality)).astype(float)
    found = pooled_position(chosen, 10 * quality)
    assert found.low < 0.3 < found.high
    assert found.coefficient == pytest.approx(0.3, abs=0.08)
    assert found.n == 8_000


def by_length(seed: int, effect: float, n: int = 2_000) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    quality = rng.normal(size=n)
    length = 0.3 * quality + np.sqrt(1 - 0.09) * rng.normal(size=n)
    chosen = (rng.random(n) < sigmoid(quality + effect * length)).astype(float)
    return chosen, length, quality, rng.integers(0, n // 5, n)


def test_an_injected_length_effect_is_found() -> None:
    found = [length_effect(*by_length(seed, 0.4), draws=100) for seed in range(6)]
    assert np.mean([one.effect.coefficient for one in found]) == pytest.approx(0.4, abs=0.05)
    assert all(one.is_alarming for one in found)


def test_better_answers_that_are_longer_are_no_length_bias() -> None:
    found = [length_effect(*by_length(seed, 0.0), draws=100) for seed in range(6)]
    assert not any(one.is_alarming for one in found)
    assert all(one.naive > 0.15 for one in found)


def test_lengths_that_are_all_alike_have_no_effect() -> None:
    chosen, _, quality, clusters = by_length(0, 0.0)
    found = length_effect(chosen, np.zeros(len(chosen)), quality, clusters, draws=20)
    assert found.effect.coefficient == pytest.approx(0, abs=1e-9)
    assert not found.is_alarming


def test_a_person_who_comes_to_side_with_the_model_drifts_and_the_others_do_not() -> None:
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(12), 400)
    order = np.tile(np.arange(400.0), 12)
    margin = rng.normal(size=len(people))
    logit = 0.2 + 0.8 * np.abs(margin) + np.where(people == 3, 2.5 * order / 400, 0)
    sides = (rng.random(len(people)) < sigmoid(logit)).astype(float)
    found = drift(people, order, sides, margin, 13)
    assert [one.person for one in found if one.is_flagged] == [3]
    assert found[3].effect is not None
    assert found[3].effect.low < 2.5 < found[3].effect.high
    assert found[12].effect is None
    assert found[12].p is None


def test_where_nobody_drifts_at_most_one_in_fifty_is_flagged_and_an_injected_drift_is_found() -> (
    None
):
    null = [one for seed in range(20) for one in drifting(60_000 + seed, 0.0)]
    assert np.mean(null) <= 0.02
    # Three in four over 200 worlds.
    assert np.mean([drifting(seed, 1.5)[0] for seed in range(20)]) >= 0.6
