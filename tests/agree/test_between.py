"""Agreement of two people and of two groups: by hand, against Cohen's kappa, and covered."""

import numpy as np
import pytest

from app.agree.between import Side, between, of_one
from app.agree.coefficients import weighted_kappa


def drawn(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    felt = rng.normal(size=n)
    return tuple(
        np.clip(np.floor(5 + 1.6 * (felt + 0.8 * rng.normal(size=n))), 1, 8).astype(np.int64)
        for _ in range(2)
    )  # type: ignore[return-value]


def test_of_two_people_it_is_cohens_kappa_with_quadratic_weights() -> None:
    one, other = drawn(3, 120)
    found = between(of_one(one), of_one(other))
    assert found.n == 120
    assert found.kappa == pytest.approx(weighted_kappa(one, other, 8), abs=1e-12)
    assert found.same_side == pytest.approx(float(((one > 4) == (other > 4)).mean()))
    assert found.kappa_range.low is not None
    assert found.kappa_range.high is not None
    assert found.kappa is not None
    assert found.kappa_range.low < found.kappa < found.kappa_range.high


def test_of_two_groups_it_is_the_mean_over_one_reader_of_each_by_hand() -> None:
    # Item 1: one group said 1 and 3, the other 2. Item 2: one said 8, the other 7 and 5.
    one = Side(np.array([2.0, 8.0]), np.array([5.0, 64.0]), np.array([0.0, 1.0]))
    other = Side(np.array([2.0, 6.0]), np.array([4.0, 37.0]), np.array([0.0, 1.0]))
    apart = ((1 + 1) / 2 + (1 + 9) / 2) / 2
    # A reader of each, on items drawn apart: the mean of the four mean squared distances.
    expected = (1.0 + (36 + 16 + 16 + 4) / 4 + 36.0 + (1 + 9) / 2) / 4
    found = between(one, other)
    assert found.kappa == pytest.approx(1 - apart / expected)
    assert found.same_side == 1.0
    assert found.kappa_range.low is None


def test_nobody_and_one_rating_for_everything_are_undefined() -> None:
    nothing = between(of_one(np.array([], dtype=np.int64)), of_one(np.array([], dtype=np.int64)))
    assert (nothing.n, nothing.kappa, nothing.same_side) == (0, None, None)
    same = of_one(np.full(30, 3))
    assert between(same, same).kappa is None
    assert between(same, same).same_side == 1.0


def test_the_interval_covers_the_truth() -> None:
    one, other = drawn(0, 200_000)
    truth = between(of_one(one), of_one(other), draws=0).kappa
    assert truth is not None
    hits = 0
    for seed in range(40):
        mine, theirs = drawn(100 + seed, 300)
        limits = between(of_one(mine), of_one(theirs), draws=200, seed=seed).kappa_range
        assert limits.low is not None
        assert limits.high is not None
        hits += limits.low <= truth <= limits.high
    assert hits >= 35
