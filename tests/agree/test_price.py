"""Prices and the end of the open work on simulated truth: intervals hold what they promise."""

import numpy as np
import pytest

from app.agree.cost.eta import FARTHEST_DAYS, days_until_done
from app.agree.cost.price import MANY_DAYS, Basis, Spent, _over_days, price


def simulated(seed: int, n_days: int = 120) -> Spent:
    """Days of people whose pace differs: a day's answers take longer or shorter together."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n_days):
        n = int(rng.integers(5, 40))
        seconds = rng.lognormal(rng.normal(3.4, 0.3), 0.4, n)
        rows.append((seconds.sum(), (seconds**2).sum(), n, n))
    return Spent.of(rows)


def test_the_interval_of_a_price_covers_the_truth_though_answers_of_a_day_go_together() -> None:
    truth = float(np.exp(3.4 + 0.3**2 / 2 + 0.4**2 / 2))
    found = [price(simulated(seed), seed=seed, draws=400) for seed in range(200)]
    assert {one.basis for one in found} == {Basis.DAYS}
    covered = [one.low <= truth <= one.high for one in found if one.low and one.high]
    assert len(covered) == 200
    assert np.mean(covered) >= 0.90


def test_few_days_give_the_normal_interval_over_answers_and_few_answers_none() -> None:
    seconds = np.array([10.0, 14, 12, 20, 9] * 8)
    one = price(Spent.of([(seconds.sum(), (seconds**2).sum(), 40, 40)]))
    error = seconds.std(ddof=1) / 40**0.5
    assert one.value == pytest.approx(13)
    assert one.low == pytest.approx(13 - 1.959964 * error)
    assert (one.n, one.basis) == (40, Basis.ANSWERS)
    few = price(Spent.of([(30.0, 400.0, 3, 3)]))
    assert (few.value, few.low, few.basis) == (10.0, None, Basis.NOTHING)
    assert price(Spent.of([])).value is None
    assert price(Spent.of([(30.0, 400.0, 3, 0)])).value is None, "time on a flag nobody answered"


def test_with_many_days_the_interval_is_the_same_without_drawing_any() -> None:
    many = simulated(3, n_days=MANY_DAYS + 100)
    low, high = _over_days(many, 4_000, 1)
    found = price(many)
    assert low is not None
    assert high is not None
    assert found.basis == Basis.DAYS
    assert found.low == pytest.approx(low, rel=0.01)
    assert found.high == pytest.approx(high, rel=0.01)


def test_the_end_of_the_work_lies_in_its_interval_as_often_as_promised() -> None:
    rng, hits = np.random.default_rng(1), []
    for seed in range(200):
        days = rng.poisson(40, 400) * (rng.random(400) > 0.3)
        past, future = days[:28], days[28:]
        ends = int(np.argmax(np.cumsum(future) >= 600)) + 1
        found = days_until_done(600, past, draws=400, seed=seed)
        assert found.low is not None
        assert found.high is not None
        hits.append(found.low <= ends <= found.high)
    assert np.mean(hits) >= 0.90


def test_little_data_no_pace_and_no_work_are_told_apart() -> None:
    assert days_until_done(0, [1.0] * 3).days == 0
    few = days_until_done(10, [5.0] * 6)
    assert (few.days, few.reason) == (None, "Needs 7 days of work to go by.")
    idle = days_until_done(10, [0.0] * 28)
    assert (idle.days, idle.reason) == (None, "Nobody who can answer now did so lately.")
    slow = days_until_done(FARTHEST_DAYS * 100, [1.0] * 28)
    assert (slow.days, slow.reason) == (None, "More than five years at this pace.")
    steady = days_until_done(100, [10.0] * 28)
    assert (steady.low, steady.days, steady.high) == (10, 10, 10)
