"""Claims against what others bore out, counted by hand."""

import numpy as np
import pytest

from app.agree.calibration import STRENGTHS, SURENESS, Claim, borne_out, firmness
from app.agree.exact import wilson
from app.agree.person_charts import claims_title


def test_each_claim_has_the_share_that_others_bore_out_and_what_is_undecided_is_left_out() -> None:
    found = borne_out([1, 1, 4, 4, 4, None], np.array([1, 0, 1, 1, np.nan, 1.0]), STRENGTHS)
    assert [(one.share, one.n) for one in found] == [(0.5, 2), (None, 0), (None, 0), (1.0, 2)]
    assert (found[0].low, found[0].high) == pytest.approx(wilson(1, 2))
    assert found[1].low is None


def test_without_a_claim_there_is_nothing_to_show() -> None:
    assert borne_out([None, None], np.array([1.0, 0.0]), SURENESS) == []
    assert borne_out([2], np.array([np.nan]), SURENESS) == []


def test_the_title_says_when_chance_may_do_it() -> None:
    far = [Claim("close", 0.5, 0.4, 0.6, 90), Claim("far", 0.9, 0.8, 0.95, 60)]
    assert claims_title("firm", far) == (
        "Most others agree with 50% of the least firm answers and with 90% of the most firm"
    )
    near = [far[0], Claim("far", 0.6, 0.5, 0.7, 60)]
    assert claims_title("firm", near).endswith("which chance may do")
    assert claims_title("sure", far[:1]) == "Every answer was equally sure, so it says nothing more"


def test_firmness_stands_beside_that_of_the_others_on_the_same_pairs() -> None:
    found = firmness(np.array([4.0, 3.0, 2.0]), np.array([2.0, 2.0, 2.0]))
    assert found is not None
    assert (found.own, found.others, found.n) == (3.0, 2.0, 3)
    assert (found.low, found.high) == pytest.approx((1 - 1.96 / 3**0.5, 1 + 1.96 / 3**0.5))
    alone = firmness(np.array([4.0]), np.array([1.0]))
    assert alone is not None
    assert alone.low is None
    assert firmness(np.array([]), np.array([])) is None
