import math

import pytest
import torch

from worker.reward.data import Preference
from worker.reward.evaluate import (
    calibration_error_by_chance,
    evaluate,
    expected_calibration_error,
    longer_wins,
    scaled_calibration_error,
)
from worker.reward.score import calibrate_temperature


def row(chosen: str, rejected: str, strength: float = 1, is_tie: bool = False) -> Preference:
    one, two = ({"role": "assistant", "content": text} for text in (chosen, rejected))
    prompt = ({"role": "user", "content": "?"},)
    return Preference(prompt, (one,), (two,), strength=strength, is_tie=is_tie)


def test_accuracy_is_counted_by_strength_and_ties_of_score_are_half_right() -> None:
    rows = [row("ab", "a", 1), row("a", "ab", 1), row("a", "b", 4), row("a", "b", is_tie=True)]
    figures = evaluate(rows, torch.tensor([1.0, 0.0, 2.0, 9.0]), torch.tensor([0.0, 0.0, 3.0, 0.0]))
    assert figures["n"] == 3
    assert figures["accuracy"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert figures["by_strength"]["1"]["accuracy"] == 0.75
    assert figures["by_strength"]["4"] == {"accuracy": 0.0, "standard_error": None, "n": 1}
    expected = (math.log(1 + math.exp(-1)) + math.log(2) + math.log(1 + math.e)) / 3
    assert figures["log_loss"] == pytest.approx(expected)
    assert figures["longer_wins"] == 0.5


def test_without_a_row_every_figure_is_undefined() -> None:
    figures = evaluate([], torch.zeros(0), torch.zeros(0))
    assert figures["n"] == 0
    assert all(figures[name] is None for name in ("accuracy", "log_loss", "ece", "longer_wins"))
    assert longer_wins([]) is None


def test_the_calibration_error_is_the_distance_of_confidence_from_accuracy() -> None:
    # Confidence σ(log 3) = 0.75 for all four, three of them right: honest.
    honest = torch.tensor([1.0, 1.0, 1.0, -1.0]) * math.log(3)
    assert expected_calibration_error(honest) == pytest.approx(0, abs=1e-6)
    # Confidence 0.75, all wrong.
    assert expected_calibration_error(-honest.abs()) == pytest.approx(0.75)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0])
def test_the_fitted_temperature_finds_the_one_that_was_put_in(temperature: float) -> None:
    # Three of four right at a true difference of log 3, stretched by the temperature.
    differences = torch.tensor([1.0, 1.0, 1.0, -1.0]) * math.log(3) * temperature
    assert calibrate_temperature(differences) == pytest.approx(temperature, rel=1e-4)


def test_a_temperature_from_other_pairs_makes_overconfident_scores_honest() -> None:
    stream = torch.Generator().manual_seed(0)
    felt = torch.randn(4000, generator=stream)
    right = torch.rand(4000, generator=stream) < torch.sigmoid(felt.abs())
    stated = 5 * felt.abs() * torch.where(right, 1.0, -1.0)
    before, after = expected_calibration_error(stated), scaled_calibration_error(stated)
    assert before is not None
    assert after is not None
    assert before > 0.15
    assert after < 0.03
    assert scaled_calibration_error(stated[:1]) is None


def test_the_error_by_chance_is_that_of_honest_models_on_average() -> None:
    stream = torch.Generator().manual_seed(0)
    felt = (2 * torch.randn(800, generator=stream)).abs()
    found, told = [], []
    for _ in range(40):
        right = torch.rand(800, generator=stream) < torch.sigmoid(felt)
        differences = torch.where(right, felt, -felt)
        found.append(expected_calibration_error(differences))
        told.append(calibration_error_by_chance(differences))
    assert sum(told) / 40 == pytest.approx(sum(found) / 40, rel=0.1)
    assert calibration_error_by_chance(felt[:1]) is None
