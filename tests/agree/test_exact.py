"""Exact tests against hand counts and published examples."""

import numpy as np
import pytest

from app.agree.exact import (
    binomial_at_least,
    binomial_two_sided,
    discoveries,
    normal_cdf,
    wilson,
)
from app.agree.logistic import logistic, resampled, sigmoid


def test_seven_heads_of_ten_by_hand() -> None:
    assert binomial_two_sided(7, 10) == pytest.approx(2 * (120 + 45 + 10 + 1) / 1024)
    assert binomial_at_least(7, 10, 0.5) == pytest.approx(176 / 1024)


def test_the_two_sided_test_is_rs_on_mendels_peas() -> None:
    # Conover (1971), in R's help of binom.test: 682 of 925 at 3/4, p = 0.3825.
    assert binomial_two_sided(682, 925, 0.75) == pytest.approx(0.3825, abs=5e-5)


def test_an_even_split_and_no_trial_are_no_evidence() -> None:
    assert binomial_two_sided(50, 100) == pytest.approx(1)
    assert binomial_two_sided(0, 0) == pytest.approx(1)


def test_wilsons_interval_stays_within_0_and_1() -> None:
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=5e-5)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=5e-5)
    assert wilson(0, 0) == (0, 1)


def test_discoveries_are_those_of_benjamini_and_hochbergs_own_example() -> None:
    # Their section 4.1: fifteen tests, four of which are called at 0.05.
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240]
    p += [0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    assert discoveries(p[::-1]).tolist() == [False] * 11 + [True] * 4


def test_what_was_not_tested_is_never_found_and_never_counted() -> None:
    assert discoveries([None, 0.04, None]).tolist() == [False, True, False]
    assert not discoveries([None]).any()


def test_the_normal_distribution_reaches_into_its_tails() -> None:
    assert normal_cdf(np.array([-np.inf, -1.959964, 0.0, np.inf])) == pytest.approx(
        [0, 0.025, 0.5, 1]
    )
    assert normal_cdf(np.array([-10.0]))[0] == pytest.approx(7.62e-24, rel=1e-2)


def test_a_two_by_two_table_gives_its_log_odds_ratio_and_standard_error() -> None:
    # 30 of 40 with, 10 of 40 without: log(30/10 * 30/10), variance 2 (1/30 + 1/10).
    design = np.column_stack([np.ones(4), [1.0, 1, 0, 0]])
    fit = logistic(design, np.array([1.0, 0, 1, 0]), weights=np.array([30.0, 10, 10, 30]))
    assert fit.coefficients[1] == pytest.approx(np.log(9), abs=1e-4)
    assert fit.errors[1] == pytest.approx(np.sqrt(2 / 30 + 2 / 10), abs=1e-4)


def test_a_perfect_separation_stays_finite() -> None:
    x = np.array([-2.0, -1, 1, 2])
    fit = logistic(x[:, None], (x > 0).astype(float))
    assert np.isfinite(fit.coefficients).all()


def test_clusters_that_repeat_an_answer_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    y = (rng.random(200) < sigmoid(x)).astype(float)
    once = np.column_stack([np.ones(200), x])
    fit = logistic(once, y)
    plain = resampled(once, y, np.arange(200), fit.coefficients)[:, 1].std()
    assert plain == pytest.approx(fit.errors[1], rel=0.2)
    five, many = np.repeat(once, 5, axis=0), np.repeat(y, 5)
    whole = resampled(five, many, np.repeat(np.arange(200), 5), fit.coefficients)[:, 1].std()
    assert whole == pytest.approx(plain, rel=0.2)
