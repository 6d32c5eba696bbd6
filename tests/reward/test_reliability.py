from dataclasses import replace

import pytest
import torch

from benchmarks.people import world
from benchmarks.reward_answers import encode
from worker.reward.data import Encoded
from worker.reward.frozen import FrozenFeatures, reduce_dimensions
from worker.reward.reliability import (
    MOST_ROWS,
    Reliability,
    as_answers,
    judge,
    sample_rows,
    weigh,
)

MIXED = ("random", "straight", "left")


class Known(FrozenFeatures):
    """Features that were made up rather than read."""

    def __init__(self, x: torch.Tensor) -> None:
        self.x = x

    def differences(self, rows: object) -> torch.Tensor:
        return self.x[rows]  # type: ignore[index]


def test_who_does_not_read_counts_little_though_no_pair_was_answered_twice() -> None:
    x, data = encode(world(1, 45, MIXED, overlap=1))
    weighed, report = weigh(data, Known(x), Reliability.AUTO, 0)
    of = {one["annotator"]: one for one in report["annotators"]}
    careless = [of[f"person {one}"]["weight"] for one in range(3)]
    honest = [of[f"person {one}"]["weight"] for one in range(3, 20)]
    assert max(careless) < 0.5
    assert min(honest) > 0.9
    assert of["person 5"]["n"] == 45
    assert of["person 5"]["low"] < of["person 5"]["reliability"] < of["person 5"]["high"]
    assert float(weighed.weights.mean()) == pytest.approx(1.0, abs=1e-6)
    row = data.annotators.index("person 0")
    assert float(weighed.weights[row]) == pytest.approx(of["person 0"]["weight"], abs=1e-3)


def test_where_all_read_nobody_loses_much() -> None:
    x, data = encode(world(2, 45, (), overlap=1))
    factors = judge(x, range(len(data)), data).factors
    assert float(factors.std()) < 0.1


def test_the_same_answers_give_the_same_weights_in_whichever_order_a_file_names_the_sides() -> None:
    x, data = encode(world(3, 30, MIXED, overlap=1))
    again = judge(x, range(len(data)), data)
    assert torch.equal(judge(x, range(len(data)), data).factors, again.factors)
    answers, signs = as_answers(range(len(data)), data, sorted(set(data.annotators)))
    # Most lines of a file may name A as the chosen one: neither side may win by that.
    assert abs(float(signs.mean())) < 0.15
    assert set(answers.choices.tolist()) == set(range(8))


def test_weights_of_the_file_stay_or_go_as_asked() -> None:
    x, data = encode(world(4, 10, (), overlap=1))
    data = replace(data, weights=torch.full((len(data),), 2.0))
    assert torch.equal(weigh(data, Known(x), Reliability.GIVEN, 0)[0].weights, data.weights)
    off, report = weigh(data, Known(x), Reliability.OFF, 0)
    assert torch.equal(off.weights, torch.ones(len(data)))
    assert report["is_estimated"] is False
    auto, _ = weigh(data, Known(x), Reliability.AUTO, 0)
    assert float(auto.weights.mean()) == pytest.approx(2.0)


def test_too_few_answers_or_no_names_leave_everyone_alike() -> None:
    x, data = encode(world(5, 1, (), overlap=1))
    unnamed = replace(data, annotators=[""] * len(data))
    for one in (data, unnamed):
        weighed, report = weigh(one, Known(x), Reliability.AUTO, 0)
        assert torch.equal(weighed.weights, one.weights)
        assert "too few" in report["why"]


def test_answers_without_a_name_keep_the_usual_weight() -> None:
    x, data = encode(world(6, 45, MIXED, overlap=1))
    names = ["" if one == "person 9" else one for one in data.annotators]
    known = [row for row, one in enumerate(names) if one]
    belief = judge(x[known], known, replace(data, annotators=names))
    assert float(belief.factors[names.index("")]) == pytest.approx(1.0, abs=0.05)
    assert belief.report["n_without_annotator"] == 45


def test_of_many_answers_every_annotator_has_some_read_and_pairs_come_whole() -> None:
    n = 3 * MOST_ROWS
    annotators = ["busy"] * (n - 200) + [f"rare {number % 40}" for number in range(200)]
    data = Encoded(
        sequences=[],
        chosen=torch.arange(n) // 2 * 2,  # two answers a pair
        rejected=torch.arange(n) // 2 * 2 + 1,
        strengths=torch.ones(n),
        weights=torch.ones(n),
        is_tie=torch.zeros(n, dtype=torch.bool),
        groups=[""] * n,
        n_truncated=0,
        annotators=annotators,
    )
    rows = sample_rows(data, 0)
    assert MOST_ROWS <= len(rows) <= MOST_ROWS + 1
    assert sum(annotators[row] != "busy" for row in rows) == 200
    assert all(row ^ 1 in rows for row in rows[:100])
    assert rows == sample_rows(data, 0)


def test_main_axes_keep_what_few_rows_say() -> None:
    few = torch.randn(30, 200, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    scaled = few / few.square().mean(dim=0, keepdim=True).sqrt()
    reduced = reduce_dimensions(few)
    torch.testing.assert_close(reduced @ reduced.T, scaled @ scaled.T)


def test_where_a_pair_has_several_answers_all_of_them_make_its_target() -> None:
    drawn = world(7, 30, (), overlap=3)
    x, data = encode(drawn)
    posteriors = judge(x, range(len(data)), data).posteriors
    assert posteriors is not None
    torch.testing.assert_close(posteriors.sum(dim=1), torch.ones(len(data)))
    # Rows of one pair say the same, each from the side that it chose.
    one, other = 0, 1
    is_same = bool(data.chosen[one] == data.chosen[other])
    mirrored = posteriors[other] if is_same else posteriors[other].flip(0)
    torch.testing.assert_close(posteriors[one], mirrored)
    x, data = encode(world(7, 30, (), overlap=1))
    alone = judge(x, range(len(data)), data).posteriors
    assert alone is not None
    assert not alone.any()
